"""`edgeskin verify`: an artifact against the float model, on real images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
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
from edgeskin.cli.options import Force, Json, MaybeData, Split, Trust, takes_data
from edgeskin.progress import Progress

if TYPE_CHECKING:
    from edgeskin.converters.parity.documents import FileComparison, LayerReport, Verification
    from edgeskin.converters.parity.opened import OpenedFile
    from edgeskin.converters.parity.parts import Elsewhere
    from edgeskin.converters.parity.pipeline_documents import PipelineVerification, Statuses
    from edgeskin.converters.parity.reference import Model
    from edgeskin.data.grouping import GroupOptions
    from edgeskin.data.manifest import Dataset, ImageData
    from edgeskin.evaluation import MetricChange
    from edgeskin.measured import Measured


@takes_data
@takes_groups
def verify(
    artifact: Annotated[Path, typer.Argument(help=".tflite, .onnx, .mlpackage, or a pipeline")],
    reference: Annotated[
        Path,
        typer.Option(
            help="The run that the artifact was made from, its program (.pt2), or a float "
            ".onnx or .tflite file of the same network; of a pipeline, that of its runs."
        ),
    ],
    groups: GroupOptions,
    data: MaybeData = None,
    split: Split = "test",
    min_sqnr_db: Annotated[
        float | None,
        typer.Option(help="Gate: exit 1 below it. Without: the floor of its precision."),
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Gate: exit 1 if a ratio metric loses more points.")
    ] = None,
    max_mae_rise: Annotated[
        float | None, typer.Option(help="Gate: exit 1 if an MAE rises by more, in its unit.")
    ] = None,
    max_group_gap: MaxGroupGap = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Compare inner tensors too; exit 1 if one is bad.")
    ] = False,
    images: Annotated[int, typer.Option(min=1, help="Images for --layers.")] = 8,
    under: Annotated[
        str | None,
        typer.Option(
            help="What runs it instead of this machine: a simulated accelerator, htp[:CHIP] or "
            "gpu[:fp32], or emulated:CPU."
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps what --under gave; a run that breaks off goes on."),
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(help="A result (.json) of edgeskin bench that has the images: it is not run."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Draw this many of the split's images; else all.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of --layers to write: .png or .svg.")
    ] = None,
    repro: Annotated[
        Path | None,
        typer.Option(help="Folder for the first bad layer (or the worst) as a file that runs."),
    ] = None,
    force: Force = False,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Compare an artifact with its float model on every image of a split.

    Two files without a spec are compared on made-up images.
    """
    from edgeskin.benchmarks.devices.simulated_sessions import SimulatedSessions
    from edgeskin.converters.parity.opened import OpenedFile
    from edgeskin.converters.parity.reference import open_model
    from edgeskin.errors import InvalidArtifact
    from edgeskin.files import check_writable
    from edgeskin.formats import is_artifact
    from edgeskin.measured import read_measured
    from edgeskin.pipelines.pipeline_folder import is_pipeline
    from edgeskin.verbs import measure_on

    groups = with_gate(groups, max_group_gap)
    by_layer = None
    if layers or plot is not None or repro is not None:
        by_layer = LayerOptions(images, plot, repro, force)
        for out in filter(None, (plot, repro)):
            check_writable(out, force=force)
    device = _check_elsewhere(artifact, under, measured, by_layer)
    with ExitStack() as stack:
        progress = stack.enter_context(console.progress())
        simulator = None
        if device is not None and by_layer is not None:
            simulator = stack.enter_context(SimulatedSessions(device))
            simulator.check(artifact)
        file = stack.enter_context(OpenedFile(artifact))
        comparison: Verification | FileComparison
        if is_pipeline(artifact):
            comparison = _verify_pipeline(
                artifact, reference, _split(data, split, samples), groups, by_layer, trust, progress
            )
        elif is_artifact(reference) and not file.has_spec:
            _refuse_groups(groups)
            if under or measured:
                raise InvalidArtifact(
                    f"{artifact} has no spec, so that no device takes it: leave --under, "
                    "--measured out, or import and convert it"
                )
            comparison = _compare_files(file, reference, by_layer, progress)
        else:
            dataset = _split(data, split, samples)
            elsewhere = None if measured is None else read_measured(measured)
            if device is not None:
                elsewhere = measure_on(
                    artifact, reference, dataset, device, results,
                    force=force, trust=trust, progress=progress,
                )  # fmt: skip
            spec = file.metadata.spec if elsewhere else file.predictor.spec
            model = open_model(reference, spec, trust=trust)
            comparison = _verify(
                file, model, dataset, groups, elsewhere, by_layer, simulator, trust, progress
            )
    missed = gates(comparison, min_sqnr_db, max_drop, max_mae_rise, max_group_gap)
    comparison = comparison.model_copy(update={"missed_gates": missed})
    if json:
        console.emit(comparison.to_json())
    else:
        print_report(comparison)
    for line in missed:
        console.error(line)
    if missed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class LayerOptions:
    """What `--layers` compares, and the picture and the folder that it writes."""

    images: int
    plot: Path | None
    repro: Path | None
    force: bool


