"""Charts of what results hold: times, heat, accuracy against time, and what was lost, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.report.charts import (
    DASHES,
    INK,
    MARKERS,
    MUTED,
    NOTHING,
    SERIES,
    Chart,
    draw,
    draw_figure,
    left_out,
    log_if_wide,
    number,
    shortened,
    signed,
    style,
)
from edgeskin.benchmarks.report.limits import all_groups, loss_of
from edgeskin.benchmarks.report.shown import Shown
from edgeskin.benchmarks.result import Latency
from edgeskin.evaluation import MetricChange
from edgeskin.subgroups import Subgroups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES, MOST_BARS = 8, 16
"""Results in a chart, of lines and of intervals."""
MOST_METRICS, MOST_GROUPINGS, MOST_RUNS = 3, 2, 2
"""Charts of a kind, of a model."""
_BINS = 80
_SUSPECT = ("throttled", "hot", "unstable: the halves")


def charts_of(name: str, shown: Sequence[Shown]) -> Iterator[Chart]:
    """The charts of one model's results, in the order of the page.

    Args:
        name: Of the model in element ids.
        shown: What is shown first where not all can be.
    """
    if timed := [one for one in shown if one.latency is not None]:
        yield latencies(f"{name}-latency", timed)
    runs = [one for one in timed if _is_long(one)]
    for i, one in enumerate(runs[:MOST_RUNS]):
        yield over_time(f"{name}-time{i}", one, left_out(len(runs), MOST_RUNS, "long runs"))
    metrics = _metrics(shown)
    with_times = [one for one in shown if one.row.times is not None]
    known = [one for one in with_times if metrics and metrics[0] in one.row.metrics]
    if len(known) > 1:
        yield trade_off(f"{name}-tradeoff", known, metrics[0])
    for i, metric in enumerate(metrics[:MOST_METRICS]):
        chosen = [one for one in shown if metric in one.row.metrics]
        more = left_out(len(metrics), MOST_METRICS, "metrics") if i == 0 else ""
        yield changes(f"{name}-change{i}", chosen, metric, more)
    yield from _groups(name, shown, metrics)


def latencies(name: str, timed: Sequence[Shown]) -> Chart:
    """The empirical distribution of whole queries of each timed result."""
    chosen = timed[:MOST_LINES]
    shares = np.linspace(0.0, 100.0, 201)
    curves = [np.percentile(_whole(one), shares) for one in chosen]
    high = max(float(curve[198]) for curve in curves)  # the 99th percentile

    def paint(axes: Axes) -> None:
        for i, (one, curve) in enumerate(zip(chosen, curves, strict=True)):
            label = shortened(one.name + (f" ({one.doubts})" if one.doubts else ""), 58)
            axes.plot(curve, shares, color=SERIES[i], ls=DASHES[i], lw=1.5, label=label)
        low = min(float(curve[0]) for curve in curves)
        log_if_wide(axes, [low, high])
        axes.set_xlim(0.97 * low, 1.03 * high)
        axes.set_ylim(0, 100)
        axes.set_xlabel("time of a whole query, ms")
        axes.set_ylabel("queries that took at most this, %")

    title = "Latency of whole queries"
    says = (
        "Share of queries that were answered within a time, from the image to the answer. A steep "
        "line is a steady device; the axis ends at the largest 99th percentile."
    )
    rows = [
        (
            one.name, one.row.file, str(len(_whole(one))),
            *(number(float(np.percentile(_whole(one), q))) for q in (0, 50, 90, 99, 100)),
            one.doubts or "none",
        )
        for one in chosen
    ]  # fmt: skip
    columns = ("result", "file", "queries", "min, ms", "p50", "p90", "p99", "max", "doubts")
    svg = draw(paint, name, title, says, legend=len(chosen))
    return Chart(name, title, says, columns, tuple(rows), svg, left_out(len(timed), len(chosen)))


def over_time(name: str, one: Shown, more: str = "") -> Chart:
    """Inference time of a run, and the temperature of the hottest zone beside it."""
    latency = one.latency
    assert latency is not None  # or `charts_of` leaves it out
    at_s = np.array(latency.samples.at_ms) / 1e3
    times = np.array(latency.samples.run_ms)
    edges = np.linspace(at_s[0], at_s[-1], min(_BINS, max(2, len(times) // 8)) + 1)
    bins = np.clip(np.digitize(at_s, edges) - 1, 0, len(edges) - 2)
    parts = [(0.5 * (edges[i] + edges[i + 1]), times[bins == i]) for i in np.unique(bins)]
    middle = np.array([at for at, _ in parts])
    p50, p90 = (np.array([np.percentile(part, q) for _, part in parts]) for q in (50, 90))
    heat = _heat(latency)

    def fill(figure: Figure) -> None:
        below = figure.add_axes((0.13, 0.12, 0.84, 0.27) if len(heat) else (0.13, 0.19, 0.84, 0.77))
        if len(heat):
            above = figure.add_axes((0.13, 0.48, 0.84, 0.48), sharex=below)
            above.tick_params(labelbottom=False)
            below.plot(heat[:, 0], heat[:, 1], color=SERIES[1], lw=1.4)
            below.set_ylabel("hottest, °C")
            style(below)
        else:
            above = below
        above.plot(middle, p50, color=SERIES[0], lw=1.5, label="median")
        above.plot(middle, p90, color=SERIES[0], lw=1.0, ls=":", label="90th percentile")
        above.set_ylim(0, 1.15 * float(p90.max()))
        above.set_ylabel("inference, ms")
        above.legend(loc="lower left", frameon=False, fontsize=8.5, ncols=2)
        style(above)
        below.set_xlabel("time since the first query, s")

    title = f"Over time: result {shortened(one.name, 60)}"
    says = (
        f"Inference time in {len(parts)} stretches of the run"
        + (
            ", and the hottest sensor of the device. "
            if len(heat)
            else "; the device reported no temperature. "
        )
        + f"The last tenth took {latency.throttle_ratio:.2f} times as long as the first."
        + (f" Doubts: {one.doubts}." if one.doubts else "")
    )
    every = max(1, len(parts) // 20)
    rows = tuple(
        (number(at, 1), number(a), number(b), _heat_at(heat, at))
        for at, a, b in list(zip(middle, p50, p90, strict=True))[::every]
    )
    columns = ("time, s", "median, ms", "p90, ms", "hottest, °C")
    svg = draw_figure(fill, name, title, says, 3.6 if len(heat) else 2.6)
    return Chart(name, title, says, columns, rows, svg, more)


def trade_off(name: str, timed: Sequence[Shown], metric: str) -> Chart:
    """A metric that all have against the time of a whole query, and each device's Pareto front."""
    chosen = timed[:MOST_BARS]
    points = [(_whole_ms(one), one.row.metrics[metric]) for one in chosen]
    devices = list(dict.fromkeys(one.row.device for one in chosen))
    on_front = _front([(d.row.device, ms, m) for d, (ms, m) in zip(chosen, points, strict=True)])
    scale, unit = _scale(points[0][1])

    def paint(axes: Axes) -> None:
        for d, device in enumerate(devices):
            mine = [i for i, one in enumerate(chosen) if one.row.device == device]
            colour = SERIES[d % len(SERIES)]
            x = [points[i][0] for i in mine]
            y = [scale * points[i][1].candidate for i in mine]
            spread = np.abs([_ends(points[i][1], scale) for i in mine]).T
            axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.9, capsize=2)
            axes.plot(
                x, y, ls="none", marker=MARKERS[d % len(MARKERS)], color=colour, ms=6,
                label=shortened(device, 50),
            )  # fmt: skip
            front = sorted(
                (points[i][0], scale * points[i][1].candidate) for i in mine if on_front[i]
            )
            if len(front) > 1:
                axes.plot(*zip(*front, strict=True), color=colour, lw=1.0, ls="--")
            for i, ms, value in zip(mine, x, y, strict=True):
                axes.annotate(
                    str(chosen[i].row.number), (ms, value), xytext=(5, 4),
                    textcoords="offset points", fontsize=8.5, color=INK,
                )  # fmt: skip
        log_if_wide(axes, [ms for ms, _ in points])
        axes.margins(0.12)
        axes.set_xlabel("time of a whole query (median), ms")
        axes.set_ylabel(f"{shortened(metric)}, {unit}")

    title = f"{metric} against time"
    better = "higher" if points[0][1].higher_is_better else "lower"
    says = (
        f"Each point is a result, named by its number; {better} and further left is better. Bars "
        "are the 95 % interval of the change against the float model. A dashed line joins the "
        "results of a device that no other of its results beats in both (Pareto front)."
    )
    rows = tuple(
        (
            one.name, one.row.file, number(ms), number(scale * m.candidate),
            "yes" if on_front[i] else "no", one.doubts or "none",
        )
        for i, (one, (ms, m)) in enumerate(zip(chosen, points, strict=True))
    )  # fmt: skip
    columns = ("result", "file", "p50, ms", f"{metric}, {unit}", "on the front", "doubts")
    svg = draw(paint, name, title, says, height=2.9, legend=len(devices))
    return Chart(name, title, says, columns, rows, svg, left_out(len(timed), len(chosen)))


