"""The demo of one task: phantoms, a network trained on them, six files, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeskin.files import write_json
from edgeskin.progress import Progress
from edgeskin.walkthrough.demo_plans import DemoPlan
from edgeskin.walkthrough.demo_report import DemoReport
from edgeskin.walkthrough.demo_rows import measure_files

if TYPE_CHECKING:
    from edgeskin.training.recipe import Recipe

CALIBRATION_IMAGES = 64
PRECISIONS = ("fp32", "int8")
_TEXTS = {
    "intended_use": "Demonstration of edgeskin. Knows no real skin.",
    "limits": "Trained for a minute on rendered phantoms; on a photo its output means nothing.",
}


def run_plan(plan: DemoPlan, out: Path, progress: Progress) -> DemoReport:
    """Make everything under `out`: phantoms/, run/, program.pt2, artifacts/, demo.png and .json."""
    from edgeskin.calibration.from_run import calibrate
    from edgeskin.calibration.options import CalibrationOptions
    from edgeskin.converters.convert import convert_files
    from edgeskin.converters.options import ConversionOptions
    from edgeskin.converters.parity import Reference
    from edgeskin.data.manifest import load_split
    from edgeskin.formats import FORMATS
    from edgeskin.models.run import load_run
    from edgeskin.walkthrough.task_picture import draw

    run, data, program = out / "run", out / "phantoms", out / "program.pt2"
    _train(plan, data, run, progress)
    calibrate(run, data, program, CalibrationOptions(samples=CALIBRATION_IMAGES), progress=progress)
    artifacts = convert_files(
        run,
        list(FORMATS),
        PRECISIONS,
        out / "artifacts",
        ConversionOptions(timing=False),
        program=program,
        progress=progress,
    )
    test = load_split(data, "test")
    rows = measure_files(artifacts, Reference.of(load_run(run), test), progress)
    report = DemoReport(task=plan.task, shown=plan.shown, images=len(test), rows=tuple(rows))
    write_json(out / "demo.json", report.to_json())
    draw(out, test, report)
    return report


def _train(plan: DemoPlan, data: Path, run: Path, progress: Progress) -> None:
    """Draw the phantoms, train on them, and say in the run's spec what it is."""
    from edgeskin.data.phantom_sets import find_set
    from edgeskin.spec import Spec
    from edgeskin.training.train import train

    write = find_set(plan.phantoms)
    write(data, train=plan.train, val=plan.val, test=plan.test, size=plan.drawn, progress=progress)
    train(plan.task, plan.arch, data, run, recipe=_recipe(plan), progress=progress)
    spec = Spec.load(run).model_copy(update=_TEXTS | {"name": f"{plan.task}-phantom"})
    (run / "spec.json").write_text(spec.to_json(indent=2) + "\n", encoding="utf-8")


def _recipe(plan: DemoPlan) -> Recipe:
    """The task's recipe for little data and little time: small images, quick averages."""
    from edgeskin.tasks import find_task
    from edgeskin.training.recipe import Recipe

    quick = {
        "size": plan.size,
        "resize_to": plan.drawn,
        "batch_size": 16,
        "average_decay": 0.95,
    }
    return Recipe(**{**find_task(plan.task).load().RECIPE, **quick, **plan.settings})
