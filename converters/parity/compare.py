"""Agreement of an artifact on its own runtime with a reference: outputs, decisions, metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.converters.parity.diagnose import CLEAR_DB, check_shapes, explain
from edgeskin.converters.parity.documents import OutputAgreement, TaskComparison, Verification
from edgeskin.converters.parity.floors import rounding_db, whole_db
from edgeskin.converters.parity.gates import disagrees, faults
from edgeskin.converters.parity.opened import OpenedFile, opened
from edgeskin.converters.parity.reference import Model, of_run, open_model
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import Dataset, ImageData, load_split
from edgeskin.errors import ShapeMismatch
from edgeskin.evaluation import Truth, compare
from edgeskin.measured import Measured
from edgeskin.models.run import Run
from edgeskin.postprocess import Outputs, decisions
from edgeskin.progress import Progress, silent
from edgeskin.spec import Spec
from edgeskin.subgroups import ALLOWED_POINTS, Grouping, Subgroups, by_groupings


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference's answers to a split of a data set: computed once, for many artifacts."""

    model: Model
    data: str
    split: str
    rule: str | None
    pixels: NDArray[np.uint8]
    outputs: Outputs
    truth: Truth
    groupings: Mapping[str, Grouping] = field(default_factory=dict)
    allowed_points: float = ALLOWED_POINTS

    @classmethod
    def of(
        cls,
        reference: Run | Model,
        data: Dataset,
        groupings: Mapping[str, Grouping] | None = None,
        allowed_points: float = ALLOWED_POINTS,
    ) -> Reference:
        """Of every image of `data`, whose `groupings` `data.grouping.group_images` makes."""
        model = of_run(reference) if isinstance(reference, Run) else reference
        pixels = data.pixels(model.spec.input)
        return cls(
            model=model,
            data=data.name,
            split=data.split,
            rule=data.rule_for(model.spec),
            pixels=pixels,
            outputs=model.run_all(pixels),
            truth=data.truth(model.spec),
            groupings=groupings or {},
            allowed_points=allowed_points,
        )

    @cached_property
    def pixels_sha256(self) -> str:
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    @cached_property
    def rounding_db(self) -> float | None:
        """See `floors.rounding_db`."""
        return rounding_db(self.model, self.pixels)

    def verify(
        self,
        artifact: OpenedFile | Path | str,
        progress: Progress = silent,
        outputs: Outputs | None = None,
        measured: Measured | None = None,
    ) -> Verification:
        """What the function `verify` returns.

        Args:
            outputs: The artifact's, if known already.
            measured: Where `outputs` come from, if not from the artifact's own runtime here.

        Raises:
            ValueError: `measured` without `outputs`.
        """
        if measured is not None and outputs is None:
            raise ValueError("the outputs of the measured images: measured.of(artifact, images)")
        with opened(artifact) as file:
            spec, precision = file.metadata.spec, file.metadata.precision
            same_model(self.model.spec, spec)
            if outputs is None:
                outputs = file.predictor.run_all(self.pixels, progress)
            runtime = measured.runtime if measured else file.session.runtime
            comparison = compare_outputs(spec, runtime, self.outputs, outputs, self.truth)
            disagreements = disagrees(file, self.model)
        if measured and measured.in_half and precision == "fp32":
            precision = "fp16"  # which is what the accelerator computes in
        floor = whole_db(precision, self.rounding_db)
        clear = comparison.sqnr_db >= max(floor, CLEAR_DB)
        cause = None if clear else explain(self.model, self.pixels, outputs, precision, floor)
        verification = Verification(
            **dict(comparison),
            artifact=file.path.name,
            data=self.data,
            split=self.split,
            data_rule=self.rule,
            pixels_sha256=self.pixels_sha256,
            reference_sha256=self.model.sha256,
            precision=precision,
            floor_db=floor,
            rounding_db=None if precision == "int8" else self.rounding_db,
            cause=cause,
            disagrees=disagreements,
            faults=(),
            subgroups=self._subgroups(outputs) or None,
        )
        return verification.model_copy(update={"faults": faults(verification)})

    def _subgroups(self, outputs: Outputs) -> dict[str, Subgroups]:
        return by_groupings(
            self.model.spec,
            self.outputs,
            outputs,
            self.truth,
            self.groupings,
            allowed_points=self.allowed_points,
        )