def changes(name: str, shown: Sequence[Shown], metric: str, more: str = "") -> Chart:
    """What a metric changed from the float model to each result, with its interval."""
    chosen = sorted(shown[:MOST_BARS], key=lambda one: loss_of(one.row.metrics[metric]))[::-1]
    found = [one.row.metrics[metric] for one in chosen]
    scale, unit = _scale(found[0], change=True)
    limit = _limit(chosen, metric)

    def paint(axes: Axes) -> None:
        _forest(
            axes, [shortened(one.name) for one in chosen], [(found, SERIES[0], "o", 0.0)], scale
        )
        if limit is not None:
            sign = -1.0 if found[0].higher_is_better else 1.0
            axes.axvline(sign * limit, color=SERIES[7], lw=1.2, ls="--")
            axes.annotate(
                f"limit {sign * limit:+g}", (sign * limit, 1.0), xycoords=("data", "axes fraction"),
                xytext=(3, 3), textcoords="offset points", fontsize=8.5, color=SERIES[7],
            )  # fmt: skip
        axes.set_xlabel(f"change of {shortened(metric, 36)}, {unit}", loc="right")

    title = f"Change of {metric}"
    says = (
        f"Result minus float model on the same images, in {unit}, with its paired 95 % interval, "
        f"the largest loss on top; {'below' if found[0].higher_is_better else 'above'} 0 is worse. "
        "A filled point: the interval excludes 0."
    )
    rows = tuple(
        (
            one.name, one.row.file, number(scale * m.reference), number(scale * m.candidate),
            signed(scale * m.change.value),
            f"[{signed(scale * m.change.low)}, {signed(scale * m.change.high)}]",
            NOTHING if m.test is None else f"{m.test.p:.3g} ({m.test.name})",
        )
        for one, m in zip(chosen, found, strict=True)
    )  # fmt: skip
    columns = ("result", "file", "float model", "result's", f"change, {unit}", "95 % interval", "p")
    height = 0.25 * len(chosen) + 0.25
    svg = draw(paint, name, title, says, height=height, left=1.95, right=0.25, top=0.25)
    more = " ".join(filter(None, (left_out(len(shown), len(chosen)), more)))
    return Chart(name, title, says, columns, rows, svg, more)


