"""`edgeskin pipeline`: two models and the rules that join them become one thing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json

if TYPE_CHECKING:
    from edgeskin.pipelines.pipeline_folder import Pipeline


def pipeline(
    rules: Annotated[
        str,
        typer.Argument(help="A TOML file, or built-in rules: acne_presence, lesion_crops."),
    ],
    stage: Annotated[
        list[str],
        typer.Option(help="NAME=PATH of an artifact or a run, for each stage of the rules."),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write, NAME.pipeline.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Join two models: the first one's masks say what the last one sees."""
    from edgeskin.pipelines.pipeline_folder import make_pipeline

    made = make_pipeline(rules, _paths(stage), out, force=force)
    if json:
        console.emit(made.spec.model_dump(mode="json"))
    else:
        _print(made)


def _paths(texts: list[str]) -> dict[str, Path]:
    from edgeskin.errors import UnknownName

    paths: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise UnknownName(f"--stage {text}: write NAME=PATH")
        if name in paths:
            raise UnknownName(f"stage '{name}' is given twice: {paths[name]} and {path}")
        paths[name] = Path(path)
    return paths


def _print(made: Pipeline) -> None:
    join = made.spec.join.kind
    stages = zip(made.spec.stages, made.specs, strict=True)
    rows = [
        (stage.name, stage.file, f"{spec.input.height} x {spec.input.width}", spec.name)
        for stage, spec in stages
    ]
    console.table(f"{made.folder}: {join}", ("stage", "file", "input", "model"), rows)
