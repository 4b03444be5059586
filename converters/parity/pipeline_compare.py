"""Agreement of a pipeline of artifacts with its float reference: by stage, and at the end.

By itself, a stage is held against the reference's stage on what the reference pipeline gives it,
so that no stage answers for another one. At the end both pipelines start from the same images, so
that what a first stage does to the last one's answer is in the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskin.artifacts import Precision
from edgeskin.converters.parity.compare import Reference, compare_outputs, same_model
from edgeskin.converters.parity.documents import TaskComparison
from edgeskin.converters.parity.gates import faults
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.converters.parity.pipeline_documents import PipelineVerification
from edgeskin.converters.parity.reference import Model, open_model
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import Dataset, ImageData, load_split
from edgeskin.errors import InvalidArtifact, InvalidData, ShapeMismatch
from edgeskin.evaluation import Truth
from edgeskin.formats import is_artifact
from edgeskin.pipelines.handover import Handover, equal_statuses, hand_over
from edgeskin.pipelines.pipeline_folder import Pipeline, read_pipeline
from edgeskin.postprocess import Outputs, rows_of
from edgeskin.progress import Progress, silent
from edgeskin.subgroups import answered_by_groupings, by_groupings, part_of

RunAll = Callable[[NDArray[np.uint8]], Outputs]
_COARSEST: Sequence[Precision] = ("int8", "fp16", "fp32")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a pipeline says of a set of images.

    `outputs` are the last stage's, decoded, a row a picture of `handover`; empty where there
    are no pictures.
    """

    first: Outputs
    handover: Handover
    outputs: Outputs


@dataclass(frozen=True)
class FloatPipeline:
    """A reference: a pipeline on disk with both its models."""

    pipeline: Pipeline
    first: Model
    last: Model


def open_reference(path: Path | str, *, trust: bool = False) -> FloatPipeline:
    """Load a pipeline of runs, or of files, to hold another one against.

    Raises:
        InvalidArtifact, InvalidSpec, InvalidRun: It is none, damaged, or a stage of it is.
        NotTrusted: A run that names a factory that needs `trust`.
    """
    pipeline = read_pipeline(path)
    first, last = (
        open_model(stage, spec, trust=trust)
        for stage, spec in zip(pipeline.paths, pipeline.specs, strict=True)
    )
    return FloatPipeline(pipeline, first, last)


def verify_pipeline(
    artifact: Path | str,
    reference: Path | str,
    data: Dataset | ImageData | Path | str,
    groups: GroupOptions = GroupOptions(),
    *,
    trust: bool = False,
    progress: Progress = silent,
) -> PipelineVerification:
    """Run both pipelines on every image and say how far they agree.

    Args:
        reference: The pipeline of the runs that the artifacts were made from.
        data: A split, or what `open_data` takes or gave, whose test split is taken.
        groups: What to give the metrics of the end by, over the images that both answer.
        trust: Run the code that a run names, whoever wrote it.

    Raises:
        ShapeMismatch: The pipelines join otherwise, or have other stages.
        InvalidData: Images cannot be grouped so, or the reference answers none.
        NotTrusted: A run names a factory that needs `trust`.
    """
    converted, trained = read_pipeline(artifact), open_reference(reference, trust=trust)
    same_pipeline(trained.pipeline, converted)
    data = data if isinstance(data, Dataset) else load_split(data, "test")
    groupings = group_images(data, groups, trust=trust, progress=progress)
    with ExitStack() as stack:
        files = [stack.enter_context(OpenedFile(path)) for path in artifact_paths(converted)]
        precision = next(p for p in _COARSEST if p in [f.metadata.precision for f in files])
        first = Reference.of(trained.first, data)
        expected = answers(converted, data, first.outputs, trained.last.run_all, progress)
        check_answered(expected.handover, trained.pipeline, data)
        last = _on_pictures(trained.last, data, expected)
        outputs = files[0].predictor.run_all(first.pixels, progress)
        by_stage = {
            converted.names[0]: first.verify(files[0], progress, outputs),
            converted.names[1]: last.verify(files[1], progress),
        }
        given = answers(converted, data, outputs, files[1].predictor.run_all, progress)
        both = expected.handover.answered & given.handover.answered
        before, after = (a.handover.answers(a.outputs, both) for a in (expected, given))
        truth = rows_of(data.truth(trained.last.spec), both)
        end = _compare_ends(files[1], before, after, truth)
    subgroups = by_groupings(
        trained.last.spec,
        before,
        after,
        truth,
        part_of(groupings, both),
        allowed_points=groups.allowed_points,
    )
    verification = PipelineVerification(
        **dict(end),
        artifact=converted.folder.name,
        data=data.name,
        split=data.split,
        data_rule=data.rule_for(trained.last.spec),
        pixels_sha256=first.pixels_sha256,
        reference_sha256=trained.pipeline.sha256,
        precision=precision,
        floor_db=float("-inf"),
        rounding_db=None,
        cause=None,
        disagrees=(),
        faults=(),
        stages=by_stage,
        looked_at=len(data),
        statuses={"reference": expected.handover.counts, "artifact": given.handover.counts},
        equal_statuses=equal_statuses(expected.handover.statuses, given.handover.statuses),
        answered=answered_by_groupings(
            expected.handover.answered, given.handover.answered, groupings, groups.allowed_points
        )
        or None,
        subgroups=subgroups or None,
    )
    return verification.model_copy(update={"faults": faults(verification)})


