"""The drift of a pipeline, taken apart by stage: one is converted at a time.

Every step is measured at the end, on the images that are answered before and after. What lies
inside of a step (pixels, quantization, kernels), `drift` says of the stage by itself, on the data
that `stage_data` writes.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

from edgeskin.converters.parity.drift import StageOutputs, split
from edgeskin.converters.parity.gates import disagrees
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.converters.parity.pipeline_compare import (
    FloatPipeline,
    answers,
    artifact_paths,
    check_answered,
    open_reference,
    same_pipeline,
)
from edgeskin.converters.parity.pipeline_documents import PipelineDrift
from edgeskin.converters.parity.reference import need_network
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import Dataset, ImageData, load_split
from edgeskin.errors import InvalidData, InvalidRun
from edgeskin.pipelines.pipeline_folder import read_pipeline
from edgeskin.postprocess import rows_of
from edgeskin.progress import Progress, silent
from edgeskin.subgroups import answered_by_groupings, by_groupings, part_of


def drift_pipeline(
    artifact: Path | str,
    reference: Path | str,
    data: Dataset | ImageData | Path | str,
    groups: GroupOptions = GroupOptions(),
    *,
    trust: bool = False,
    progress: Progress = silent,
) -> PipelineDrift:
    """The steps from the trained pipeline to the artifacts, each with its paired interval.

    Args:
        reference: The pipeline of the runs that were trained.
        data: A split, or what `open_data` takes or gave, whose test split is taken.
        groups: What to give the whole change by, over the images answered before and after.
        trust: Run the code that a run names, whoever wrote it.

    Raises:
        InvalidRun: A stage of the reference is no run, or not the one an artifact is made from.
        ShapeMismatch: Different pipelines.
        InvalidData: No image is answered both before and after, or images cannot be grouped so.
        NotTrusted: A run names a factory that needs `trust`.
    """
    converted, trained = read_pipeline(artifact), open_reference(reference, trust=trust)
    same_pipeline(trained.pipeline, converted)
    data = data if isinstance(data, Dataset) else load_split(data, "test")
    groupings = group_images(data, groups, trust=trust, progress=progress)
    with ExitStack() as stack:
        files = [stack.enter_context(OpenedFile(path)) for path in artifact_paths(converted)]
        _check_origins(files, trained)
        pixels = data.pixels(trained.first.spec.input, progress)
        last = trained.last.run_all
        before = answers(converted, data, trained.first.run_all(pixels), last, progress)
        check_answered(before.handover, trained.pipeline, data)
        first_outputs = files[0].predictor.run_all(pixels, progress)
        between = answers(converted, data, first_outputs, last, progress)
        pictures = between.handover.pixels
        after = files[1].predictor.run_all(pictures, progress) if len(pictures) else {}
        runtimes = [file.predictor.session.runtime for file in files]
    both = before.handover.answered & between.handover.answered
    if not both.any():
        raise InvalidData(
            f"{converted.folder.name} answers none of the images that the trained pipeline "
            "answers: there is no drift to measure. See edgeskin verify"
        )
    names = [f"{name} converted" for name in converted.names]
    stages = [
        StageOutputs(
            "trained", "both stages in torch", before.handover.answers(before.outputs, both)
        ),
        StageOutputs(names[0], runtimes[0], between.handover.answers(between.outputs, both)),
        StageOutputs(names[1], runtimes[1], between.handover.answers(after, both)),
    ]
    spec = trained.last.spec
    truth = rows_of(data.truth(spec), both)
    subgroups = by_groupings(
        spec,
        stages[0].outputs,
        stages[-1].outputs,
        truth,
        part_of(groupings, both),
        allowed_points=groups.allowed_points,
    )
    return PipelineDrift(
        artifact=converted.folder.name,
        data=data.name,
        split=data.split,
        data_rule=data.rule_for(spec),
        images=int(both.sum()),
        looked_at=len(data),
        pixels_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        reference_sha256=trained.pipeline.sha256,
        statuses={"trained": before.handover.counts, "converted": between.handover.counts},
        answered=answered_by_groupings(
            before.handover.answered, between.handover.answered, groupings, groups.allowed_points
        )
        or None,
        subgroups=subgroups or None,
        **dict(split(spec, stages, truth)),
    )


def _check_origins(files: list[OpenedFile], trained: FloatPipeline) -> None:
    """Check that each artifact is made from the reference's run.

    Raises:
        InvalidRun: One is not, or a stage of the reference is a file.
    """
    for file, model in zip(files, (trained.first, trained.last), strict=True):
        need_network(model)
        if wrong := disagrees(file, model):
            raise InvalidRun(f"{file.path.name}: {wrong[0]}")
