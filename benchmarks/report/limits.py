"""Limits against what was measured, each as a check with its sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from edgeskin.benchmarks.report.budget import Budget, Limits
from edgeskin.benchmarks.report.report_documents import Check, Row, State
from edgeskin.benchmarks.result import BenchResult, PipelineResult
from edgeskin.evaluation import MetricChange
from edgeskin.statistics import percentile_interval, unseen_share
from edgeskin.subgroups import GapChange, Subgroups

MB = 1e6


def checks(result: BenchResult, limits: Limits) -> tuple[Check, ...]:
    """One check a limit, in the order of `CHECKS`."""
    return tuple(
        check(result, allowed)
        for name, check in CHECKS.items()
        if (allowed := getattr(limits, name)) is not None
    )


def unheld(budget: Budget, rows: Iterable[Row]) -> tuple[str, ...]:
    """A line for each metric that a limit names and no result has, as a misspelt one."""
    known = {name for row in rows for name, m in row.metrics.items() if m.unit != "ratio"}
    named = dict.fromkeys(
        name
        for limits in (budget, *budget.devices.values())
        if isinstance(limits.max_mae_rise, dict)
        for name in limits.max_mae_rise
    )
    theirs = ", ".join(sorted(known)) or "none"
    return tuple(
        f"max_mae_rise names '{name}', and no result has such an error; they have {theirs}"
        for name in named
        if name not in known
    )


def no_times(result: BenchResult) -> str | None:
    """Why a result has no times of a device; None where it has."""
    if result.device.simulated:
        return "simulated: no speed"
    if result.device.emulated:
        return "emulated: no speed"
    if result.latency is None and _whole_p50(result) is None:
        return "not timed"
    return None


def peak_memory_mb(result: BenchResult) -> float | None:
    """The highest peak of the process, in 10^6 bytes; of a pipeline that of its larger stage."""
    if isinstance(result, PipelineResult):
        return max(filter(None, map(peak_memory_mb, result.stages.values())), default=None)
    if result.latency is None:
        return None
    return 1024 * max(result.latency.memory_kb.values()) / MB


def grown_groups(result: BenchResult) -> Iterator[str]:
    """A line for each gap between groups that has grown by more than what its metric may."""
    for by, name, gap in _gaps(result):
        if gap.verdict == "grew":
            yield (
                f"{name} by {by}: the gap between groups grew by {100 * gap.growth.value:.2f} "
                f"points; worst is '{gap.candidate.worst}'"
            )


def all_groups(result: BenchResult) -> dict[str, Subgroups]:
    """The metrics by group; of a pipeline the share of images answered, by a name of its own."""
    groups = dict(result.accuracy.groups)
    if isinstance(result, PipelineResult):
        groups |= {f"{by} (answered)": parts for by, parts in (result.answered or {}).items()}
    return groups


def most_lost(metrics: Mapping[str, MetricChange], ratio: bool) -> str | None:
    """The metric that lost most, among ratios or among the others; NaN counts as most."""
    chosen = {name: m for name, m in metrics.items() if (m.unit == "ratio") is ratio}
    return max(chosen, key=lambda name: loss_of(chosen[name]), default=None)


def loss_of(metric: MetricChange) -> float:
    """What a metric lost, in its unit; infinite where that is NaN, which counts as most."""
    return math.inf if math.isnan(metric.loss) else metric.loss


def _severity(check: Check) -> tuple[int, float]:
    """The worst is the largest: by its state, then by its value; none, or NaN, counts as most."""
    value = math.nan if check.value is None else check.value
    return _STATES.index(check.state), math.inf if math.isnan(value) else value


_STATES: Sequence[State] = ("not measured", "held", "unsure", "missed")
"""The best first."""


def _state(value: float, high: float, allowed: float) -> State:
    if not round(value, 9) <= allowed:  # 0.81 - 0.80 is more than 0.01; NaN is missed too
        return "missed"
    return "held" if round(high, 9) <= allowed else "unsure"


def _not_measured(limit: str, allowed: float, unit: str, line: str) -> Check:
    return Check(
        limit=limit, allowed=allowed, unit=unit, value=None, state="not measured", line=line
    )


def _size(result: BenchResult, allowed: float) -> Check:
    size = result.artifact.bytes / MB
    return Check(
        limit="max_size_mb",
        allowed=allowed,
        unit="MB",
        value=size,
        state=_state(size, size, allowed),
        line=f"the file has {size:.2f} MB, {allowed:g} allowed",
    )


def _memory(result: BenchResult, allowed: float) -> Check:
    peak = peak_memory_mb(result)
    line = "peak memory was not measured" if peak is None else f"peak memory {peak:.1f} MB"
    return Check(
        limit="max_memory_mb",
        allowed=allowed,
        unit="MB",
        value=peak,
        state="not measured" if peak is None else _state(peak, peak, allowed),
        line=f"{line}, {allowed:g} allowed",
    )


def _latency(result: BenchResult, allowed: float) -> Check:
    """The 90th percentile of whole queries, with its distribution-free interval."""
    why = no_times(result)
    if why is None and result.latency is None:
        why = "a pipeline has medians only"
    if why is not None or result.latency is None:
        line = f"p90 of a whole query, {allowed:g} ms allowed: {why}"
        return _not_measured("max_latency_ms", allowed, "ms", line)
    p90 = result.latency.summary.whole.p90_ms
    low, high = percentile_interval(result.latency.samples.whole_ms, 90)
    return Check(
        limit="max_latency_ms",
        allowed=allowed,
        unit="ms",
        value=p90,
        low=low,
        high=high,
        state=_state(p90, high, allowed),
        line=f"p90 of a whole query {p90:.2f} ms [{low:.2f}, {high:.2f}], {allowed:g} allowed",
    )


def _whole_p50(result: BenchResult) -> float | None:
    if isinstance(result, PipelineResult):
        return result.whole_p50_ms
    return None if result.latency is None else result.latency.summary.whole.p50_ms


def _drop(result: BenchResult, allowed: float) -> Check:
    found = {name: m for name, m in result.accuracy.metrics.items() if m.unit == "ratio"}
    each = [
        _metric_check("max_drop", allowed, name, metric, result.accuracy.images)
        for name, metric in found.items()
    ]
    if not each:
        return _not_measured("max_drop", allowed, "points", "the pack has no labels of a decision")
    return max(each, key=_severity)


def _mae_rise(result: BenchResult, allowed: float | Mapping[str, float]) -> Check:
    found = {name: m for name, m in result.accuracy.metrics.items() if m.unit != "ratio"}
    named = allowed if isinstance(allowed, Mapping) else dict.fromkeys(found, allowed)
    each = [
        _metric_check("max_mae_rise", rise, name, found[name], result.accuracy.images)
        for name, rise in named.items()
        if name in found
    ]
    if not each:
        of = ", ".join(named) or "a value"
        rise = min(named.values()) if isinstance(allowed, Mapping) else allowed
        return _not_measured("max_mae_rise", rise, "", f"the pack has no labels of {of}")
    return max(each, key=_severity)


def _metric_check(
    limit: str, allowed: float, name: str, metric: MetricChange, images: int
) -> Check:
    ratio = metric.unit == "ratio"
    scale, unit = (100.0, "points") if ratio else (1.0, metric.unit)
    loss = scale * metric.loss
    low, high = (scale * end for end in metric.loss_interval)
    images = metric.labelled(images)
    unseen = 100.0 * unseen_share(low, high, images) if ratio else 0.0
    state = _state(loss, high + unseen, allowed)
    verb = "gained" if loss < 0 else "lost"
    line = f"{name} {verb} {abs(loss):.2f} {unit} [{low:+.2f}, {high:+.2f}], {allowed:g} allowed"
    if state == "missed" and low <= allowed:
        line += " (the interval reaches within the limit)"
    if state == "unsure":
        line += f": {images} images are too few to say"
    if math.isnan(loss):
        line = f"{name} is no number, a loss of {allowed:g} {unit} allowed"
    return Check(
        limit=limit,
        allowed=allowed,
        unit=unit,
        value=loss,
        low=low,
        high=high,
        state=state,
        line=line,
        metric=name,
    )


def _group_gap(result: BenchResult, allowed: float) -> Check:
    groups = all_groups(result)
    each = [_gap_check(allowed, by, name, gap, groups[by]) for by, name, gap in _gaps(result)]
    if not each:
        why = f"too few images by {', '.join(groups)}" if groups else "the pack has no groups"
        line = f"the gap between groups, {allowed:g} points allowed: {why}"
        return _not_measured("max_group_gap", allowed, "points", line)
    return max(each, key=_severity)


def _gap_check(allowed: float, by: str, name: str, gap: GapChange, parts: Subgroups) -> Check:
    growth, low, high = (100.0 * x for x in (gap.growth.value, gap.growth.low, gap.growth.high))
    fewest = min(parts.groups[group].labelled(name) for group in gap.groups)
    unseen = 100.0 * unseen_share(low, high, fewest)
    verb = "shrank" if growth < 0 else "grew"
    return Check(
        limit="max_group_gap",
        allowed=allowed,
        unit="points",
        value=growth,
        low=low,
        high=high,
        state=_state(growth, high + unseen, allowed),
        line=f"{name} by {by}: the gap between groups {verb} by {abs(growth):.2f} points "
        f"[{low:+.2f}, {high:+.2f}], {allowed:g} allowed; worst is '{gap.candidate.worst}'",
    )


def _gaps(result: BenchResult) -> Iterator[tuple[str, str, GapChange]]:
    for by, parts in all_groups(result).items():
        for name, gap in parts.gaps.items():
            if gap.unit == "ratio":
                yield by, name, gap


CHECKS: Mapping[str, Callable[[BenchResult, float], Check]] = {
    "max_drop": _drop,
    "max_mae_rise": _mae_rise,
    "max_group_gap": _group_gap,
    "max_latency_ms": _latency,
    "max_memory_mb": _memory,
    "max_size_mb": _size,
}
"""By the limit's name, what matters most first."""