def answers(
    pipeline: Pipeline,
    data: Dataset,
    first: Outputs,
    last: RunAll,
    progress: Progress = silent,
) -> Answers:
    """What the last stage says of the pictures that a first stage's outputs leave.

    Args:
        first: Decoded outputs of a first stage for all of `data`.
        last: Preprocessed pixels, uint8 (M, H, W, 3), to decoded outputs.
    """
    images = [image.decode for image in data.images]
    handover = hand_over(pipeline.spec.join, pipeline.specs, images, first, progress)
    return Answers(first, handover, last(handover.pixels) if len(handover.pixels) else {})


def same_pipeline(reference: Pipeline, artifact: Pipeline) -> None:
    """Check that two pipelines join the same networks in the same way.

    Raises:
        ShapeMismatch: Other stages, or another join.
    """
    if reference.names != artifact.names:
        raise ShapeMismatch(
            f"the reference joins {' and '.join(reference.names)}, the artifact "
            f"{' and '.join(artifact.names)}: they are not the same pipeline"
        )
    if reference.spec.join != artifact.spec.join:
        expected, join = (p.spec.join.model_dump() for p in (reference, artifact))
        name = next(n for n in expected | join if expected.get(n) != join.get(n))
        raise ShapeMismatch(
            f"the pipelines join otherwise: {name} is {expected.get(name)} in the reference, "
            f"{join.get(name)} in the artifact. Make both with the same rules."
        )
    for name, expected_spec, spec in zip(
        reference.names, reference.specs, artifact.specs, strict=True
    ):
        try:
            same_model(expected_spec, spec)
        except ShapeMismatch as error:
            raise ShapeMismatch(f"stage '{name}': {error}") from error


def artifact_paths(pipeline: Pipeline) -> tuple[Path, Path]:
    """The files of a pipeline of artifacts.

    Raises:
        InvalidArtifact: A stage is a run.
    """
    for name, path in zip(pipeline.names, pipeline.paths, strict=True):
        if not is_artifact(path):
            raise InvalidArtifact(
                f"stage '{name}' of {pipeline.folder} is a run, which is a reference: convert the "
                "stages, and join the files with edgeskin pipeline"
            )
    return pipeline.paths


def check_answered(handover: Handover, pipeline: Pipeline, data: Dataset) -> None:
    """Check that there is something to compare.

    Raises:
        InvalidData: No image is answered.
    """
    if not handover.answered.any():
        raise InvalidData(
            f"{pipeline.folder.name} answers none of the {len(data)} images of {data.where}: "
            f"'{handover.statuses[0]}'. Are they what the first stage was made for?"
        )


def _on_pictures(model: Model, data: Dataset, expected: Answers) -> Reference:
    """The reference's last stage, on the pictures that the reference hands over."""
    owner = expected.handover.owner
    return Reference(
        model=model,
        data=data.name,
        split=data.split,
        rule="; ".join(filter(None, (data.rule_for(model.spec), "pictures of the reference"))),
        pixels=expected.handover.pixels,
        outputs=expected.outputs,
        truth=rows_of(data.truth(model.spec), owner),
    )


def _compare_ends(
    file: OpenedFile, expected: Outputs, outputs: Outputs, truth: Truth
) -> TaskComparison:
    """Of the images that both answer; where there are none, there is nothing to compare."""
    if len(next(iter(expected.values()))):
        runtime = file.session.runtime
        return compare_outputs(file.metadata.spec, runtime, expected, outputs, truth)
    return TaskComparison(
        runtime=file.predictor.session.runtime,
        images=0,
        sqnr_db=float("nan"),
        agreement={},
        equal_decisions={},
        metrics={},
    )
