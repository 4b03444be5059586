"""`edgeskin.verify` and `edgeskin.drift`: of one model, or of a pipeline of two."""

from __future__ import annotations

from pathlib import Path

from edgeskin.converters.parity import compare
from edgeskin.converters.parity import drift as single
from edgeskin.converters.parity.documents import DriftReport, Verification
from edgeskin.converters.parity.drift import DriftOptions
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.converters.parity.pipeline_compare import verify_pipeline
from edgeskin.converters.parity.pipeline_drift import drift_pipeline
from edgeskin.converters.parity.reference import Model
from edgeskin.data.grouping import GroupOptions
from edgeskin.data.manifest import Dataset, ImageData
from edgeskin.errors import InvalidArtifact
from edgeskin.measured import Measured
from edgeskin.models.run import Run
from edgeskin.pipelines.pipeline_folder import is_pipeline
from edgeskin.progress import Progress, silent


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
    """Run both models, or both pipelines, on every image and say how far they agree.

    Args:
        data: A split, or what `open_data` takes or gave, whose test split is taken.
        reference: The run that the artifact was made from, its program (`.pt2`), or a float
            `.onnx` or `.tflite` file; of a pipeline, the pipeline of its runs.
        groups: What to give the metrics by, beside those of all images.
        measured: Of one model, what a device made of it and these images: it is not run here.
        trust: Run the code that the reference names, whoever wrote it.

    Returns:
        Of a pipeline a `PipelineVerification`, which has each stage too.

    Raises:
        ShapeMismatch: The two have different inputs or heads, or join otherwise.
        InvalidData: Images cannot be grouped so, or the reference pipeline answers none.
        NotTrusted: The reference names a factory that needs `trust`.
    """
    if isinstance(artifact, OpenedFile) or not is_pipeline(artifact):
        return compare.verify(
            artifact, reference, data, groups, measured=measured, trust=trust, progress=progress
        )
    if measured is not None:
        raise InvalidArtifact(
            f"{artifact} is a pipeline, and {measured.path} is of one model: verify that one"
        )
    if not isinstance(reference, Path | str):
        raise InvalidArtifact(
            f"{artifact} is a pipeline: its reference is the folder of the pipeline of its runs"
        )
    return verify_pipeline(artifact, reference, data, groups, trust=trust, progress=progress)


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
        reference: The run that was trained; of a pipeline, the pipeline of its runs.
        data: A split, or what `open_data` takes or gave, whose test split is taken.
        options: Of a pipeline `groups` alone: the others are of one model.
        trust: Run the code that a run names, whoever wrote it.

    Returns:
        Of a pipeline a `PipelineDrift`, whose steps are its stages.

    Raises:
        InvalidRun: An int8 artifact without a program, a reference that is no run, or
            an artifact, program and run that are not of each other.
        InvalidResult: A measured one is of another artifact, or of other pixels.
        InvalidArtifact: A pipeline with options of one model.
        InvalidData: Images cannot be grouped so, or no image is answered before and after.
        ShapeMismatch: Different models.
        NotSupportedHere: A command of `under` fails.
        NotTrusted: A run names a factory that needs `trust`.
    """
    if not is_pipeline(artifact):
        return single.drift(artifact, reference, data, options, trust=trust, progress=progress)
    of_one = (options.program, options.under, options.measured)
    if any(of_one) or options.preprocess != "core":
        raise InvalidArtifact(
            f"{artifact} is a pipeline: programs, resizes, other processors and devices are of one "
            "stage. Measure its drift by itself, on the data that edgeskin stage-data writes"
        )
    groups = options.groups
    return drift_pipeline(artifact, reference, data, groups, trust=trust, progress=progress)
