"""Drift, taken apart: what each step from the trained model to the device changes.

One thing is switched at a time, and every step is measured on the same images
against the one before it, so that the changes add up to the whole:

- preprocessing: the pixels, from those of the rule written on Pillow to those
  that the device makes;
- quantization: the network in torch, from float to the QDQ graph of the program;
- conversion: from torch to the artifact on kernels that do what the file says;
- kernels: from those to the fast kernels of the runtime;
- any further kernels, of another processor for instance, each against the one
  before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.artifacts import check_manifest, read_metadata
from edgeskin.converters.parity.reference import Model, need_network, open_model
from edgeskin.converters.parity.resizes import find_resize
from edgeskin.converters.parity.whole import agree, same_model
from edgeskin.data.manifest import Dataset
from edgeskin.errors import InvalidRun
from edgeskin.evaluation import Truth, compare
from edgeskin.images import decode
from edgeskin.postprocess import Outputs
from edgeskin.predictor import Predictor
from edgeskin.runtimes import Kernels, open_session
from edgeskin.runtimes.batch import run_under
from edgeskin.spec import Spec

Pixels = NDArray[np.uint8]
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Stage:
    """One thing switched: `name` says what, `what` to what."""

    name: str
    what: str
    outputs: Outputs


def measure(
    artifact: Path | str,
    reference: Path | str,
    data: Dataset,
    *,
    program: Path | str | None = None,
    preprocess: str = "core",
    under: Sequence[str] = (),
    tell: Tell = lambda what, done, total: None,
) -> dict[str, Any]:
    """The steps from the trained model to the artifact, each with its paired interval.

    Args:
        reference: The run that was trained.
        program: The quantized program (`.pt2`) in between; an int8 artifact needs it.
        preprocess: A name of `resizes.RESIZES`: who resizes on the device.
        under: Commands to run `python` under, for kernels of other processors.

    Returns:
        A document: `stages` with their agreement against the one before, and
        `metrics`: `start`, `end`, `steps` (`stage`, `value`, `change`), `total`.

    Raises:
        InvalidRun: An int8 artifact without a program, or a reference that is no run.
        ShapeMismatch: Different models.
        NotSupportedHere: A command of `under` fails.
    """
    path = Path(artifact)
    check_manifest(path)
    metadata = read_metadata(path)
    spec = metadata.spec
    trained = open_model(reference, spec)
    same_model(trained.spec, spec)
    need_network(trained)
    quantized = _program(program, spec, metadata.precision)
    theirs, ours = (_pixels(data, spec, name, tell) for name in ("pillow", preprocess))
    same = bool(np.array_equal(theirs, ours))
    stages = [Stage("trained", "float network in torch, pixels by Pillow", trained.run_all(theirs))]
    seen = "the same bytes" if same else f"{np.mean(theirs != ours):.1%} of the values differ"
    stages.append(Stage("preprocessing", f"pixels by {preprocess}: {seen}", trained.run_all(ours)))
    if quantized is not None:
        outputs = quantized.run_all(ours)
        stages.append(Stage("quantization", f"{quantized.name} in torch", outputs))
    for name, kernels in (("conversion", "reference"), ("kernels", "fast")):
        stage = _on_runtime(path, spec, metadata.io, ours, name, kernels, tell)  # type: ignore[arg-type]
        if stage.what != stages[-1].what:  # a runtime may have no other kernels on this machine
            stages.append(stage)
    stages += [Stage("kernels", command, run_under(command, path, ours)) for command in under]
    return {
        "artifact": path.name,
        "data": data.folder.resolve().name,
        "split": data.split,
        "images": len(ours),
        "pixels_sha256": hashlib.sha256(ours.tobytes()).hexdigest(),
        "reference_sha256": trained.sha256,
        **split(spec, stages, data.truth(spec)),
    }


def split(spec: Spec, stages: Sequence[Stage], truth: Truth) -> dict[str, Any]:
    """`stages` and `metrics` of outputs at hand, each stage against the one before."""
    steps = [
        (after, compare(spec, before.outputs, after.outputs, truth))
        for before, after in pairwise(stages)
    ]
    whole = compare(spec, stages[0].outputs, stages[-1].outputs, truth)
    return {
        "stages": [
            {"stage": stages[0].name, "what": stages[0].what},
            *(
                {"stage": after.name, "what": after.what, "sqnr_db": _worst(before, after)}
                for before, after in pairwise(stages)
            ),
        ],
        "metrics": {name: _metric(name, found, steps) for name, found in whole.items()},
    }


def _metric(
    name: str, whole: Mapping[str, Any], steps: Sequence[tuple[Stage, dict[str, Any]]]
) -> dict[str, Any]:
    return {
        "unit": whole["unit"],
        "higher_is_better": whole["higher_is_better"],
        "start": whole["reference"],
        "end": whole["candidate"],
        "steps": [
            {
                "stage": stage.name,
                "what": stage.what,
                "value": found[name]["candidate"],
                "change": found[name]["change"],
            }
            for stage, found in steps
        ],
        "total": whole["change"],
    }


def _worst(before: Stage, after: Stage) -> float:
    """The least SQNR of any output, dB."""
    found = [agree(x, after.outputs[name])["sqnr_db"] for name, x in before.outputs.items()]
    return float(np.min(found))


def _program(program: Path | str | None, spec: Spec, precision: str) -> Model | None:
    if precision != "int8":
        return None
    if program is None:
        raise InvalidRun(
            "an int8 artifact has a quantized program in between: pass it with --program "
            "(edgeskin calibrate writes one)"
        )
    model = open_model(program, spec)
    same_model(model.spec, spec)
    return model


def _pixels(data: Dataset, spec: Spec, name: str, tell: Tell) -> Pixels:
    resize = find_resize(name)
    out = np.empty((len(data), spec.input.height, spec.input.width, 3), np.uint8)
    for i, path in enumerate(data.paths):
        out[i] = resize(decode(path), spec.input)
        tell(f"resizing by {name}", i + 1, len(data))
    return out


def _on_runtime(
    path: Path, spec: Spec, io: str, pixels: Pixels, name: str, kernels: Kernels, tell: Tell
) -> Stage:
    with Predictor(spec, open_session(path, kernels=kernels), io) as predictor:
        runtime = predictor.session.runtime
        found = predictor.run_all(pixels, lambda done, total: tell(runtime, done, total))
    return Stage(name, runtime, found)
