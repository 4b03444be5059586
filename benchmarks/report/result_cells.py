"""The first table, cell by cell: a figure, and beside it what its limit and its doubts say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from edgeskin.benchmarks.doubts import CPUS
from edgeskin.benchmarks.report.charts import NOTHING, number, signed
from edgeskin.benchmarks.report.limits import loss_of
from edgeskin.benchmarks.report.report_documents import Check, Row, State, Verdict, WorstGroup
from edgeskin.evaluation import MetricChange

SIZE, AGREEMENT = "Size, MB", "Agreement"
INFERENCE, WHOLE = "Inference p50 / p90 / p99, ms", "Whole query p50 / p90, ms"
SIGNS: Mapping[State | Verdict, str] = {
    "held": "✓", "unsure": "?", "missed": "✕", "not measured": "–",  # noqa: RUF001
    "ship": "✓", "look": "?", "stop": "✕",
}  # fmt: skip
"""Beside the word, for those who do not see its colour."""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: The figure; `more` are lines beneath it.
        sort: What it is sorted by; None where there is no figure.
        checks: Limits that hold the figure.
        doubts: Why it may be wrong, a word or two each.
    """

    text: str
    sort: float | None = None
    more: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def sort_key(self) -> str:
        """`sort` as the page sorts it; empty where there is no figure, which comes last."""
        if self.sort is None or math.isnan(self.sort):
            return ""
        return f"{min(max(self.sort, -_MOST), _MOST):.9f}"


_MOST = 1e9


def cells(row: Row) -> dict[str, Cell]:
    """The cells of a row behind its file and device, by the names of the columns."""
    return {name: make(row) for name, make in COLUMNS.items()}


def change_text(metric: MetricChange) -> str:
    """A change with its interval, in points or in the metric's unit."""
    scale, unit = (100.0, "points") if metric.unit == "ratio" else (1.0, metric.unit)
    low, high = (signed(scale * end) for end in (metric.change.low, metric.change.high))
    return f"{signed(scale * metric.change.value)} {unit} [{low}, {high}]"


def value_text(metric: MetricChange) -> str:
    """The result's own value: per cent of a ratio, else in the metric's unit."""
    if metric.unit == "ratio":
        return f"{number(100.0 * metric.candidate)} %"
    return f"{number(metric.candidate)} {metric.unit}"


def worst_of(row: Row) -> WorstGroup | None:
    """The group that lost most in a metric of the unit of the row's, or else in any."""
    unit = None if row.metric is None else row.metrics[row.metric].unit
    alike = [group for group in row.worst_groups if group.change.unit == unit]
    return max(alike or row.worst_groups, key=lambda group: loss_of(group.change), default=None)


def taken_text(row: Row) -> str:
    """How many operators the accelerator took; XNNPACK is none, it runs on the CPU."""
    counts = "" if row.taken is None else f"{row.taken[0]} of {row.taken[1]}"
    if row.accelerator in CPUS:
        return f"none: CPU, {counts} by {row.accelerator}" if counts else "none: CPU"
    return counts or "not told"


def doubts_of_times(row: Row) -> tuple[str, ...]:
    """What speaks against the times, a word or two each."""
    if row.times is None:
        return (row.no_times or "not timed",)
    return tuple(name for name in doubt_names(row) if name != "unverified")


def doubt_names(row: Row) -> tuple[str, ...]:
    """Each kind of doubt in a word or two: what two stages of a pipeline have is said once."""
    names = dict[str, str]()
    for doubt in row.doubts:
        name = _STAGE.sub("", doubt).partition(":")[0]
        names.setdefault(_NUMBER.sub("", name), name)  # of loads of 3.6 and 3.7 the first
    return tuple(names.values())


_STAGE, _NUMBER = re.compile(r"^stage '[^']*': "), re.compile(r"[\d.]+")


def _checks(row: Row, *limits: str) -> tuple[Check, ...]:
    return tuple(check for check in row.checks if check.limit in limits)


def _size(row: Row) -> Cell:
    return Cell(number(row.size_mb), row.size_mb, checks=_checks(row, "max_size_mb"))


def _times(names: tuple[str, ...], *limits: str) -> Callable[[Row], Cell]:
    """Several times in one cell, sorted by the first."""

    def make(row: Row) -> Cell:
        found = [None if row.times is None else getattr(row.times, name) for name in names]
        text = NOTHING if row.times is None else " / ".join(map(number, found))
        return Cell(text, found[0], checks=_checks(row, *limits), doubts=doubts_of_times(row))

    return make


def _load(row: Row) -> Cell:
    """One time, which doubts of the samples say nothing about."""
    cell = _times(("load_ms",))(row)
    return replace(cell, doubts=tuple(d for d in cell.doubts if d not in _OF_SAMPLES))


_OF_SAMPLES = ("too few samples", "unstable")


def _memory(row: Row) -> Cell:
    doubts = doubts_of_times(row) if row.times is None else ()
    return Cell(
        number(row.memory_mb, 1), row.memory_mb, checks=_checks(row, "max_memory_mb"), doubts=doubts
    )


def _taken(row: Row) -> Cell:
    doubts = tuple(dict.fromkeys(d for d in row.doubts if d.startswith("unverified")))
    share = None if row.taken is None else row.taken[0] / max(1, row.taken[1])
    return Cell(taken_text(row), share, doubts=doubts)


def _metric(row: Row) -> Cell:
    checks = _checks(row, "max_drop", "max_mae_rise")
    if row.metric is None:
        return Cell(NOTHING, checks=checks, doubts=("no labels in the pack",))
    metric = row.metrics[row.metric]
    more = (row.metric, f"change {change_text(metric)}")
    few = any(check.state == "unsure" for check in checks)
    return Cell(
        value_text(metric), metric.change.value, more, checks,
        (f"too few images: {metric.labelled(row.images)}",) if few else (),
    )  # fmt: skip


def _group(row: Row) -> Cell:
    checks = _checks(row, "max_group_gap")
    if (worst := worst_of(row)) is None:
        return Cell(NOTHING, checks=checks)
    more = (
        f"{worst.by}: {worst.group} ({worst.images} images)", worst.metric,
        f"change {change_text(worst.change)}",
    )  # fmt: skip
    return Cell(value_text(worst.change), worst.change.change.value, more, checks)


def _agreement(row: Row) -> Cell:
    equal = row.equal_decisions
    same = "no decisions" if equal is None else f"{number(100 * equal)} % equal decisions"
    return Cell(f"{number(row.sqnr_db, 1)} dB", row.sqnr_db, (same,))


COLUMNS: Mapping[str, Callable[[Row], Cell]] = {
    SIZE: _size,
    "Load, ms": _load,
    INFERENCE: _times(("p50_ms", "p90_ms", "p99_ms")),
    WHOLE: _times(("whole_p50_ms", "whole_p90_ms"), "max_latency_ms"),
    "Metric": _metric,
    "Worst group": _group,
    AGREEMENT: _agreement,
    "Peak memory, MB": _memory,
    "On the accelerator": _taken,
}
"""The columns that hold figures, in their order."""


def lines(row: Row) -> Iterator[str]:
    """What is said of a row in sentences: its checks, then its doubts."""
    for check in row.checks:
        yield f"{SIGNS[check.state]} {check.state}: {check.line}"
    yield from row.doubts
