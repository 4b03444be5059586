"""`edgeskin demo`: the whole way, on phantoms and the built-in model, on this machine."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json
from edgeskin.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeskin.artifacts import Artifact
    from edgeskin.cli.demo_report import DemoReport, DemoRow
    from edgeskin.converters.parity import Reference

CALIBRATION_IMAGES, TEST_IMAGES = 64, 128
TARGETS, PRECISIONS = ("tflite", "coreml", "onnx"), ("fp32", "fp16", "int8")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    force: Force = False,
    json: Json = False,
) -> None:
    """Phantoms, calibration, nine files, verification, prediction, timing: about two minutes."""
    from edgeskin.files import atomic

    with atomic(out, force=force) as fresh, console.progress() as progress:
        report = run(fresh, progress)
    if json:
        console.emit(report.to_json())
        return
    print_table(report)
    print(f"everything is in {out}/: run/ and program.pt2 (the model, float and INT8),")
    print("artifacts/ (nine files and manifest.json), phantoms/ (images and labels), demo.png")


def run(out: Path, progress: Progress) -> DemoReport:
    """Make everything under `out`; returns what the table shows, with every raw sample."""
    from edgeskin.calibration.from_run import calibrate_run
    from edgeskin.cli.demo_picture import draw
    from edgeskin.cli.demo_report import DemoReport
    from edgeskin.converters.convert import convert
    from edgeskin.converters.parity import Reference
    from edgeskin.data.manifest import load_split
    from edgeskin.data.phantoms import write_set
    from edgeskin.files import write_json
    from edgeskin.formats import FORMATS as FILE_TYPES
    from edgeskin.models.run import BUILTIN, load_run

    importlib.import_module("matplotlib")  # what is missing shows now, not after minutes
    for target in TARGETS:
        FILE_TYPES[target].check_packages()
    run_folder, data = out / "run", out / "phantoms"
    program, files = out / "program.pt2", out / "artifacts"
    shutil.copytree(BUILTIN, run_folder, ignore=shutil.ignore_patterns("__pycache__"))
    write_set(
        data,
        train=CALIBRATION_IMAGES,
        val=0,
        test=TEST_IMAGES,
        size=load_run(BUILTIN).spec.input.height,
        progress=progress,
    )
    calibrate_run(run_folder, data, program, progress=progress)
    artifacts = convert(
        run_folder,
        TARGETS,
        PRECISIONS,
        files,
        program=program,
        progress=progress,
    )
    test = load_split(data, "test")
    rows = _measure(artifacts, Reference.of(load_run(run_folder), test), progress)
    report = DemoReport(images=len(test), rows=tuple(rows))
    write_json(out / "demo.json", report.to_json())
    draw(out / "demo.png", test, report)
    return report


def _measure(
    artifacts: Sequence[Artifact], reference: Reference, progress: Progress
) -> list[DemoRow]:
    """Agreement of every artifact, and latency where its own runtime exists here."""
    from contextlib import ExitStack

    from edgeskin.artifacts import record
    from edgeskin.benchmarks.latency import measure
    from edgeskin.cli.demo_report import DemoRow
    from edgeskin.predictor import load

    verifications, running = {}, {}
    with ExitStack() as stack:
        for done, artifact in enumerate(artifacts, start=1):
            name = artifact.path.name
            verifications[name] = reference.verify(artifact.path)
            record(artifact.path, verifications[name])
            predictor = stack.enter_context(load(artifact.path))
            if predictor.session.native:
                running[name] = predictor
            progress("verifying", done, len(artifacts))
        latencies = measure(running, list(reference.pixels))
    return [
        DemoRow(
            file=(name := artifact.path.name),
            target=artifact.target,
            precision=artifact.precision,
            size_bytes=artifact.size_bytes,
            verification=verifications[name],
            p50_ms=latencies[name].p50_ms if name in latencies else None,
            samples_ms=latencies[name].samples_ms if name in latencies else None,
        )
        for artifact in artifacts
    ]


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