def _groups(name: str, shown: Sequence[Shown], metrics: Sequence[str]) -> Iterator[Chart]:
    """Of each grouping the change of the metric that matters most and is known by group."""
    by = dict.fromkeys(by for one in shown for by in all_groups(one.result))
    for i, grouping in enumerate(islice(by, MOST_GROUPINGS)):
        having = [one for one in shown if grouping in all_groups(one.result)]
        known = {
            metric
            for one in having
            for group in all_groups(one.result)[grouping].groups.values()
            for metric in group.metrics or {}
        }
        metric = next((m for m in [*metrics, *sorted(known)] if m in known), None)
        if metric is not None:
            more = left_out(len(by), MOST_GROUPINGS, "groupings") if i == 0 else ""
            chosen = [one for one in having if _has(all_groups(one.result)[grouping], metric)]
            yield group_changes(f"{name}-groups{i}", chosen, grouping, metric, more)


def _has(parts: Subgroups, metric: str) -> bool:
    return any(metric in (group.metrics or {}) for group in parts.groups.values())


def group_changes(name: str, shown: Sequence[Shown], by: str, metric: str, more: str) -> Chart:
    """What a metric changed in each group of images, of a few results that have it in some."""
    chosen = shown[:4]
    parts = [all_groups(one.result)[by] for one in chosen]
    groups = list(dict.fromkeys(group for part in parts for group in part.groups))
    names = groups[:MOST_BARS]
    step = 0.7 / len(chosen)
    series = []
    for i, part in enumerate(parts):
        values = [_in_group(part, n, metric) for n in names]
        series.append((values, SERIES[i], MARKERS[i], (i - (len(chosen) - 1) / 2) * step))
    first = next(m for n in groups if (m := _in_group(parts[0], n, metric)) is not None)
    scale, unit = _scale(first, change=True)
    images = {n: part.groups[n].labelled(metric) for part in parts for n in part.groups}

    def paint(axes: Axes) -> None:
        labels = [f"{shortened(n, 20)} ({images[n]})" for n in names]
        texts = [shortened(one.name, 58) for one in chosen]
        _forest(axes, labels, series, scale, texts)
        axes.set_xlabel(f"change of {shortened(metric, 36)}, {unit}", loc="right")

    title = f"Change of {metric} by {by}"
    says = (
        f"Result minus float model in each group ({parts[0].rule}), in {unit}, with its 95 % "
        "interval; the number of images stands behind a group's name. A filled point: the "
        "interval excludes 0."
    )
    rows = []
    for one, part in zip(chosen, parts, strict=True):
        for n, group in part.groups.items():
            change = _in_group(part, n, metric)
            figures = (NOTHING,) * 4 if change is None else (
                number(scale * change.reference), number(scale * change.candidate),
                signed(scale * change.change.value),
                f"[{signed(scale * change.change.low)}, {signed(scale * change.change.high)}]",
            )  # fmt: skip
            rows.append(
                (
                    one.name,
                    n,
                    str(group.labelled(metric)),
                    *figures,
                    "too few to say" if group.too_few else "",
                )
            )
    columns = (
        "result", "group", "images", "float model", "result's", f"change, {unit}",
        "95 % interval", "remark",
    )  # fmt: skip
    height = 0.25 * len(names) + 0.12 * len(names) * (len(chosen) - 1) + 0.25
    svg = draw(paint, name, title, says, height=height, left=1.6, right=0.25, legend=len(chosen))
    hidden = left_out(len(shown), len(chosen)), left_out(len(groups), len(names), "groups")
    more = " ".join(filter(None, (*hidden, more)))
    return Chart(name, title, says, columns, tuple(rows), svg, more)