def verify(
    artifact: OpenedFile | Path | str,
    reference: Run | Model | Path | str,
    data: Dataset | ImageData | Path | str,
    groups: GroupOptions = GroupOptions(),
    *,
    measured: Measured | None = None,
    trust: bool = False,
    progress: Progress = silent,
) -> Verification:
    """Run both models on every image and say how far they agree.

    Args:
        data: A split, or what `open_data` takes or gave, whose test split is taken.
        reference: The run that the artifact was made from, its program (`.pt2`),
            or a float `.onnx` or `.tflite` file; see `reference.open_model`.
        groups: What to give the metrics by, beside those of all images.
        measured: What a device made of the artifact and these images: the artifact is not run.
        trust: Run the code that the reference names, whoever wrote it.

    Raises:
        InvalidData: Images cannot be grouped so.
        InvalidResult: `measured` is of another artifact, or of other pixels.
        ShapeMismatch: The two models have different inputs or heads.
        NotTrusted: The reference names a factory that needs `trust`.
    """
    with opened(artifact) as file:
        # A broken file shows before the float model runs.
        spec = file.predictor.spec if measured is None else file.metadata.spec
        if isinstance(reference, Path | str):
            reference = open_model(reference, spec, trust=trust)
        same_model(reference.spec, spec)
        if not isinstance(data, Dataset):
            data = load_split(data, "test")
        groupings = group_images(data, groups, trust=trust, progress=progress)
        outputs = None
        if measured is not None:
            outputs = measured.of(file.path, [image.sha256() for image in data.images])
        known = Reference.of(reference, data, groupings, groups.allowed_points)
        return known.verify(file, progress, outputs, measured)


def compare_outputs(
    spec: Spec, runtime: str, expected: Outputs, outputs: Outputs, truth: Truth
) -> TaskComparison:
    """Agreement, decisions and metrics of outputs at hand, those of `runtime` against others."""
    check_shapes(expected, outputs)
    agreement = {name: agree(values, outputs[name]) for name, values in expected.items()}
    decided = decisions(spec, outputs)
    return TaskComparison(
        runtime=runtime,
        images=len(next(iter(outputs.values()))),
        sqnr_db=lowest_db(agreement),
        agreement=agreement,
        equal_decisions={
            name: metrics.equal_ratio(values, decided[name])
            for name, values in decisions(spec, expected).items()
        },
        metrics=compare(spec, expected, outputs, truth),
    )


def agree(reference: NDArray[Any], candidate: NDArray[Any]) -> OutputAgreement:
    """How far the values of one output agree."""
    return OutputAgreement(
        sqnr_db=metrics.sqnr_db(reference, candidate),
        cosine=metrics.cosine_ratio(reference, candidate),
        max_difference=metrics.max_difference(reference, candidate),
    )


def lowest_db(agreement: dict[str, OutputAgreement]) -> float:
    """SQNR in decibels of the output that agrees least; NaN where one is no number."""
    return float(np.min([output.sqnr_db for output in agreement.values()]))


def same_model(reference: Spec, artifact: Spec) -> None:
    """Check that two specs are of one network.

    Raises:
        ShapeMismatch: Other outputs, heads or preprocessing.
    """
    expected, names = reference.output_names("app"), artifact.output_names("app")
    if expected != names:
        raise ShapeMismatch(
            f"the reference gives {', '.join(expected)}, the artifact {', '.join(names)}: "
            "they are not the same model. Pass the run that the artifact was made from."
        )
    if reference.heads != artifact.heads:
        pairs = zip_longest(reference.heads, artifact.heads)
        expected_head, head = next(pair for pair in pairs if pair[0] != pair[1])
        raise ShapeMismatch(
            f"the reference has the head {expected_head!r}, the artifact {head!r}. "
            "Pass the run that the artifact was made from."
        )
    if reference.input != artifact.input:
        raise ShapeMismatch(
            "the reference and the artifact preprocess differently "
            f"({_difference(reference, artifact)}). Pass the run that the artifact was made from."
        )


def _difference(reference: Spec, artifact: Spec) -> str:
    expected, settings = reference.input.model_dump(), artifact.input.model_dump()
    return "; ".join(
        f"{k} {v} against {settings[k]}" for k, v in expected.items() if v != settings[k]
    )
