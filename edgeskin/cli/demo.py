"""`edgeskin demo`: the whole way, on phantoms and the built-in model, on this machine."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json

CALIBRATION_IMAGES, TEST_IMAGES = 64, 128
TARGETS, PRECISIONS = ("tflite", "coreml", "onnx"), ("fp32", "fp16", "int8")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    force: Force = False,
    json: Json = False,
) -> None:
    """Phantoms, calibration, nine files, verification, prediction, timing: about two minutes."""
    from edgeskin.files import atomic

    with atomic(out, force=force) as fresh, console.progress() as tell:
        document = run(fresh, tell)
    if json:
        console.emit(document)
        return
    print_table(document)
    print(f"everything is in {out}/: run/ and program.pt2 (the model, float and INT8),")
    print("artifacts/ (nine files and manifest.json), phantoms/ (images and labels), demo.png")


def run(out: Path, tell: console.Tell) -> dict[str, Any]:
    """Make everything under `out`; returns what the table shows, with every raw sample."""
    from edgeskin.calibration.from_run import calibrate_run
    from edgeskin.cli.demo_picture import draw
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
        progress=lambda i, n: tell("rendering phantoms", i, n),
    )
    calibrate_run(run_folder, data, program, tell=tell)
    artifacts = convert(
        run_folder,
        TARGETS,
        PRECISIONS,
        files,
        program=program,
        on_progress=lambda done, total, name: tell(f"converting, {name}", done, total),
    )
    test = load_split(data, "test")
    rows = _measure(artifacts, Reference.of(load_run(run_folder), test), tell)
    document = {"images": len(test), "rows": rows}
    write_json(out / "demo.json", document)
    draw(out / "demo.png", test, document)
    return document


def _measure(artifacts: Any, reference: Any, tell: console.Tell) -> list[dict[str, Any]]:
    """Agreement of every artifact, and latency where its own runtime exists here."""
    from contextlib import ExitStack

    from edgeskin.artifacts import record
    from edgeskin.benchmarks.latency import measure
    from edgeskin.predictor import load

    rows, running = {}, {}
    with ExitStack() as stack:
        for done, artifact in enumerate(artifacts, start=1):
            row = rows[artifact.path.name] = {
                "file": artifact.path.name,
                "target": artifact.target,
                "precision": artifact.precision,
                "size_bytes": artifact.size_bytes,
            }
            row["verification"] = reference.verify(artifact.path)
            record(artifact.path, row["verification"])
            predictor = stack.enter_context(load(artifact.path))
            if predictor.session.native:
                running[artifact.path.name] = predictor
            tell("verifying", done, len(artifacts))
        for name, latency in measure(running, reference.pixels).items():
            rows[name] |= {"p50_ms": latency.p50_ms, "samples_ms": latency.samples_ms}
    return list(rows.values())


def print_table(document: dict[str, Any]) -> None:
    """One row an artifact; the reference of agreement and metric is the float PyTorch model."""
    rows = []
    for row in document["rows"]:
        cells = [row["target"], row["precision"], f"{row['size_bytes'] / 1e6:.1f}"]
        found = row["verification"]
        mae, accuracy = found["metrics"]["count_mae"], found["metrics"]["severity_accuracy"]
        rows.append(
            (
                *cells,
                f"{found['sqnr_db']:.1f}",
                f"{100 * found['equal_decisions']['severity']:.0f} %",
                f"{100 * accuracy['candidate']:.1f} ({100 * accuracy['change']['value']:+.1f})",
                f"{mae['candidate']:.2f} ({mae['change']['value']:+.2f})",
                f"{row['p50_ms']:.2f}" if "p50_ms" in row else "macOS only",
            )
        )
    console.table(
        f"the built-in model on {document['images']} phantoms; (change) and SQNR are against float "
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
