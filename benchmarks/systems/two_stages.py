"""Pipelines: what the first stage changes for the last one, and what files lose at the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from edgeskin.benchmarks.systems.measure import Workspace, machine_line, outputs_on, weights_of
from edgeskin.benchmarks.systems.rows import SKIN, Pair
from edgeskin.benchmarks.systems.sets import made
from edgeskin.benchmarks.systems.systems_documents import KINDS, JoinedFiles, PipelineRecord
from edgeskin.converters.parity.pipeline_compare import (
    FloatPipeline,
    answers,
    open_reference,
    verify_pipeline,
)
from edgeskin.data.grouping import SKIN_TONE, GroupOptions
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.evaluation import compare
from edgeskin.files import write_json
from edgeskin.formats import FORMATS
from edgeskin.pipelines.pipeline_folder import make_pipeline, read_rules
from edgeskin.postprocess import rows_of

TARGETS = ("tflite", "onnx", "coreml")
PRECISIONS = ("fp16", "int8")


def measure_pair(pair: Pair, workspace: Workspace) -> PipelineRecord:
    """The pipeline against whole images, and its files against its runs."""
    data = load_split(made(pair.data, workspace.data, workspace.out, workspace.progress), "test")
    folder = workspace.folder(f"pipeline-{pair.name}")
    runs = [workspace.run(name) for name in (pair.first, pair.last)]
    reference = open_reference(_joined(pair, folder, "float", runs))
    record = _against_whole(pair, reference, data, workspace)
    skin = workspace.run(SKIN) if SKIN_TONE in pair.by else None
    groups = GroupOptions(by=pair.by, skin_model=skin)
    files = []
    for precision in PRECISIONS:
        for target in TARGETS:
            stages = _stages(pair, workspace, precision, target)
            if len(stages) < 2:
                continue
            place = _joined(pair, folder, f"{target}-{precision}", [p for _, p in stages])
            found = verify_pipeline(
                place, reference.pipeline.folder, data, groups, progress=workspace.progress
            )
            names = reference.pipeline.names
            files.append(
                JoinedFiles(
                    target=target,
                    kinds={n: kind for n, (kind, _) in zip(names, stages, strict=True)},
                    sqnr_db=found.sqnr_db,
                    stages_db={name: stage.sqnr_db for name, stage in found.stages.items()},
                    equal_statuses=found.equal_statuses,
                    equal_decisions=found.equal_decisions,
                    metrics=found.metrics,
                    groups=found.subgroups,
                )
            )
    record = record.model_copy(update={"files": tuple(files)})
    write_json(folder / "record.json", record.to_json())
    return record


def _against_whole(
    pair: Pair, reference: FloatPipeline, data: Dataset, workspace: Workspace
) -> PipelineRecord:
    """The same images seen whole and through the first stage."""
    first = reference.first.run_all(data.pixels(reference.first.spec.input))
    through = answers(reference.pipeline, data, first, reference.last.run_all, workspace.progress)
    answered = through.handover.answered
    spec = reference.last.spec
    whole = outputs_on(data, workspace.run(pair.whole))
    seen = rows_of(whole, answered)
    truth = rows_of(data.truth(spec), answered)
    pictures = len(through.handover.owner)
    return PipelineRecord(
        name=pair.name,
        page=pair.page,
        machine=machine_line(),
        rules=pair.rules,
        data=pair.data,
        images=len(data),
        statuses=through.handover.counts,
        pictures=pictures,
        metrics=compare(spec, seen, through.handover.answers(through.outputs), truth),
        stages={name: weights_of(workspace.run(name)) for name in (pair.first, pair.last)},
    )


def _joined(pair: Pair, folder: Path, what: str, paths: Sequence[Path]) -> Path:
    """The pipeline of the runs ("float"), or of the files of a format."""
    out = folder / f"{pair.name}-{what}.pipeline"
    stages = dict(zip(read_rules(pair.rules).stages, paths, strict=True))
    make_pipeline(pair.rules, stages, out, force=True)
    return out


def _stages(
    pair: Pair, workspace: Workspace, precision: str, target: str
) -> list[tuple[str, Path]]:
    """The kind and the file of each stage; QAT where it was better, no stage that has no file."""
    found = []
    for row in (pair.first, pair.last):
        kinds = [kind for kind in reversed(KINDS) if KINDS[kind].precision == precision]
        files = (
            (kind, path)
            for kind in kinds
            for path in sorted(
                (workspace.folder(row) / f"files-{kind}").glob(f"*{FORMATS[target].suffix}")
            )
        )
        found += list(islice(files, 1))
    return found
