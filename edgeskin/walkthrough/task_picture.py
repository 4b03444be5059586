"""The picture of a task's demo: photos, what float and INT8 say of them, and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskin.walkthrough.answer_panels import PANELS
from edgeskin.walkthrough.demo_picture import draw_bars
from edgeskin.walkthrough.shown_answers import Shown, ask

if TYPE_CHECKING:
    from edgeskin.data.manifest import Dataset
    from edgeskin.walkthrough.demo_report import DemoReport


def draw(out: Path, test: Dataset, report: DemoReport) -> None:
    """Draw `demo.png` of the folder `out`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = ask(out, test, report)
    panels = PANELS[shown.spec.heads[0].kind]
    columns = len(shown.pixels)
    figure: Any = plt.figure(
        figsize=(1.75 * columns + 0.9, 1.9 * panels.height + 2.2), dpi=110, layout="constrained"
    )
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.9 * panels.height, 2.2))
    top.suptitle(_title(report, shown), fontsize=10)
    panels.draw(top, shown)
    draw_bars(bottom, report)
    figure.savefig(out / "demo.png")
    plt.close(figure)


def _title(report: DemoReport, shown: Shown) -> str:
    before, after = shown.names
    return f"{report.task}: phantoms whose answers moved most from {before} to {after}"
