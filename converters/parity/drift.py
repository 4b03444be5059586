"""Drift, taken apart: what each step from the trained model to the device changes.

One thing is switched at a time, and every step is measured on the same images
against the one before it, so that the changes add up to the whole:

- preprocessing: the pixels, from those of the rule written on Pillow to those
  that the device makes;
- quantization: the network in torch, from float to the QDQ graph of the program;
- conversion: from torch to the artifact on kernels that do what the file says;
- kernels: from those to the fast kernels of the runtime.

Elsewhere, the kernels are others: of a processor, by the command that shows it,
and of devices that were measured. Each of them is held against those here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.artifacts import Metadata, check_manifest, read_metadata
from edgeskin.converters.parity.compare import agree, same_model
from edgeskin.converters.parity.gates import disagrees, other_weights
from edgeskin.converters.parity.reference import Model, need_network, open_model
from edgeskin.converters.parity.resizes import find_resize
from edgeskin.data.manifest import Dataset
from edgeskin.errors import InvalidResult, InvalidRun
from edgeskin.evaluation import Truth, compare
from edgeskin.files import sha256
from edgeskin.formats import open_session
from edgeskin.images import decode
from edgeskin.measured import Measured
from edgeskin.postprocess import Outputs
from edgeskin.predict_batch import check_prefix, run_under
from edgeskin.predictor import Predictor
from edgeskin.runtimes import Kernels
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
    measured: Sequence[Measured] = (),
    trust: bool = False,
    tell: Tell = lambda what, done, total: None,
) -> dict[str, Any]:
    """The steps from the trained model to the artifact, each with its paired interval.

    Args:
        reference: The run that was trained.
        program: The quantized program (`.pt2`) in between; an int8 artifact needs it.
        preprocess: A name of `resizes.RESIZES`: who resizes on the device.
        under: Commands to run `python` under, for kernels of other processors; tried
            before anything is measured.
        measured: What devices gave for the same artifact on the same pixels.
        trust: Run the code that the run names, whoever wrote it.
        tell: What is being done, and how many of how many images are.

    Returns:
        A document: `stages` with their agreement against the one before, `elsewhere`
        against the last of them, and `metrics`: `start`, `end`, `steps` (`stage`,
        `value`, `change`), `total`, and the same of `elsewhere`.

    Raises:
        InvalidRun: An int8 artifact without a program, a reference that is no run, or
            an artifact, program and run that are not of each other.
        InvalidResult: A measured one is of another artifact, or of other pixels.
        ShapeMismatch: Different models.
        NotSupportedHere: A command of `under` fails.
        NotTrusted: The run names a factory that needs `trust`.
    """
    for command in under:
        check_prefix(command)
    path = Path(artifact)
    check_manifest(path)
    metadata = read_metadata(path)
    spec = metadata.spec
    trained = open_model(reference, spec, trust=trust)
    same_model(trained.spec, spec)
    need_network(trained)
    quantized = _program(program, spec, metadata.precision)
    check_origin(path, metadata, trained, quantized)
    results = measured_stages(measured, path, data, preprocess)
    stages, ours = _stages(path, metadata, trained, quantized, data, preprocess, tell)
    what = f"{stages[-1].what} under this command"
    elsewhere = [
        Stage(command, what, run_under(command, path, ours, partial(tell, command)))
        for command in under
    ]
    return {
        "artifact": path.name,
        "data": data.folder.resolve().name,
        "split": data.split,
        "images": len(ours),
        "pixels_sha256": hashlib.sha256(ours.tobytes()).hexdigest(),
        "reference_sha256": trained.sha256,
        **split(spec, stages, data.truth(spec), [*elsewhere, *results]),
    }


def _stages(
    path: Path,
    metadata: Metadata,
    trained: Model,
    quantized: Model | None,
    data: Dataset,
    preprocess: str,
    tell: Tell,
) -> tuple[list[Stage], Pixels]:
    """Everything up to the kernels of this machine, and the pixels that went into them."""
    spec = metadata.spec
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
    return stages, ours


def split(
    spec: Spec, stages: Sequence[Stage], truth: Truth, elsewhere: Sequence[Stage] = ()
) -> dict[str, Any]:
    """`stages`, `elsewhere` and `metrics` of outputs at hand, as `measure` returns them."""

    def compared(before: Stage, after: Stage) -> _Step:
        changes = compare(spec, before.outputs, after.outputs, truth)
        return _Step(after, {name: change.to_json() for name, change in changes.items()})

    first, last = stages[0], stages[-1]
    whole = compared(first, last).metrics
    steps = [compared(*pair) for pair in pairwise(stages)]
    others = [(compared(last, other), compared(first, other)) for other in elsewhere]
    return {
        "stages": [
            {"stage": first.name, "what": first.what},
            *(_agreement(*pair) for pair in pairwise(stages)),
        ],
        "elsewhere": [_agreement(last, other) for other in elsewhere],
        "metrics": {
            name: {
                "unit": found["unit"],
                "higher_is_better": found["higher_is_better"],
                "start": found["reference"],
                "end": found["candidate"],
                "steps": [step.of(name) for step in steps],
                "total": found["change"],
                "elsewhere": [
                    {**step.of(name), "total": total.metrics[name]["change"]}
                    for step, total in others
                ],
            }
            for name, found in whole.items()
        },
    }


@dataclass(frozen=True)
class _Step:
    """A stage, and all metrics compared with those of another."""

    stage: Stage
    metrics: Mapping[str, Any]

    def of(self, name: str) -> dict[str, Any]:
        found = self.metrics[name]
        return {
            "stage": self.stage.name,
            "what": self.stage.what,
            "value": found["candidate"],
            "change": found["change"],
        }


def _agreement(before: Stage, after: Stage) -> dict[str, Any]:
    return {"stage": after.name, "what": after.what, "sqnr_db": _worst(before, after)}


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


def check_origin(path: Path, metadata: Metadata, trained: Model, quantized: Model | None) -> None:
    """
    Raises:
        InvalidRun: The artifact, the program and the run are not of each other.
    """
    wrong = [f"{path.name}: {line}" for line in disagrees(path, metadata, trained)]
    if quantized is not None:
        others = other_weights(quantized.weights_sha256, trained)
        wrong += [f"{quantized.name}: {line}" for line in others]
        wrong += [f"{path.name}: {line}" for line in disagrees(path, metadata, quantized)]
    if wrong:
        raise InvalidRun(wrong[0])


def measured_stages(
    measured: Sequence[Measured], path: Path, data: Dataset, preprocess: str
) -> list[Stage]:
    """
    Raises:
        InvalidResult: Of another artifact or other pixels than are compared here.
    """
    if measured and preprocess != "core":
        raise InvalidResult(
            f"{measured[0].path} is of pixels by core, which is what runs on devices, and here "
            f"they are by {preprocess}. Leave one of the two out"
        )
    images = [sha256(image) for image in data.paths] if measured else []
    return [Stage(m.device, m.engine, m.of(path, images)) for m in measured]


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
