"""`edgeskin drift`: the change of a task metric, split by what causes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.groups import (
    MaxGroupGap,
    print_groups,
    takes_groups,
    with_gate,
    worst_cells,
    worst_columns,
)
from edgeskin.cli.options import Data, Force, Json, Split, Trust, takes_data

if TYPE_CHECKING:
    from edgeskin.converters.parity.documents import DriftReport, MetricDrift
    from edgeskin.data.grouping import GroupOptions
    from edgeskin.data.manifest import Dataset
    from edgeskin.estimate import Estimate
    from edgeskin.spec import Spec


@takes_data
@takes_groups
def drift(
    artifact: Annotated[Path, typer.Argument(help=".tflite, .onnx, .mlpackage, or a pipeline")],
    reference: Annotated[
        Path, typer.Option(help="The run that was trained; of a pipeline, that of the runs.")
    ],
    data: Data,
    groups: GroupOptions,
    program: Annotated[
        Path | None, typer.Option(help="The program (.pt2) of an int8 artifact.")
    ] = None,
    preprocess: Annotated[
        str,
        typer.Option(
            help="Who resizes on the device: core, pillow, opencv-linear, opencv-area, nearest."
        ),
    ] = "core",
    under: Annotated[
        list[str] | None,
        typer.Option(
            help="Other kernels: a simulated accelerator, htp[:CHIP] or gpu[:fp32], an emulated "
            "CPU, emulated:cortex-a76, or a command to run python under: 'qemu-x86_64 -cpu "
            "Haswell'. May be given several times."
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps what devices of --under gave; a run that breaks off goes on."
        ),
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(
            help="A result (.json) of edgeskin bench for the same artifact and images, from a "
            "phone for instance. May be given several times."
        ),
    ] = None,
    split: Split = "test",
    images: Annotated[
        int | None, typer.Option(min=1, help="Draw this many of the split's images; else all.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric of the picture; by default what moved most.")
    ] = None,
    max_group_gap: MaxGroupGap = None,
    plot: Annotated[Path | None, typer.Option(help="Picture to write: .png or .svg.")] = None,
    force: Force = False,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Split the change of each metric into preprocessing, quantization, conversion and kernels."""
    from edgeskin.benchmarks.devices.names import device_under
    from edgeskin.converters.parity.any_artifact import drift as split_changes
    from edgeskin.converters.parity.drift import DriftOptions
    from edgeskin.converters.parity.gates import grown_gaps
    from edgeskin.converters.parity.plots import moved_most, plot_drift
    from edgeskin.errors import InvalidArtifact
    from edgeskin.files import check_writable
    from edgeskin.measured import read_measured
    from edgeskin.pipelines.pipeline_folder import is_pipeline
    from edgeskin.verbs import measure_on

    groups = with_gate(groups, max_group_gap)
    if plot is not None:
        check_writable(plot, force=force)
    dataset = data.split(split)
    dataset = dataset if images is None else dataset.take(images)
    if metric or plot:
        _check_metric(artifact, dataset, metric)
    devices = {name: device_under(name) for name in under or ()}
    commands = tuple(name for name, device in devices.items() if device is None)
    if devices and is_pipeline(artifact):
        raise InvalidArtifact(f"{artifact} is a pipeline: --under is of one model")
    known = [read_measured(path) for path in measured or ()]
    with console.progress() as progress:
        known += [
            measure_on(
                artifact, reference, dataset, device, results,
                force=force, trust=trust, progress=progress,
            )
            for device in filter(None, devices.values())
        ]  # fmt: skip
        options = DriftOptions(program, preprocess, commands, tuple(known), groups)
        report = split_changes(
            artifact, reference, dataset, options, trust=trust, progress=progress
        )
    console.remark(dataset.unlabelled(_end_spec(artifact)))
    if plot is not None:
        plot_drift(report, metric or moved_most(report), plot, force=force)
    missed = grown_gaps(report, max_group_gap)
    if max_group_gap is not None:
        report = report.model_copy(update={"missed_gates": missed})
    if json:
        console.emit(report.to_json())
    else:
        print_report(report)
    for line in missed:
        console.error(line)
    if missed:
        raise typer.Exit(1)


def _end_spec(artifact: Path) -> Spec:
    """Of a model, or of the last stage of a pipeline."""
    from edgeskin.artifacts import read_metadata
    from edgeskin.pipelines.pipeline_folder import is_pipeline, read_pipeline

    if is_pipeline(artifact):
        return read_pipeline(artifact).specs[1]
    return read_metadata(artifact).spec


def _check_metric(artifact: Path, dataset: Dataset, wanted: str | None) -> None:
    """Check before anything runs that there is a metric to draw."""
    from edgeskin.errors import UnknownName
    from edgeskin.evaluation import measures

    spec = _end_spec(artifact)
    names = [measure.name for measure in measures(spec, dataset.truth(spec))]
    chosen = wanted or (names[0] if names else "of any kind")
    if chosen not in names:
        raise UnknownName(f"no metric '{chosen}'; there are {', '.join(names) or 'none'}")


def print_report(report: DriftReport) -> None:
    from edgeskin.cli.verify import print_statuses
    from edgeskin.converters.parity.pipeline_documents import PipelineDrift

    if isinstance(report, PipelineDrift):
        print_statuses(report.statuses, report.looked_at)
        print_groups(report.answered)
    for stage in report.stages:
        known = stage.sqnr_db is not None
        sqnr = f", {stage.sqnr_db:.1f} dB against the one before" if known else ""
        print(f"{stage.stage}: {stage.what}{sqnr}")
    for stage in report.elsewhere:
        print(f"{stage.stage}: {stage.what}, {stage.sqnr_db:.1f} dB against the kernels")
    columns = ("metric", "step", "value", "change", "paired 95 % interval", "unit")
    rows = [row for name, metric in report.metrics.items() for row in _rows(name, metric, report)]
    title = f"{report.artifact} on {report.data}/{report.split}"
    if rows:
        shown = (*columns, *worst_columns(report.subgroups))
        console.table(f"{title}, {report.images} images", shown, rows)
    else:
        print(f"{title}, {report.images} images without labels: no metrics")
    print_groups(report.subgroups)


def _rows(name: str, metric: MetricDrift, report: DriftReport) -> Iterator[tuple[str, ...]]:
    worst = tuple(worst_cells(report.subgroups, name))
    blank = ("",) * len(worst)
    yield name, "trained", f"{metric.start:.4f}", "", "", metric.unit, *blank
    for step in metric.steps:
        yield *_row(step.stage, step.value, step.change), *blank
    yield *_row("in all", metric.end, metric.total), *worst
    for step in metric.elsewhere:
        yield *_row(step.stage, step.value, step.change), *blank


def _row(stage: str, value: float, change: Estimate) -> tuple[str, ...]:
    interval = f"[{change.low:+.4f}, {change.high:+.4f}]"
    return "", stage, f"{value:.4f}", f"{change.value:+.4f}", interval, ""