def _compare_files(
    file: OpenedFile, reference: Path, by_layer: LayerOptions | None, progress: Progress
) -> FileComparison:
    from edgeskin.converters.parity.foreign import compare_file_layers, compare_files
    from edgeskin.converters.parity.opened import OpenedFile

    with OpenedFile(reference) as known:
        comparison = compare_files(file, known)
        if by_layer is None:
            return comparison
        layers = compare_file_layers(
            file,
            known,
            by_layer.images,
            repro=by_layer.repro,
            force=by_layer.force,
            progress=progress,
        )
    return comparison.model_copy(update={"layers": _drawn(layers, by_layer)})


def _verify(
    file: OpenedFile,
    reference: Model,
    data: Dataset,
    groups: GroupOptions,
    elsewhere: Measured | None,
    by_layer: LayerOptions | None,
    simulator: Elsewhere | None,
    trust: bool,
    progress: Progress,
) -> Verification:
    from edgeskin.converters.parity import verify as run
    from edgeskin.evidence import keep

    verification = run(
        file, reference, data, groups, measured=elsewhere, trust=trust, progress=progress
    )
    console.remark(data.unlabelled(reference.spec))
    if elsewhere is None:  # the manifest has what this machine computes
        keep(file.path, verification)
    if by_layer is None:
        return verification
    from edgeskin.converters.parity.layers import compare_layers

    layers = compare_layers(
        file,
        reference,
        data.take(by_layer.images).pixels(file.metadata.spec.input),
        elsewhere=simulator,
        repro=by_layer.repro,
        force=by_layer.force,
        progress=progress,
    )
    return verification.model_copy(update={"layers": _drawn(layers, by_layer)})


def _refuse_groups(groups: GroupOptions) -> None:
    from edgeskin.errors import InvalidData

    if groups.by:
        raise InvalidData(f"--by {groups.by[0]}: two files without a spec have no images to group")


def _verify_pipeline(
    artifact: Path,
    reference: Path,
    data: Dataset,
    groups: GroupOptions,
    by_layer: LayerOptions | None,
    trust: bool,
    progress: Progress,
) -> PipelineVerification:
    from edgeskin.artifacts import record
    from edgeskin.converters.parity.pipeline_compare import verify_pipeline
    from edgeskin.errors import InvalidArtifact
    from edgeskin.evidence import keep
    from edgeskin.pipelines.pipeline_folder import read_pipeline
    from edgeskin.pipelines.pipeline_spec import DOCUMENT

    if by_layer is not None:
        raise InvalidArtifact(
            f"{artifact} is a pipeline: layers are of one stage. Verify it by itself, on the data "
            "that edgeskin stage-data writes"
        )
    verification = verify_pipeline(
        artifact, reference, data, groups, trust=trust, progress=progress
    )
    pipeline = read_pipeline(artifact)
    console.remark(data.unlabelled(pipeline.specs[1]))
    for path, stage in zip(pipeline.paths, verification.stages.values(), strict=True):
        record(path, stage)
    keep(pipeline.folder / DOCUMENT, verification)
    return verification


