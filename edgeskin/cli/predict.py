"""`edgeskin predict`: images through a model; one file is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json


def predict(
    artifact: Annotated[Path, typer.Argument(help=".tflite, .onnx, .mlpackage, or a run.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    json: Json = False,
) -> None:
    """Predict on image files; the spec inside the artifact says how."""
    from edgeskin.predictor import load

    with load(artifact) as predictor:
        documents = {str(path): predictor.predict(path) for path in images}
    if json:
        console.emit(documents)
        return
    for path, document in documents.items():
        print(f"{path}: " + "; ".join(f"{name} {_words(v)}" for name, v in document.items()))


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