Forest = tuple[Sequence[MetricChange | None], str, str, float]
"""Changes from the top, their colour, their marker and how far below their line they stand."""


def _forest(
    axes: Axes, labels: Sequence[str], series: Sequence[Forest], scale: float,
    names: Sequence[str] = (),
) -> None:  # fmt: skip
    for i, (values, colour, marker, offset) in enumerate(series):
        for line, change in enumerate(values):
            if change is None or not np.isfinite(change.change.value):
                continue
            place = line + offset
            ends = (scale * change.change.low, scale * change.change.high)
            axes.plot(ends, (place, place), color=colour, lw=1.4)
            axes.plot(
                [scale * change.change.value], [place], marker=marker, color=colour, ms=5,
                mfc=colour if change.significant else "none",
            )  # fmt: skip
        if names:
            axes.plot([], [], color=colour, marker=marker, lw=1.4, label=names[i])
    axes.axvline(0.0, color=MUTED, lw=1.0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)


def _in_group(parts: Subgroups, name: str, metric: str) -> MetricChange | None:
    """None where the group has too few images, or no labels of this metric."""
    group = parts.groups.get(name)
    return None if group is None or group.metrics is None else group.metrics.get(metric)


def _front(points: Sequence[tuple[str, float, MetricChange]]) -> list[bool]:
    """Whether each is beaten by no other of its device, as good in both and better in one.

    What is NaN is on no front.
    """

    def beats(a: tuple[str, float, MetricChange], b: tuple[str, float, MetricChange]) -> bool:
        costs = (a[1], a[2].cost(a[2].candidate)), (b[1], b[2].cost(b[2].candidate))
        (fast, good), (slow, bad) = costs
        return a[0] == b[0] and fast <= slow and good <= bad and costs[0] != costs[1]

    return [
        np.isfinite(point[2].candidate) and not any(beats(other, point) for other in points)
        for point in points
    ]


