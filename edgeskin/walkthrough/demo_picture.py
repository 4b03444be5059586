"""The demo's picture: phantoms with what the INT8 model says of them, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeskin.data.manifest import Dataset
    from edgeskin.walkthrough.demo_report import DemoReport, DemoRow

SHOWN = 6


def draw(path: Path, test: Dataset, report: DemoReport) -> None:
    """Draw `demo.png`: predictions of the smallest file on the first row, bars below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure: Any = plt.figure(figsize=(11, 5.2), dpi=110, layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    _phantoms(top, path.parent / "artifacts", test, report)
    draw_bars(bottom, report)
    figure.savefig(path)
    plt.close(figure)


def draw_bars(figure: Any, report: DemoReport) -> None:
    """Size of all files and latency of those that were timed, side by side."""
    timed = [row for row in report.rows if row.p50_ms is not None]
    sizes, times = figure.subplots(1, 2)
    _bars(sizes, report.rows, [row.size_bytes / 1e6 for row in report.rows], "size, MB")
    _bars(times, timed, [row.p50_ms or 0.0 for row in timed], "latency, ms (median, one thread)")


def _phantoms(figure: Any, artifacts: Path, test: Dataset, report: DemoReport) -> None:
    from edgeskin.images import decode
    from edgeskin.postprocess import ClassPrediction, DistributionPrediction
    from edgeskin.predictor import load

    name = next(r.file for r in report.rows if r.precision == "int8" and r.p50_ms is not None)
    step = max(1, len(test) // SHOWN)
    chosen = list(zip(test.paths, test.rows, strict=True))[::step][:SHOWN]
    with load(artifacts / name) as predictor:
        for axes, (path, row) in zip(figure.subplots(1, SHOWN), chosen, strict=True):
            found = predictor.predict(path)
            axes.imshow(decode(path))
            axes.set_axis_off()
            severity, count = found["severity"], found["count"]
            assert isinstance(severity, ClassPrediction)
            assert isinstance(count, DistributionPrediction)
            low, high = count.interval_80
            axes.set_title(
                f"{severity.label}\n"
                f"{count.value:.0f} lesions ({low:.0f}-{high:.0f})\n"
                f"truth: {row['count']}",
                fontsize=9,
            )
    figure.suptitle(f"rendered phantoms, read by {name}", fontsize=10)


def _bars(axes: Any, rows: Sequence[DemoRow], values: list[float], title: str) -> None:
    colors = {"fp32": "#8c8c8c", "fp16": "#5b8db8", "int8": "#c0504d"}
    names = [f"{row.target} {row.precision}" for row in rows]
    bars = axes.barh(names, values, color=[colors[row.precision] for row in rows])
    axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.tick_params(labelsize=8)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
