"""Pipelines: what the first stage changes for the last one, and what files lose at the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from edgeskin.benchmarks.result import BenchResult, PipelineResult
from edgeskin.benchmarks.systems.measure import (
    TIMED,
    Workspace,
    machine_line,
    measure,
    outputs_on,
    trained,
    weights_of,
)
from edgeskin.benchmarks.systems.rows import ROWS, SKIN, Pair
from edgeskin.benchmarks.systems.sets import made
from edgeskin.benchmarks.systems.systems_documents import (
    KINDS,
    JoinedFiles,
    PipelineRecord,
    StageTimes,
)
from edgeskin.converters.parity.pipeline_compare import (
    FloatPipeline,
    answers,
    open_reference,
    verify_pipeline,
)
from edgeskin.data.grouping import SKIN_TONE, GroupOptions
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.errors import RunFailed
from edgeskin.evaluation import compare
from edgeskin.files import write_json
from edgeskin.formats import FORMATS
from edgeskin.pipelines.pipeline_folder import make_pipeline, read_rules
from edgeskin.postprocess import rows_of
from edgeskin.verbs import bench, pack

PRECISIONS = ("fp32", "fp16", "int8")
TIMED_IMAGES = 12


def measure_pair(pair: Pair, workspace: Workspace) -> PipelineRecord:
    """The pipeline against whole images, and its files against its runs; its rows come first."""
    for name in (pair.first, pair.last):
        if not (workspace.folder(name) / "record.json").is_file():
            measure(ROWS[name], workspace)
    trained(ROWS[pair.whole], workspace)
    images = made(pair.data, workspace.data, workspace.out, workspace.progress)
    data = load_split(images, "test")
    folder = workspace.folder(f"pipeline-{pair.name}")
    runs = [workspace.run(name) for name in (pair.first, pair.last)]
    reference = open_reference(_joined(pair, folder, "float", runs))
    record = _against_whole(pair, reference, data, workspace)
    joined = _joined_files(pair, folder, workspace)
    timed = [place for place, (target, _) in joined.items() if target in TIMED]
    times = _times(timed, reference.pipeline.folder, images, workspace)
    skin = workspace.run(SKIN) if SKIN_TONE in pair.by else None
    groups = GroupOptions(by=pair.by, skin_model=skin)
    files = []
    for place, (target, kinds) in joined.items():
        found = verify_pipeline(
            place, reference.pipeline.folder, data, groups, progress=workspace.progress
        )
        files.append(
            JoinedFiles(
                target=target,
                kinds=kinds,
                sqnr_db=found.sqnr_db,
                stages_db={name: stage.sqnr_db for name, stage in found.stages.items()},
                equal_statuses=found.equal_statuses,
                equal_decisions=found.equal_decisions,
                metrics=found.metrics,
                groups=found.subgroups,
                times=times.get(place.name),
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


def _times(
    places: Sequence[Path], runs: Path, images: Path, workspace: Workspace
) -> dict[str, StageTimes]:
    """Times on this machine by stage, by the name of the pipeline; `runs` is that of the runs."""
    packed, out = runs.with_name("pack"), runs.with_name("host")
    pack(runs, images, packed, samples=TIMED_IMAGES, force=True, progress=workspace.progress)
    (found,) = bench(
        places, packed, out, protocol="quick", force=True, progress=workspace.progress
    ).values()
    if not isinstance(found, list):
        raise RunFailed(f"{runs.name} did not run on this machine: {found}")
    return {result.artifact.name: _by_stage(result) for result in found}


def _by_stage(result: BenchResult) -> StageTimes:
    assert isinstance(result, PipelineResult)
    assert result.whole_p50_ms is not None
    stages = {name: stage.latency for name, stage in result.stages.items()}
    return StageTimes(
        stages_p50_ms={name: found.summary.run.p50_ms for name, found in stages.items() if found},
        join_p50_ms=result.join.p50_ms,
        whole_p50_ms=result.whole_p50_ms,
    )


def _joined_files(
    pair: Pair, folder: Path, workspace: Workspace
) -> dict[Path, tuple[str, dict[str, str]]]:
    """Pipelines of files whose stages all have one: its format, and the kind of each stage."""
    names = read_rules(pair.rules).stages
    rows = [workspace.folder(name) for name in (pair.first, pair.last)]
    joined = {}
    for precision, target in product(PRECISIONS, FORMATS):
        found = (best_file(row, precision, target) for row in rows)
        stages = [file for file in found if file is not None]
        if len(stages) == len(names):
            place = _joined(pair, folder, f"{target}-{precision}", [path for _, path in stages])
            joined[place] = target, {n: kind for n, (kind, _) in zip(names, stages, strict=True)}
    return joined


def _joined(pair: Pair, folder: Path, what: str, paths: Sequence[Path]) -> Path:
    """The pipeline of the runs ("float"), or of the files of a format."""
    out = folder / f"{pair.name}-{what}.pipeline"
    stages = dict(zip(read_rules(pair.rules).stages, paths, strict=True))
    make_pipeline(pair.rules, stages, out, force=True)
    return out


def best_file(row: Path, precision: str, target: str) -> tuple[str, Path] | None:
    """Kind and file of a row's folder, trained for INT8 where that was better; None if not made."""
    for kind in reversed(KINDS):
        if KINDS[kind].precision == precision:
            for path in sorted((row / f"files-{kind}").glob(f"*{FORMATS[target].suffix}")):
                return kind, path
    return None
