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
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskin.artifacts import check_manifest
from edgeskin.converters.parity.compare import agree, lowest_db, same_model
from edgeskin.converters.parity.documents import (
    Drift,
    DriftReport,
    DriftStage,
    DriftStep,
    MetricDrift,
)
from edgeskin.converters.parity.gates import disagrees, other_weights
from edgeskin.converters.parity.opened import OpenedFile, opened
from edgeskin.converters.parity.reference import Model, need_network, open_model
from edgeskin.converters.parity.resizes import find_resize
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import Dataset, ImageData, load_split
from edgeskin.errors import InvalidResult, InvalidRun
from edgeskin.estimate import Estimate
from edgeskin.evaluation import MetricChange, Truth, compare
from edgeskin.formats import open_session
from edgeskin.measured import Measured
from edgeskin.postprocess import Outputs
from edgeskin.predict_batch import check_prefix, run_under
from edgeskin.predictor import Predictor
from edgeskin.progress import Progress, silent
from edgeskin.runtimes import Session
from edgeskin.spec import Spec
from edgeskin.subgroups import by_groupings

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class StageOutputs:
    """One thing switched: `name` says what, `what` to what."""

    name: str
    what: str
    outputs: Outputs

    def beside(self, before: StageOutputs) -> DriftStage:
        """Its agreement with another stage."""
        agreement = {name: agree(x, self.outputs[name]) for name, x in before.outputs.items()}
        return DriftStage(stage=self.name, what=self.what, sqnr_db=lowest_db(agreement))


@dataclass(frozen=True)
class DriftOptions:
    """What lies between the trained model and the device, and what else to hold against it.

    Attributes:
        program: The quantized program (`.pt2`) in between; an int8 artifact needs it.
        preprocess: A name of `resizes.RESIZES`: who resizes on the device.
        under: Commands to run `python` under, for kernels of other processors; tried
            before anything is measured.
        measured: What devices gave for the same artifact on the same pixels.
        groups: What to give the whole change by, beside that of all images.
    """

    program: Path | str | None = None
    preprocess: str = "core"
    under: Sequence[str] = ()
    measured: Sequence[Measured] = ()
    groups: GroupOptions = GroupOptions()


def drift(
    artifact: Path | str,
    reference: Path | str,
    data: Dataset | ImageData | Path | str,
    options: DriftOptions = DriftOptions(),
    *,
    trust: bool = False,
    progress: Progress = silent,
) -> DriftReport:
    """The steps from the trained model to the artifact, each with its paired interval.

    Args:
        reference: The run that was trained.
        data: A split, or what `open_data` takes or gave, whose test split is taken.
        trust: Run the code that the run names, whoever wrote it.
        progress: What is being done, and how many of how many images are.

    Raises:
        InvalidRun: An int8 artifact without a program, a reference that is no run, or
            an artifact, program and run that are not of each other.
        InvalidResult: A measured one is of another artifact, or of other pixels.
        InvalidData: Images cannot be grouped as `options` says.
        ShapeMismatch: Different models.
        NotSupportedHere: A command of `under` fails.
        NotTrusted: The run names a factory that needs `trust`.
    """
    if not isinstance(data, Dataset):
        data = load_split(data, "test")
    for command in options.under:
        check_prefix(command)
    with opened(artifact) as file:
        check_manifest(file.path)
        spec = file.metadata.spec
        trained = open_model(reference, spec, trust=trust)
        same_model(trained.spec, spec)
        need_network(trained)
        quantized = _program(options.program, spec, file.metadata.precision)
        check_origin(file, trained, quantized)
        devices = measured_stages(options, file.path, data)
        groupings = group_images(data, options.groups, trust=trust, progress=progress)
        stages, pixels = _stages(file, trained, quantized, data, options.preprocess, progress)
    what = f"{stages[-1].what} under this command"
    processors = [
        StageOutputs(command, what, run_under(command, file.path, pixels, progress))
        for command in options.under
    ]
    truth = data.truth(spec)
    subgroups = by_groupings(
        spec,
        stages[0].outputs,
        stages[-1].outputs,
        truth,
        groupings,
        allowed_points=options.groups.allowed_points,
    )
    return DriftReport(
        artifact=file.path.name,
        data=data.name,
        split=data.split,
        data_rule=data.rule_for(spec),
        images=len(pixels),
        pixels_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        reference_sha256=trained.sha256,
        subgroups=subgroups or None,
        **dict(split(spec, stages, truth, [*processors, *devices])),
    )


