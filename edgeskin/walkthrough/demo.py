"""The whole way, on phantoms and the built-in model, on this machine: `edgeskin demo`."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

from edgeskin.files import atomic, write_json
from edgeskin.formats import FORMATS
from edgeskin.progress import Progress, silent
from edgeskin.walkthrough.demo_plans import BUILTIN_TASK, find_plan
from edgeskin.walkthrough.demo_report import DemoReport
from edgeskin.walkthrough.demo_rows import measure_files
from edgeskin.walkthrough.task_demo import run_plan

CALIBRATION_IMAGES, TEST_IMAGES = 64, 128
PRECISIONS = ("fp32", "fp16", "int8")


def demo(
    out: Path | str = "demo",
    *,
    task: str = BUILTIN_TASK,
    force: bool = False,
    progress: Progress = silent,
) -> DemoReport:
    """Phantoms, calibration, nine files, verification, prediction, timing: about two minutes.

    Other tasks than the built-in model's train a network on their phantoms first, and make six
    files: float and INT8.

    Args:
        task: A name of `edgeskin models`.
        out: A folder to make: run/ and program.pt2 (the model, float and INT8), artifacts/ (nine
            files and manifest.json), phantoms/ (images and labels), demo.png and demo.json.

    Raises:
        UnknownName: No such task.
        CannotWrite: `out` exists and `force` is False.
        MissingPackage: Of a target, or matplotlib.
    """
    plan = None if task == BUILTIN_TASK else find_plan(task)
    importlib.import_module("matplotlib")  # what is missing shows now, not after minutes
    for target in FORMATS.values():
        target.check_packages()
    with atomic(Path(out), force=force) as fresh:
        return _run(fresh, progress) if plan is None else run_plan(plan, fresh, progress)


def _run(out: Path, progress: Progress) -> DemoReport:
    """Make everything under `out`."""
    from edgeskin.calibration.from_run import calibrate
    from edgeskin.converters.convert import convert_files
    from edgeskin.converters.options import ConversionOptions
    from edgeskin.converters.parity import Reference
    from edgeskin.data.manifest import load_split
    from edgeskin.data.phantoms import write_set
    from edgeskin.models.run import BUILTIN, load_run
    from edgeskin.walkthrough.demo_picture import draw

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
    rows = measure_files(artifacts, Reference.of(load_run(run_folder), test), progress)
    report = DemoReport(images=len(test), rows=tuple(rows))
    write_json(out / "demo.json", report.to_json())
    draw(out / "demo.png", test, report)
    return report
