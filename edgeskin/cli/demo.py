"""`edgeskin demo`: the whole way, on phantoms and the built-in model, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json

if TYPE_CHECKING:
    from edgeskin.walkthrough.demo_report import DemoReport


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    force: Force = False,
    json: Json = False,
) -> None:
    """Phantoms, calibration, nine files, verification, prediction, timing: about two minutes."""
    from edgeskin.walkthrough.demo import demo as run

    with console.progress() as progress:
        report = run(out, force=force, progress=progress)
    if json:
        console.emit(report.to_json())
        return
    print_table(report)
    print(f"everything is in {out}/: run/ and program.pt2 (the model, float and INT8),")
    print("artifacts/ (nine files and manifest.json), phantoms/ (images and labels), demo.png")


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
