"""Pipelines: what the first stage changes for the last one, and INT8 at the end."""

from __future__ import annotations

from pathlib import Path

from edgeskin.benchmarks.systems.measure import Workspace, machine_line, outputs_on, weights_of
from edgeskin.benchmarks.systems.rows import Pair
from edgeskin.benchmarks.systems.sets import made
from edgeskin.benchmarks.systems.systems_documents import JoinedFiles, PipelineRecord
from edgeskin.converters.parity.pipeline_compare import (
    FloatPipeline,
    answers,
    open_reference,
    verify_pipeline,
)
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.evaluation import compare
from edgeskin.files import write_json
from edgeskin.formats import FORMATS
from edgeskin.pipelines.pipeline_folder import make_pipeline, read_rules
from edgeskin.postprocess import rows_of

TARGETS = ("tflite", "onnx", "coreml")


def measure_pair(pair: Pair, workspace: Workspace) -> PipelineRecord:
    """The pipeline against whole images, and its INT8 files against its runs."""
    data = load_split(made(pair.data, workspace.data, workspace.out, workspace.progress), "test")
    folder = workspace.folder(f"pipeline-{pair.name}")
    reference = open_reference(_joined(pair, folder, workspace, "float"))
    record = _against_whole(pair, reference, data, workspace)
    files = {}
    for target in TARGETS:
        if all(_int8(workspace, name, target) for name in (pair.first, pair.last)):
            place = _joined(pair, folder, workspace, target)
            found = verify_pipeline(
                place, reference.pipeline.folder, data, progress=workspace.progress
            )
            files[target] = JoinedFiles(
                sqnr_db=found.sqnr_db,
                stages_db={name: stage.sqnr_db for name, stage in found.stages.items()},
                equal_statuses=found.equal_statuses,
                equal_decisions=found.equal_decisions,
                metrics=found.metrics,
            )
    record = record.model_copy(update={"files": files})
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


def _joined(pair: Pair, folder: Path, workspace: Workspace, what: str) -> Path:
    """The pipeline of the runs ("float"), or of INT8 files of a format."""
    out = folder / f"{pair.name}-{what}.pipeline"
    names = read_rules(pair.rules).stages
    rows = (pair.first, pair.last)
    paths = [workspace.run(row) if what == "float" else _int8(workspace, row, what) for row in rows]
    stages = {name: path for name, path in zip(names, paths, strict=True) if path}
    make_pipeline(pair.rules, stages, out, force=True)
    return out


def _int8(workspace: Workspace, row: str, target: str) -> Path | None:
    """The INT8 file of a row, trained for it where that was better; None where it was not made."""
    suffix = FORMATS[target].suffix
    for kind in ("qat", "ptq"):
        for path in sorted((workspace.folder(row) / f"files-{kind}").glob(f"*{suffix}")):
            return path
    return None
