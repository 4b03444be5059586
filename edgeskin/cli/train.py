"""`edgeskin train`: a data folder becomes a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Force, Json, takes_data

if TYPE_CHECKING:
    from edgeskin.evaluation import Evaluation


@takes_data
def train(
    task: Annotated[str, typer.Option(help="See `edgeskin models`.")],
    arch: Annotated[str, typer.Option(help="See `edgeskin models`.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The run: a folder to make.")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the train split.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file with training settings.")] = None,
    pretrained: Annotated[bool | None, typer.Option(help="Start from ImageNet weights.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a network; the same command after a kill goes on where it stopped."""
    from edgeskin.tasks import find_task
    from edgeskin.training.recipe import Recipe
    from edgeskin.training.train import train as run

    defaults = find_task(task).load().RECIPE
    settings = Recipe.load(recipe, defaults, epochs=epochs, pretrained=pretrained, seed=seed)
    with console.progress() as progress:
        record = run(task, arch, data, out, recipe=settings, force=force, progress=progress)
    if json:
        console.emit(record.to_json())
        return
    for split, evaluation in (("val", record.val), ("test", record.test)):
        if evaluation is not None:
            print_evaluation(split, evaluation)
    print(out)


def print_evaluation(title: str, evaluation: Evaluation) -> None:
    """One line a metric with its 95 % interval, and the per-class tables."""
    rows = [
        (name, f"{m.value:.4f}", f"[{m.low:.4f}, {m.high:.4f}]", m.unit)
        for name, m in evaluation.metrics.items()
    ]
    columns = ("metric", "value", "95 % interval", "unit")
    console.table(f"{title}, {evaluation.images} images", columns, rows)
    for name, m in evaluation.per_class.items():
        table = zip(m.precision, m.SE, m.SP, m.YI, strict=True)
        means = (m.mean_precision, m.mean_SE, m.mean_SP, m.mean_YI)
        body = [
            (label, *(f"{value:.3f}" for value in values))
            for label, values in [*((str(i), row) for i, row in enumerate(table)), ("mean", means)]
        ]
        console.table(f"{name}_per_class", ("class", "precision", "SE", "SP", "YI"), body)