def _stages(
    file: OpenedFile,
    trained: Model,
    quantized: Model | None,
    data: Dataset,
    preprocess: str,
    progress: Progress,
) -> tuple[list[StageOutputs], Pixels]:
    """Everything up to the kernels of this machine, and the pixels that went into them."""
    spec = file.metadata.spec
    by_pillow, pixels = (_pixels(data, spec, name, progress) for name in ("pillow", preprocess))
    answers = trained.run_all(by_pillow)
    stages = [StageOutputs("trained", "float network in torch, pixels by Pillow", answers)]
    same = bool(np.array_equal(by_pillow, pixels))
    other = f"{np.mean(by_pillow != pixels):.1%} of the values differ"
    what = f"pixels by {preprocess}: {'the same bytes' if same else other}"
    stages.append(StageOutputs("preprocessing", what, trained.run_all(pixels)))
    if quantized is not None:
        outputs = quantized.run_all(pixels)
        stages.append(StageOutputs("quantization", f"{quantized.name} in torch", outputs))
    with open_session(file.path, kernels="reference") as session:
        stages.append(_on_runtime(file, session, pixels, "conversion", progress))
    stage = _on_runtime(file, file.session, pixels, "kernels", progress)
    if stage.what != stages[-1].what:  # a runtime may have no other kernels on this machine
        stages.append(stage)
    return stages, pixels


def split(
    spec: Spec, stages: Sequence[StageOutputs], truth: Truth, elsewhere: Sequence[StageOutputs] = ()
) -> Drift:
    """The drift of outputs at hand."""

    def changes(before: StageOutputs, after: StageOutputs) -> dict[str, MetricChange]:
        return compare(spec, before.outputs, after.outputs, truth)

    first, last = stages[0], stages[-1]
    pairs = list(pairwise(stages))
    steps = [(after, changes(before, after)) for before, after in pairs]
    others = [(stage, changes(last, stage), changes(first, stage)) for stage in elsewhere]
    return Drift(
        stages=(
            DriftStage(stage=first.name, what=first.what),
            *(after.beside(before) for before, after in pairs),
        ),
        elsewhere=tuple(stage.beside(last) for stage in elsewhere),
        metrics={
            name: MetricDrift(
                unit=whole.unit,
                higher_is_better=whole.higher_is_better,
                nominal=whole.nominal,
                start=whole.reference,
                end=whole.candidate,
                steps=tuple(_step(stage, changed[name]) for stage, changed in steps),
                total=whole.change,
                elsewhere=tuple(
                    _step(stage, changed[name], total[name].change)
                    for stage, changed, total in others
                ),
            )
            for name, whole in changes(first, last).items()
        },
    )


def _step(stage: StageOutputs, metric: MetricChange, total: Estimate | None = None) -> DriftStep:
    return DriftStep(
        stage=stage.name,
        what=stage.what,
        value=metric.candidate,
        change=metric.change,
        total=total,
    )


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


def check_origin(file: OpenedFile, trained: Model, quantized: Model | None) -> None:
    """Check that an artifact, its program and its run are of each other.

    Raises:
        InvalidRun: They are not.
    """
    wrong = [f"{file.path.name}: {line}" for line in disagrees(file, trained)]
    if quantized is not None:
        others = other_weights(quantized.weights_sha256, trained)
        wrong += [f"{quantized.name}: {line}" for line in others]
        wrong += [f"{file.path.name}: {line}" for line in disagrees(file, quantized)]
    if wrong:
        raise InvalidRun(wrong[0])


def measured_stages(options: DriftOptions, artifact: Path, data: Dataset) -> list[StageOutputs]:
    """The outputs of devices that were measured.

    Raises:
        InvalidResult: Of another artifact or other pixels than are compared here.
    """
    measured = options.measured
    if measured and options.preprocess != "core":
        raise InvalidResult(
            f"{measured[0].path} is of pixels by core, which is what runs on devices, and here "
            f"they are by {options.preprocess}. Leave one of the two out"
        )
    images = [image.sha256() for image in data.images] if measured else []
    return [StageOutputs(m.device, m.engine, m.of(artifact, images)) for m in measured]


def _pixels(data: Dataset, spec: Spec, name: str, progress: Progress) -> Pixels:
    resize = find_resize(name)
    out = np.empty((len(data), spec.input.height, spec.input.width, 3), np.uint8)
    for i, image in enumerate(data.images):
        out[i] = resize(image.decode(), spec.input)
        progress(f"resizing by {name}", i + 1, len(data))
    return out


def _on_runtime(
    file: OpenedFile, session: Session, pixels: Pixels, name: str, progress: Progress
) -> StageOutputs:
    predictor = Predictor(file.metadata.spec, session, file.metadata.io)
    return StageOutputs(name, session.runtime, predictor.run_all(pixels, progress))