def _check_elsewhere(
    artifact: Path, under: str | None, measured: Path | None, by_layer: LayerOptions | None
) -> str | None:
    """The device of `--under`; refuses options that do not go with a file that it runs."""
    from edgeskin.benchmarks.devices.names import device_under
    from edgeskin.benchmarks.devices.simulated import SIMULATORS
    from edgeskin.errors import InvalidArtifact, UnknownName
    from edgeskin.pipelines.pipeline_folder import is_pipeline

    if not under and not measured:
        return None
    if under and measured:
        raise UnknownName(
            f"--under {under} runs the file and --measured {measured} has its answers: leave one "
            "of the two out"
        )
    if by_layer is not None and measured:
        raise UnknownName(
            "--layers run the file, and --measured has its outputs alone: pass --under for the "
            "layers of an accelerator, or leave one of the two out"
        )
    if by_layer is not None and by_layer.repro is not None:
        raise UnknownName(
            "--repro writes a folder that runs on this machine's runtime: leave it out with --under"
        )
    if is_pipeline(artifact):
        raise InvalidArtifact(
            f"{artifact} is a pipeline: --under and --measured are of one stage. Verify it by "
            "itself, on the data that edgeskin stage-data writes"
        )
    if not under:
        return None
    if (device := device_under(under)) is None:
        known = ", ".join(SIMULATORS)
        raise UnknownName(f"nothing simulates '{under}'; there are {known}, emulated:CPU")
    return device


def _split(data: ImageData | None, split: str, samples: int | None) -> Dataset:
    from edgeskin.errors import InvalidData

    if data is None:
        raise InvalidData("the artifact has a spec, so that it is verified on images: pass --data")
    dataset = data.split(split)
    return dataset if samples is None else dataset.take(samples)


def _drawn(report: LayerReport, options: LayerOptions) -> LayerReport:
    """The report, after its picture is written where one was asked for."""
    from edgeskin.converters.parity.plots import plot_layers

    if options.plot is not None:
        plot_layers(report, options.plot, force=options.force)
    return report


def gates(
    comparison: Verification | FileComparison,
    min_sqnr_db: float | None = None,
    max_drop: float | None = None,
    max_mae_rise: float | None = None,
    max_group_gap: float | None = None,
) -> tuple[str, ...]:
    """The missed gates and the faults, one line each.

    Args:
        min_sqnr_db: In decibels; in place of the floor of the artifact's precision.
        max_drop: In points, of ratio metrics.
        max_mae_rise: In the unit of the metric.
        max_group_gap: In points, of ratio metrics: how much the gap between groups may grow.
    """
    from edgeskin.converters.parity.documents import FileComparison
    from edgeskin.converters.parity.gates import faults, grown_gaps

    missed = (*_bad_layers(comparison.layers), *faults(comparison, min_sqnr_db))
    if not isinstance(comparison, FileComparison):
        by_metrics = _missed_by_metrics(comparison.metrics, max_drop, max_mae_rise)
        return (*missed, *by_metrics, *grown_gaps(comparison, max_group_gap))
    if (max_drop, max_mae_rise) == (None, None):
        return missed
    why = "two files without a spec have no task"
    return (*missed, f"the gates on metrics were not checked: {why}")


def _missed_by_metrics(
    metrics: Mapping[str, MetricChange], max_drop: float | None, max_mae_rise: float | None
) -> Iterator[str]:
    from edgeskin.evaluation import worst_drop, worst_mae_rise

    if not metrics and (max_drop, max_mae_rise) != (None, None):
        yield "the gates on metrics were not checked: the data have no labels of a head"
        return
    drop, rise = worst_drop(metrics), worst_mae_rise(metrics)
    if max_drop is not None and not drop <= max_drop:
        yield f"a metric lost {drop:.2f} points, the gate is {max_drop:g} points"
    if max_mae_rise is not None and not rise <= max_mae_rise:
        yield f"an MAE rose by {rise:.3g}, the gate is {max_mae_rise:g}"


def _bad_layers(report: LayerReport | None) -> Iterator[str]:
    if report is None:
        return
    from edgeskin.converters.parity.layers import explain_first_bad

    if line := explain_first_bad(report):
        yield line


