"""`edgeskin predict`: images through a model; one file is enough."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json, Trust

if TYPE_CHECKING:
    from edgeskin.postprocess import HeadPrediction, Prediction


def predict(
    artifact: Annotated[
        Path, typer.Argument(help=".tflite, .onnx, .mlpackage, a run, or a pipeline.")
    ],
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
    from edgeskin.loading import load

    documents: dict[str, dict[str, Any]] = {}
    lines: list[str] = []
    bad = 0
    with load(artifact, trust=trust) as predictor:
        for path in _files(images):
            try:
                prediction = predictor.predict(path)
            except InvalidImage as error:
                if not keep_going:
                    raise
                bad += 1
                console.error(str(error))
                documents[str(path)] = {"error": str(error)}
            else:
                documents[str(path)] = prediction.to_json()
                lines.append(f"{console.printable(str(path))}: {_answer(prediction)}")
            if json_lines and not json:
                line = {"image": str(path), **documents[str(path)]}
                print(jsonlib.dumps(line, ensure_ascii=False))
    if json:
        console.emit(documents)
    elif not json_lines:
        for text in lines:  # all or, of a bad image without --keep-going, none
            print(text)
    if bad:
        raise typer.Exit(1)


def _files(paths: list[Path]) -> Iterator[Path]:
    """Each file as it is, and the images of each folder.

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


def _answer(prediction: Prediction) -> str:
    """Every head in words; of a pipeline what it saw, too, and why it says nothing."""
    from edgeskin.pipelines.pipeline_predictor import PipelinePrediction

    words = [f"{name} {_words(head)}" for name, head in prediction.items()]
    if isinstance(prediction, PipelinePrediction):
        if not prediction.answered:
            words.append(prediction.status)
        if (share := prediction.seen.kept_share) is not None:
            words.append(f"{100 * share:.1f} % of the image kept")
        for crop in prediction.seen.crops or ():
            words.append(f"{crop.side} pixels from ({crop.left}, {crop.top})")
    return "; ".join(words)


def _words(head: HeadPrediction) -> str:
    from edgeskin import postprocess

    match head:
        case postprocess.ClassPrediction():
            return f"{head.label} ({head.probabilities[head.label]:.2f})"
        case postprocess.LabelsPrediction():
            labels = (f"{name} ({head.probabilities[name]:.2f})" for name in head.labels)
            return ", ".join(labels) or "no label"
        case postprocess.DistributionPrediction(interval_80=(low, high)):
            return f"{head.value:.1f} {head.unit} (80 %: {low:g} to {high:g})"
        case postprocess.RegressionPrediction():
            return f"{head.value:.1f} {head.unit}"
        case postprocess.SegmentationPrediction():
            return ", ".join(f"{name} {share:.2f}" for name, share in head.area_fraction.items())
        case postprocess.EmbeddingPrediction():
            return f"{head.size} values, norm {head.norm:.4g}"
        case postprocess.TensorPrediction():
            shape = " x ".join(map(str, head.shape)) or "one number"
            values = f"{head.min:.4g} to {head.max:.4g}, mean {head.mean:.4g}"
            return f"{shape}: {values} {head.unit}".rstrip()
