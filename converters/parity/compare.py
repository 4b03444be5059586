"""Parity of the whole: an artifact on its real runtime against a reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.artifacts import read_metadata
from edgeskin.converters.parity.diagnose import CLEAR_DB, check_shapes, explain
from edgeskin.converters.parity.floors import rounding_db, whole_db
from edgeskin.converters.parity.gates import disagrees, faults
from edgeskin.converters.parity.reference import Model, of_run, open_model
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.errors import ShapeMismatch
from edgeskin.evaluation import Truth, compare
from edgeskin.models.run import Run
from edgeskin.postprocess import Outputs, decisions
from edgeskin.predictor import Predictor, load
from edgeskin.spec import Spec

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Reference:
    """What the reference says of a data set: computed once, held against many artifacts.

    `identity` names the data, the split and the weights, by hash.
    """

    model: Model
    pixels: NDArray[np.uint8]
    outputs: Outputs
    truth: Truth
    identity: dict[str, str]

    @classmethod
    def of(cls, reference: Run | Model, data: Dataset) -> Reference:
        model = of_run(reference) if isinstance(reference, Run) else reference
        pixels = data.pixels(model.spec.input)
        return cls(
            model=model,
            pixels=pixels,
            outputs=model.run_all(pixels),
            truth=data.truth(model.spec),
            identity={
                "data": data.folder.resolve().name,
                "split": data.split,
                "pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
                "reference_sha256": model.sha256,
            },
        )

    @cached_property
    def rounding_db(self) -> float | None:
        """See `floors.rounding_db`."""
        return rounding_db(self.model, self.pixels)

    def verify(self, artifact: Path | str, progress: Progress | None = None) -> dict[str, Any]:
        """The document of `verify`."""
        metadata = read_metadata(Path(artifact))
        with load(artifact) as predictor:
            same_model(self.model.spec, predictor.spec)
            found = predictor.run_all(self.pixels, progress)
            document = report(predictor, self.outputs, found, self.truth)
        floor = whole_db(metadata.precision, self.rounding_db)
        cause = None
        if not document["sqnr_db"] >= max(floor, CLEAR_DB):
            cause = explain(self.model, self.pixels, found, metadata.precision, floor)
        document = {
            "artifact": Path(artifact).name,
            **self.identity,
            "precision": metadata.precision,
            "floor_db": floor,
            "rounding_db": None if metadata.precision == "int8" else self.rounding_db,
            **document,
            "cause": cause and cause.as_dict(),
            "disagrees": disagrees(Path(artifact), metadata, self.model),
        }
        return document | {"faults": faults(document)}


def verify(
    artifact: Path | str,
    reference: Run | Model | Path | str,
    data: Dataset | Path | str,
    *,
    trust: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run both models on every image and say how far they agree.

    Args:
        data: A split, or a data folder, whose test split is taken.
        reference: The run that the artifact was made from, its program (`.pt2`),
            or a float `.onnx` or `.tflite` file; see `reference.open_model`.
        trust: Run the code that the reference names, whoever wrote it.

    Returns:
        A document: `artifact`, the identity of data and reference, `agreement`
        per output (SQNR in dB, cosine, largest difference), `equal_decisions`
        per head (share), `metrics` of both with the paired change, the smallest
        SQNR as `sqnr_db`, the `floor_db` that it must reach and the `rounding_db`
        that the floor of a float file follows from (see `floors.py`), the `cause`
        of what disagrees, where one is known, and `faults`: why the artifact is
        not that of this reference, a line each.

    Raises:
        ShapeMismatch: The two models have different inputs or heads.
        NotTrusted: The reference names a factory that needs `trust`.
    """
    with load(artifact) as predictor:  # before the float model runs on every image
        if isinstance(reference, Path | str):
            reference = open_model(reference, predictor.spec, trust=trust)
        same_model(reference.spec, predictor.spec)
    if isinstance(data, Path | str):
        data = load_split(data, "test")
    return Reference.of(reference, data).verify(artifact, progress)


def report(predictor: Predictor, expected: Outputs, found: Outputs, truth: Truth) -> dict[str, Any]:
    """Agreement, decisions and metrics, for outputs at hand."""
    check_shapes(expected, found)
    agreement = {name: agree(values, found[name]) for name, values in expected.items()}
    ours, theirs = decisions(predictor.spec, expected), decisions(predictor.spec, found)
    return {
        "runtime": predictor.session.runtime,
        "images": len(next(iter(found.values()))),
        "sqnr_db": float(np.min([entry["sqnr_db"] for entry in agreement.values()])),  # or NaN
        "agreement": agreement,
        "equal_decisions": {
            name: metrics.equal_ratio(values, theirs[name]) for name, values in ours.items()
        },
        "metrics": {
            name: change.to_json()
            for name, change in compare(predictor.spec, expected, found, truth).items()
        },
    }


def agree(reference: NDArray[Any], candidate: NDArray[Any]) -> dict[str, float]:
    """SQNR (dB), cosine and largest difference (in the output's unit)."""
    return {
        "sqnr_db": metrics.sqnr_db(reference, candidate),
        "cosine": metrics.cosine_ratio(reference, candidate),
        "max_difference": metrics.max_difference(reference, candidate),
    }


def worst_drop(document: dict[str, Any]) -> float:
    """The largest loss over all ratio metrics, in points (0 if none got worse)."""
    drops = [
        -m["change"]["value"] * 100.0
        for m in document["metrics"].values()
        if m["unit"] == "ratio" and m["higher_is_better"]
    ]
    return float(np.max([0.0, *drops]))  # NaN stays NaN


def worst_mae_rise(document: dict[str, Any]) -> float:
    """The largest rise of a mean absolute error, in its unit (0 if none rose)."""
    maes = [m for name, m in document["metrics"].items() if name.endswith("_mae")]
    return float(np.max([0.0, *(m["change"]["value"] for m in maes)]))


def same_model(reference: Spec, artifact: Spec) -> None:
    ours, theirs = reference.output_names("app"), artifact.output_names("app")
    if ours != theirs:
        raise ShapeMismatch(
            f"the reference gives {', '.join(ours)}, the artifact {', '.join(theirs)}: "
            "they are not the same model. Pass the run that the artifact was made from."
        )
    if reference.heads != artifact.heads:
        pairs = zip_longest(reference.heads, artifact.heads)
        our_head, their_head = next(pair for pair in pairs if pair[0] != pair[1])
        raise ShapeMismatch(
            f"the reference has the head {our_head!r}, the artifact {their_head!r}. "
            "Pass the run that the artifact was made from."
        )
    if reference.input != artifact.input:
        raise ShapeMismatch(
            "the reference and the artifact preprocess differently "
            f"({_difference(reference, artifact)}). Pass the run that the artifact was made from."
        )


def _difference(reference: Spec, artifact: Spec) -> str:
    ours, theirs = reference.input.model_dump(), artifact.input.model_dump()
    return "; ".join(f"{k} {v} against {theirs[k]}" for k, v in ours.items() if v != theirs[k])
