"""`edgeskin demo`: the whole way, on phantoms and the built-in model, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json

if TYPE_CHECKING:
    from edgeskin.evaluation import MetricChange
    from edgeskin.walkthrough.demo_report import DemoReport

NUMBERS = {6: "six", 9: "nine"}


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    task: Annotated[
        str, typer.Option(help="See `edgeskin models`; all but acne train for a minute first.")
    ] = "acne",
    force: Force = False,
    json: Json = False,
) -> None:
    """Phantoms, calibration, nine files, verification, prediction, timing: about two minutes.

    Of another task than acne, on phantoms of its own: a network is trained on them first.
    """
    from edgeskin.walkthrough.demo import demo as run

    with console.progress() as progress:
        report = run(out, task=task, force=force, progress=progress)
    if json:
        console.emit(report.to_json())
        return
    print_table(report) if report.task == "acne" else print_task_table(report)
    print(f"everything is in {out}/: run/ and program.pt2 (the model, float and INT8),")
    files = f"{NUMBERS[len(report.rows)]} files"
    print(f"artifacts/ ({files} and manifest.json), phantoms/ (images and labels), demo.png")


def print_table(report: DemoReport) -> None:
    """One row an artifact; the reference of agreement and metric is the float PyTorch model."""
    rows = []
    for row in report.rows:
        found = row.verification
        mae, accuracy = found.metrics["count_mae"], found.metrics["severity_accuracy"]
        rows.append(
            (
                row.target,
                row.precision,
                f"{row.size_bytes / 1e6:.1f}",
                f"{found.sqnr_db:.1f}",
                f"{100 * found.equal_decisions['severity']:.0f} %",
                f"{100 * accuracy.candidate:.1f} ({100 * accuracy.change.value:+.1f})",
                f"{mae.candidate:.2f} ({mae.change.value:+.2f})",
                "macOS only" if row.p50_ms is None else f"{row.p50_ms:.2f}",
            )
        )
    console.table(
        f"the built-in model on {report.images} phantoms; (change) and SQNR are against float "
        "PyTorch, with intervals in demo.json; latency: median, this machine, one thread",
        (
            "target",
            "precision",
            "MB",
            "SQNR dB",
            "same severity",
            "accuracy %",
            "MAE, lesions",
            "latency ms",
        ),
        rows,
    )


def print_task_table(report: DemoReport) -> None:
    """As `print_table`, with the metrics that the task is shown by."""
    first = report.rows[0].verification
    decides = tuple(first.equal_decisions)
    columns = ("target", "precision", "MB", "SQNR dB", *(f"same {name}" for name in decides))
    metrics = [name for name in report.shown if name in first.metrics]
    heads = [_column(name, first.metrics[name].unit) for name in metrics]
    rows = [
        (
            row.target,
            row.precision,
            f"{row.size_bytes / 1e6:.1f}",
            f"{row.verification.sqnr_db:.1f}",
            *(f"{100 * row.verification.equal_decisions[name]:.0f} %" for name in decides),
            *(_change(row.verification.metrics[name]) for name in metrics),
            "macOS only" if row.p50_ms is None else f"{row.p50_ms:.2f}",
        )
        for row in report.rows
    ]
    console.table(
        f"a model of {report.task} on {report.images} phantoms; (change) and SQNR are against "
        "float PyTorch, with intervals in demo.json; latency: median, this machine, one thread",
        (*columns, *heads, "latency ms"),
        rows,
    )


def _column(name: str, unit: str) -> str:
    return f"{name.replace('_', ' ')} {'%' if unit == 'ratio' else unit}"


def _change(metric: MetricChange) -> str:
    """Value and change; shares in percent."""
    if metric.unit == "ratio":
        return f"{100 * metric.candidate:.1f} ({100 * metric.change.value:+.1f})"
    return f"{metric.candidate:.2f} ({metric.change.value:+.2f})"