def _metrics(shown: Sequence[Shown]) -> list[str]:
    """Names, those first that lost most somewhere."""
    first = [one.row.metric for one in shown if one.row.metric is not None]
    others = [name for one in shown for name in one.row.metrics]
    return list(dict.fromkeys([*first, *others]))


def _limit(shown: Sequence[Shown], metric: str) -> float | None:
    """What a metric may lose, where it is the same for all of them."""
    found = shown[0].row.metrics[metric]
    if found.higher_is_better is None:
        return None
    ratio = found.unit == "ratio"
    allowed = {one.limits.allowed_loss(metric, ratio=ratio) for one in shown}
    return allowed.pop() if len(allowed) == 1 else None


def _scale(metric: MetricChange, *, change: bool = False) -> tuple[float, str]:
    if metric.unit == "ratio":
        return 100.0, "points" if change else "%"
    return 1.0, shortened(metric.unit)


def _ends(metric: MetricChange, scale: float) -> tuple[float, float]:
    """How far the interval reaches below and above the value."""
    change = metric.change
    return scale * (change.value - change.low), scale * (change.high - change.value)


def _whole(one: Shown) -> NDArray[np.float64]:
    """Milliseconds of each whole query."""
    assert one.latency is not None
    return np.asarray(one.latency.samples.whole_ms)


def _whole_ms(one: Shown) -> float:
    assert one.row.times is not None
    return one.row.times.whole_p50_ms


def _is_long(one: Shown) -> bool:
    """Whether a run shows something over time: it was meant to, or it did not stay the same."""
    protocol = one.result.protocol
    sustained = protocol is not None and protocol.name == "sustained"
    return sustained or any(doubt.startswith(_SUSPECT) for doubt in one.row.doubts)


def _heat(latency: Latency) -> NDArray[np.float64]:
    """Seconds since the first query and degrees Celsius of the hottest zone, (n, 2).

    The second reading is taken right before the first query (`measure_latency` of the runner).
    """
    readings = [s for s in latency.sensors[1:] if s.thermal_mc]
    rows = [
        ((s.at_ns - readings[0].at_ns) / 1e9, max(s.thermal_mc.values()) / 1e3) for s in readings
    ]
    return np.array(rows).reshape(-1, 2)


def _heat_at(heat: NDArray[np.float64], at_s: float) -> str:
    if not len(heat):
        return NOTHING
    return number(float(np.interp(at_s, heat[:, 0], heat[:, 1])), 1)
