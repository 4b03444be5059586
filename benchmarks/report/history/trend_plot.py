"""Pictures of trends: each run of a series, its level and threshold, and where it changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from edgeskin.benchmarks.report.history.history_documents import Trend
from edgeskin.errors import MissingPackage, UnknownName
from edgeskin.files import atomic
from edgeskin.printable import printable

MOST = 24
"""Panels in a picture."""
_BLUE, _GREY, _RED = "#2f6db3", "#6b7580", "#c0392b"
_TICKS = 8


def plot_trends(trends: Sequence[Trend], path: Path, *, force: bool = False) -> None:
    """A panel a series, the runs from left to right.

    Args:
        path: `.svg` or `.png`.

    Raises:
        UnknownName: More than `MOST` series.
        MissingPackage: matplotlib.
        CannotWrite: As `files.atomic`.
    """
    if len(trends) > MOST:
        raise UnknownName(
            f"{len(trends)} series are too many for a picture, {MOST} are the most: name some with "
            "--device, --model or --figure"
        )
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "pictures need matplotlib: pip install 'edgeskin[plot]', or leave --plot out"
        ) from error
    style: dict[Any, Any] = {
        "svg.hashsalt": "edgeskin",
        "svg.fonttype": "none",
        "text.parse_math": False,
    }
    with mpl.rc_context(style):
        figure: Any = Figure(figsize=(9.0, 2.6 * len(trends)), layout="constrained")
        panels = figure.subplots(len(trends), 1, squeeze=False)[:, 0]
        for axes, trend in zip(panels, trends, strict=True):
            _draw(axes, trend)
        with atomic(path, force=force) as fresh:
            figure.savefig(fresh, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw(axes: Any, trend: Trend) -> None:
    values = np.array([point.value for point in trend.points])
    shown = np.where(np.isfinite(values), values, np.nan)
    axes.plot(range(len(values)), shown, ".", color=_BLUE, ms=5, label="a run")
    missing = np.flatnonzero(~np.isfinite(values))
    if len(missing):
        edge = axes.get_xaxis_transform()
        axes.plot(
            missing, [0.03] * len(missing), "x", color=_RED, transform=edge, label="no number"
        )
    for number, (start, end, level) in enumerate(_levels(trend)):
        label = None if number else "level (median)"
        axes.plot([start, end - 1], [level, level], color=_GREY, lw=1.2, label=label)
    if trend.threshold is not None and math.isfinite(trend.threshold):
        first, last = len(values) - 1 - trend.runs, len(values) - 0.5
        line = [trend.threshold, trend.threshold]
        axes.plot([first, last], line, "--", color=_RED, lw=1.2, label="threshold of the last run")
    for change in trend.changes:
        axes.axvline(change.index - 0.5, color=_RED, lw=0.8, ls=":")
        name = printable(change.label) or f"{change.at:%Y-%m-%d}"
        axes.annotate(
            f" {name}", (change.index - 0.5, 1.0), xycoords=("data", "axes fraction"), va="top",
            color=_RED, size=8,
        )  # fmt: skip
    _name_runs(axes, trend)
    axes.set_ylabel(trend.unit)
    axes.set_title(printable(f"{trend.series} (latest: {trend.state})"), fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def _levels(trend: Trend) -> list[tuple[int, int, float]]:
    """From, to (not included) and median of each level of finite values."""
    ends = [0, *(change.index for change in trend.changes), len(trend.points)]
    levels = []
    for start, end in pairwise(ends):
        values = [point.value for point in trend.points[start:end] if math.isfinite(point.value)]
        if values:
            levels.append((start, end, float(np.median(values))))
    return levels


def _name_runs(axes: Any, trend: Trend) -> None:
    every = -(-len(trend.points) // _TICKS)
    places = range(0, len(trend.points), every)
    names = [printable(trend.points[i].label) or f"{trend.points[i].at:%Y-%m-%d}" for i in places]
    axes.set_xticks(places, names, fontsize=8)
    axes.set_xlabel("runs, in order of time")
