"""Pictures of parity: SQNR along a network, and the waterfall of a metric."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from edgeskin.errors import MissingPackage
from edgeskin.files import atomic

if TYPE_CHECKING:
    from edgeskin.converters.parity.documents import (
        Drift,
        DriftReport,
        DriftStep,
        LayerReport,
        MetricDrift,
    )
    from edgeskin.evaluation import MetricKind

# Where bits are equal: rounding to the precision cannot show more.
_CEILING_DB = {"fp32": 160.0, "fp16": 100.0, "int8": 70.0}
_NAMED = 80  # names along the axis, at most; of more layers, some
_BOTTOM_DB = -20.0
_BLUE, _GREY, _RED, _GREEN = "#2f6db3", "#9aa3ad", "#c0392b", "#2e8b57"
MARKED = 5
_LABEL = 14  # characters a line


def plot_layers(report: LayerReport, path: Path, *, force: bool = False) -> None:
    """SQNR of each layer, from input to output; the worst by themselves are marked.

    Args:
        path: `.png` or `.svg`.

    Raises:
        MissingPackage: matplotlib is not installed.
        CannotWrite: As `files.atomic`.
    """
    rows = report.layers
    figure, axes = _figure(8.0 + 0.12 * min(len(rows), 100), 6.0)
    places = range(len(rows))
    ceiling = _CEILING_DB[report.precision]
    from_input = [_shown(row.sqnr_db, ceiling) for row in rows]
    own = [math.nan if row.refused else _shown(row.own_sqnr_db, ceiling) for row in rows]
    axes.plot(places, from_input, color=_BLUE, marker=".", label="from the input to here")
    axes.plot(places, own, color=_GREY, marker=".", lw=0.8, label="added by the layer itself")
    floors = [row.floor_db for row in rows]
    axes.step(places, floors, where="mid", color=_RED, lw=0.8, ls=":", label="floor of a layer")
    axes.axhline(ceiling, color=_GREY, lw=0.8, ls="--", label=f"cut here, at {ceiling:g} dB")
    alone = [i for i in places if not rows[i].refused]
    worst = sorted(alone, key=lambda i: own[i])[:MARKED]
    axes.plot(worst, [own[i] for i in worst], "o", color=_RED, ms=5, label="worst by themselves")
    for rank, i in enumerate(sorted(worst)):
        axes.annotate(str(rank + 1), (i, own[i]), xytext=(4, -10), textcoords="offset points")
    names = "\n".join(f"{rank + 1}  {rows[i].name}" for rank, i in enumerate(sorted(worst)))
    axes.text(1.01, 0.0, names, transform=axes.transAxes, fontsize=7, color=_RED, va="bottom")
    every = -(-len(rows) // _NAMED)
    axes.set_xticks(places[::every], [row.name for row in rows[::every]], rotation=90, size=6)
    axes.set_xlabel("layers, from input to output" + f" (every {every}th is named)" * (every > 1))
    axes.set_ylabel("SQNR, dB (higher is better)")
    axes.set_title(f"{report.artifact} against {report.reference}", fontsize=10)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False)
    _save(figure, path, force)


def moved_most(report: Drift) -> str:
    """The metric with the largest change of a step, relative to where it starts."""

    def movement(name: str) -> float:
        metric = report.metrics[name]
        changes = [abs(step.change.value) for step in (*metric.steps, *metric.elsewhere)]
        return max(changes, default=0.0) / (abs(metric.start) or 1.0)

    return max(report.metrics, key=movement)  # the first of equals


def plot_drift(report: DriftReport, name: str, path: Path, *, force: bool = False) -> None:
    """A waterfall of the metric `name`: where it starts, what each step changes, where it ends.

    Behind the end, what other kernels change from there.

    Raises:
        As `plot_layers`.
    """
    metric = report.metrics[name]
    steps, elsewhere = metric.steps, metric.elsewhere
    figure, axes = _figure(9.0 + 1.2 * len(elsewhere), 4.2)
    end = len(steps) + 1
    for i, step in enumerate(steps, start=1):
        _draw_change(axes, i, step, metric)
    for i, step in enumerate(elsewhere, start=end + 1):
        _draw_change(axes, i, step, metric)
    axes.hlines(metric.end, end - 1.4, end + len(elsewhere) + 0.4, color=_GREY, lw=0.8)
    for i, value in ((0, metric.start), (end, metric.end)):
        axes.bar(i, value, color=_BLUE)
        axes.annotate(
            f"{value:.4f}", (i, value), xytext=(0, 4), textcoords="offset points", ha="center"
        )
    names = ["trained", *(s.stage for s in steps), "in all", *(s.stage for s in elsewhere)]
    axes.set_xticks(range(len(names)), [fill(text.replace(":", ": "), _LABEL) for text in names])
    axes.set_ylabel(f"{name}, {metric.unit} (the axis is cut)")
    axes.set_ylim(*_window(metric))
    if not any(step.change.value for step in (*steps, *elsewhere)):
        axes.text(0.5, 0.5, "no step moved it", transform=axes.transAxes, ha="center", size=12)
    axes.set_title(
        f"{report.artifact} on {report.data}/{report.split}, "
        f"{report.images} images; black: paired 95 % intervals",
        fontsize=10,
    )
    _save(figure, path, force)


def _draw_change(axes: Any, at: int, step: DriftStep, kind: MetricKind) -> None:
    """A bar from the level before to the step's value, its interval and its figure."""
    change = step.change
    level = step.value - change.value
    better = kind.cost(step.value) < kind.cost(level)
    axes.bar(at, change.value, bottom=level, color=_GREEN if better else _RED)
    low, high = level + change.low, level + change.high
    axes.vlines(at, low, high, color="black", lw=1)
    axes.hlines([low, high], at - 0.06, at + 0.06, color="black", lw=1)
    axes.hlines(level, at - 1.4, at + 0.4, color=_GREY, lw=0.8)
    axes.annotate(
        f"{change.value:+.4f}",
        (at, max(high, step.value, level)),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=9,
    )


def _window(metric: MetricDrift) -> tuple[float, float]:
    """The part of the axis where something happens, with room for the figures."""
    heights = [metric.start, metric.end]
    for step in (*metric.steps, *metric.elsewhere):
        level = step.value - step.change.value
        heights += [level + step.change.low, level + step.change.high, step.value]
    room = 0.25 * (max(heights) - min(heights)) or 0.05 * abs(metric.start) or 1.0
    return min(heights) - room, max(heights) + room


def _shown(value: float, ceiling: float) -> float:
    """What can be drawn: bits that are equal at the ceiling, what is no number at the bottom."""
    return _BOTTOM_DB if math.isnan(value) else max(min(value, ceiling), _BOTTOM_DB)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "pictures need matplotlib: pip install 'edgeskin[plot]', or leave --plot out"
        ) from error
    figure: Any = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path, force: bool) -> None:
    with atomic(path, force=force) as fresh:
        figure.savefig(fresh)
