"""`edgeskin predict`: images through a model; one file is enough."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json, Trust


def predict(
    artifact: Annotated[Path, typer.Argument(help=".tflite, .onnx, .mlpackage, or a run.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    trust: Trust = False,
    json: Json = False,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="One JSON document a line, an image each.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a bad image; exit 1 at the end.")
    ] = False,
) -> None:
    """Predict on image files; the spec inside the artifact says how."""
    from edgeskin.errors import InvalidImage
    from edgeskin.predictor import load

    documents: dict[str, Any] = {}
    lines: list[str] = []
    bad = 0
    with load(artifact, trust=trust) as predictor:
        for path in _files(images):
            try:
                document = predictor.predict(path)
            except InvalidImage as error:
                if not keep_going:
                    raise
                bad += 1
                console.error(str(error))
                document = {"error": str(error)}
            if json:
                documents[str(path)] = document
            elif json_lines:
                print(jsonlib.dumps({"image": str(path), **document}, ensure_ascii=False))
            elif "error" not in document:
                words = "; ".join(f"{name} {_words(v)}" for name, v in document.items())
                lines.append(f"{console.printable(str(path))}: {words}")
    if json:
        console.emit(documents)
    for line in lines:  # all or, of a bad image without --keep-going, none
        print(line)
    if bad:
        raise typer.Exit(1)


def _files(paths: list[Path]) -> Iterator[Path]:
    """
    Raises:
        InvalidImage: A folder without an image.
    """
    from edgeskin.errors import InvalidImage
    from edgeskin.images import SUFFIXES

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise InvalidImage(f"{path}: the folder holds no image ({', '.join(SUFFIXES)})")
        yield from found


def _words(entry: dict[str, Any]) -> str:
    if "label" in entry:
        return f"{entry['label']} ({entry['probabilities'][entry['label']]:.2f})"
    if "value" in entry:
        text = f"{entry['value']:.1f} {entry['unit']}"
        if "interval_80" in entry:
            low, high = entry["interval_80"]
            text += f" (80 %: {low:g} to {high:g})"
        return text
    return ", ".join(f"{k} {v:.2f}" for k, v in entry["area_fraction"].items())