SQNR = (
    "SQNR dB: signal to quantization noise ratio, 10 log10 of the power of the reference's values "
    "over that of the difference; at 20 dB the difference is a tenth of the values."
)


def print_report(comparison: Verification | FileComparison) -> None:
    from edgeskin.converters.parity.documents import FileComparison
    from edgeskin.converters.parity.pipeline_documents import PipelineVerification

    if isinstance(comparison, PipelineVerification):
        for name, stage in comparison.stages.items():
            print(f"stage '{name}', by itself")
            _print_agreement(stage)
            _print_task(stage)
        print_statuses(comparison.statuses, comparison.looked_at)
        print_groups(comparison.answered)
        print(f"equal statuses: {100 * comparison.equal_statuses:.1f} %")
        print("at the end, of the images that both answer")
    _print_agreement(comparison)
    if not isinstance(comparison, FileComparison):
        _print_task(comparison)
    print(SQNR)
    if comparison.layers is not None:
        print_layers(comparison.layers)


def print_statuses(statuses: Statuses, looked_at: int) -> None:
    """How many of the images each pipeline answers, and what it says of the others."""
    columns = list(dict.fromkeys(status for counts in statuses.values() for status in counts))
    rows = [
        (name, *(str(counts.get(status, 0)) for status in columns))
        for name, counts in statuses.items()
    ]
    console.table(f"{looked_at} images by status", ("pipeline", *columns), rows)


def _print_agreement(comparison: Verification | FileComparison) -> None:
    console.table(
        f"{comparison.artifact} on {comparison.data}/{comparison.split}, {comparison.images} "
        f"images, {comparison.runtime}: agreement with the reference",
        ("output", "SQNR dB", "cosine", "largest difference"),
        [
            (name, f"{a.sqnr_db:.1f}", f"{a.cosine:.6f}", f"{a.max_difference:.3g}")
            for name, a in comparison.agreement.items()
        ],
    )


def _print_task(verification: Verification) -> None:
    for name, share in verification.equal_decisions.items():
        print(f"equal decisions, {name}: {100 * share:.1f} %")
    rows = []
    for name, m in verification.metrics.items():
        bounds = f"[{m.change.low:+.4f}, {m.change.high:+.4f}]"
        values = (f"{m.reference:.4f}", f"{m.candidate:.4f}", f"{m.change.value:+.4f}")
        worst = worst_cells(verification.subgroups, name)
        rows.append((name, *values, bounds, m.unit, *worst))
    columns = ("metric", "reference", "artifact", "change", "paired 95 % interval", "unit")
    if rows:
        shown = (*columns, *worst_columns(verification.subgroups))
        console.table("task metrics", shown, rows)
    print_groups(verification.subgroups)


def _untouched(report: LayerReport) -> str:
    """Whether inner tensors as outputs change what the accelerator computes."""
    if report.untouched_db == math.inf:
        return "the same outputs, to the bit, as without reading inner tensors"
    return f"its outputs agree to {report.untouched_db:.1f} dB with those without inner tensors"


def print_layers(report: LayerReport) -> None:
    marks = dict.fromkeys(report.worst, "worst") | dict.fromkeys(report.bad, "BAD")
    if report.simulated:
        print(f"simulated: {report.simulator}; {_untouched(report)}")
    console.table(
        f"layers, {report.images} images, {report.runtime}; products matched: "
        f"{report.matched_products}",
        ("layer", "SQNR dB", "by itself", ""),
        [
            (
                console.printable(row.name),
                f"{row.sqnr_db:.1f}",
                "not run" if row.refused else f"{row.own_sqnr_db:.1f}",
                marks.get(row.name, ""),
            )
            for row in report.layers
        ],
    )
    for line in dict.fromkeys(row.refused for row in report.layers if row.refused):
        print(f"not run by itself: {console.printable(line)}")
    if report.worst:
        row = next(row for row in report.layers if row.name == report.worst[0])
        print(f"most is lost in {console.printable(row.name)}: {row.own_sqnr_db:.1f} dB by itself")
    if report.repro is not None:
        name = console.printable(report.repro.layer)
        print(f"{name} by itself, {report.repro.sqnr_db:.1f} dB: {report.repro.folder}/run.py")
