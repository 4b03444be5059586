"""The whole way, on phantoms and the built-in model, on this machine: `edgeskin demo`."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeskin.files import atomic, write_json
from edgeskin.progress import Progress, silent
from edgeskin.walkthrough.demo_report import DemoReport, DemoRow

if TYPE_CHECKING:
    from edgeskin.artifacts import Artifact
    from edgeskin.converters.parity import Reference

CALIBRATION_IMAGES, TEST_IMAGES = 64, 128
PRECISIONS = ("fp32", "fp16", "int8")


def demo(
    out: Path | str = "demo", *, force: bool = False, progress: Progress = silent
) -> DemoReport:
    """Phantoms, calibration, nine files, verification, prediction, timing: about two minutes.

    Args:
        out: A folder to make: run/ and program.pt2 (the model, float and INT8), artifacts/ (nine
            files and manifest.json), phantoms/ (images and labels), demo.png and demo.json.

    Raises:
        CannotWrite: `out` exists and `force` is False.
        MissingPackage: Of a target, or matplotlib.
    """
    with atomic(Path(out), force=force) as fresh:
        return _run(fresh, progress)


def _run(out: Path, progress: Progress) -> DemoReport:
    """Make everything under `out`."""
    from edgeskin.calibration.from_run import calibrate
    from edgeskin.converters.convert import convert_files
    from edgeskin.converters.options import ConversionOptions
    from edgeskin.converters.parity import Reference
    from edgeskin.data.manifest import load_split
    from edgeskin.data.phantoms import write_set
    from edgeskin.formats import FORMATS
    from edgeskin.models.run import BUILTIN, load_run
    from edgeskin.walkthrough.demo_picture import draw

    importlib.import_module("matplotlib")  # what is missing shows now, not after minutes
    for target in FORMATS.values():
        target.check_packages()
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
    calibrate(run_folder, data, program, progress=progress)
    artifacts = convert_files(
        run_folder,
        list(FORMATS),
        PRECISIONS,
        files,
        ConversionOptions(timing=False),
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
