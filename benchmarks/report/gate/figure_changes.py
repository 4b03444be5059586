"""Every figure of a pair: its change from old to new, an interval, and a test where one fits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.doubts import background_load
from edgeskin.benchmarks.report.gate.compare_documents import Change
from edgeskin.benchmarks.report.gate.latency_change import LatencyChange, latency_change
from edgeskin.benchmarks.report.gate.paired_outputs import (
    PairedOutputs,
    Truths,
    group_changes,
    metric_changes,
)
from edgeskin.benchmarks.report.gate.pairing import Side
from edgeskin.benchmarks.report.limits import all_groups
from edgeskin.benchmarks.report.timed_parts import timed_parts
from edgeskin.benchmarks.result import BenchResult, Latency
from edgeskin.estimate import Estimate
from edgeskin.evaluation import MetricChange, PairedTest
from edgeskin.statistics import interval_p
from edgeskin.subgroups import GapChange

BLOCKED = "Mann-Whitney on block percentiles"
ALLOWED_LOAD = 0.5
"""Of the cores that a run leaves free, what others may use before its times decide nothing."""
SHORTEST_S = 0.2
"""Seconds that tell this load well enough; a quick run of a small file takes less than one."""
TIMES = ("p50_ms", "whole_p90_ms")
"""The figures of `max_slowdown`; of a pipeline's stage with its name."""


def figure_changes(
    old: Side, new: Side, outputs: PairedOutputs | None, truths: Truths | None
) -> Iterator[Change]:
    """All figures that both results have, what matters most first.

    Args:
        outputs: Of both; None where they are not there.
        truths: Of the pack; None where it was not given.
    """
    yield from _metrics(old, new, outputs, truths)
    yield from _gaps(old, new, outputs, truths)
    yield from _agreement(old, new)
    yield from _times(old, new)
    yield from _spent(old, new)
    yield from _placement(old, new)


# ---- The task


def _metrics(
    old: Side, new: Side, outputs: PairedOutputs | None, truths: Truths | None
) -> Iterator[Change]:
    before, after = (side.result.accuracy for side in (old, new))
    if outputs is not None and not outputs.equal and truths is not None:
        for name, metric in metric_changes(outputs, truths).items():
            method = "bootstrap over images, the same of both"
            yield _of_metric(name, metric, len(outputs.images), method, paired=True)
        return
    for name, metric in after.metrics.items():
        if (known := before.metrics.get(name)) is None:
            continue
        if outputs is not None and outputs.equal:
            yield _unchanged(name, metric)
            continue
        yield _of_metric(name, _against_float(known, metric), after.images, _UNPAIRED, paired=False)


_UNPAIRED = (
    "two changes against the same float model, their intervals added at their widest: --pack pairs "
    "them image by image"
)


def _against_float(old: MetricChange, new: MetricChange) -> MetricChange:
    """The change between two that are known against a third only.

    Half the width is the sum of both, which holds 95 % of normal estimates however they depend on
    each other; independent ones would need the root of the sum of squares.
    """
    change = Estimate(
        value=new.candidate - old.candidate,
        low=new.change.low - old.change.high,
        high=new.change.high - old.change.low,
    )
    update = {"reference": old.candidate, "change": change, "test": None}
    return new.model_copy(update=update)


def _of_metric(
    name: str, metric: MetricChange, images: int, method: str, *, paired: bool
) -> Change:
    scale, unit = (100.0, "points") if metric.unit == "ratio" else (1.0, metric.unit)
    low, high = metric.loss_interval
    return Change(
        figure=name,
        unit=metric.unit,
        old=metric.reference,
        new=metric.candidate,
        change=scale * metric.change.value,
        change_unit=unit,
        interval=(scale * metric.change.low, scale * metric.change.high),
        loss=scale * metric.loss,
        loss_interval=(scale * low, scale * high),
        basis="images" if paired else "unpaired",
        method=method,
        images=metric.labelled(images),
        test=metric.test if paired else None,
    )


def _unchanged(name: str, metric: MetricChange) -> Change:
    return Change(
        figure=name,
        unit=metric.unit,
        old=metric.candidate,
        new=metric.candidate,
        change=0.0,
        change_unit="points" if metric.unit == "ratio" else metric.unit,
        interval=(0.0, 0.0),
        loss=0.0,
        loss_interval=(0.0, 0.0),
        basis="exact",
        method="all outputs are the same to the bit",
    )


def _gaps(
    old: Side, new: Side, outputs: PairedOutputs | None, truths: Truths | None
) -> Iterator[Change]:
    """Of metrics that are ratios, by what the pack's images are grouped by."""
    if outputs is not None and not outputs.equal and truths is not None:
        grouped = group_changes(outputs, truths)
        paired = {by: parts.gaps for by, parts in grouped.items()}
    else:
        grouped, paired = {}, dict[str, dict[str, GapChange]]()
    before, after = (all_groups(side.result) for side in (old, new))
    for by, parts in after.items():
        for name, gap in parts.gaps.items():
            if gap.unit != "ratio":
                continue
            images = min(parts.groups[group].labelled(name) for group in gap.groups)
            figure = f"{name} gap by {by}"
            known = before[by].gaps.get(name) if by in before else None
            if (both := paired.get(by, {}).get(name)) is not None:
                fewest = min(grouped[by].groups[group].labelled(name) for group in both.groups)
                yield _of_gap(figure, both.reference.gap, both.candidate.gap, both.growth, fewest)
            elif known is not None:
                equal = outputs is not None and outputs.equal
                yield _unpaired_gap(figure, known, gap, images, equal=equal)


def _of_gap(figure: str, old: float, new: float, growth: Estimate, images: int) -> Change:
    scaled = tuple(100.0 * end for end in (growth.low, growth.high))
    return Change(
        figure=figure,
        unit="ratio",
        old=old,
        new=new,
        change=100.0 * growth.value,
        change_unit="points",
        interval=(scaled[0], scaled[1]),
        loss=100.0 * growth.value,
        loss_interval=(scaled[0], scaled[1]),
        basis="images",
        method="bootstrap over the images of each group, the same of both",
        images=images,
        test=PairedTest(name="of the interval, as normal", p=interval_p(growth)),
    )


def _unpaired_gap(
    figure: str, old: GapChange, new: GapChange, images: int, *, equal: bool
) -> Change:
    before, after = old.candidate.gap, new.candidate.gap
    ends = (new.growth.low - old.growth.high, new.growth.high - old.growth.low)
    low, high = (0.0, 0.0) if equal else (100.0 * ends[0], 100.0 * ends[1])
    return Change(
        figure=figure,
        unit="ratio",
        old=before,
        new=after,
        change=100.0 * (after - before),
        change_unit="points",
        interval=(low, high),
        loss=100.0 * (after - before),
        loss_interval=(low, high),
        basis="exact" if equal else "unpaired",
        method="all outputs are the same to the bit" if equal else _UNPAIRED,
        images=images,
    )


# ---- Agreement, time and space


def _agreement(old: Side, new: Side) -> Iterator[Change]:
    before, after = old.row, new.row
    yield _exact("sqnr_db", "dB", before.sqnr_db, after.sqnr_db, more_is_better=True)
    if before.equal_decisions is not None and after.equal_decisions is not None:
        yield _exact(
            "equal_decisions", "ratio", before.equal_decisions, after.equal_decisions,
            more_is_better=True,
        )  # fmt: skip


def _times(old: Side, new: Side) -> Iterator[Change]:
    """Of each timed part: the median inference, and the 90th percentile of a whole query."""
    if old.row.times is None or new.row.times is None:
        return
    before, after = (
        {part.stage: part.result for part in timed_parts([side.found])} for side in (old, new)
    )
    for stage in (name for name in after if name in before):
        doubt = disturbed(before[stage]) or disturbed(after[stage])
        known, latency = before[stage].latency, after[stage].latency
        if known is None or latency is None:
            continue
        of = f" of {stage}" if stage else ""
        for figure, percent in zip(TIMES, (50, 90), strict=True):
            pair = (_series(known, figure), _series(latency, figure))
            yield _of_latency(f"{figure}{of}", latency_change(*pair, percent), doubt)
        yield _of_load(known, latency, f"load_ms{of}", doubt)


def disturbed(result: BenchResult) -> str | None:
    """Why the times of a run are as much another process's as the file's; None where they are not.

    Others used more than half of the cores that the run itself left free.
    """
    sensors = () if result.latency is None else result.latency.sensors
    busy = background_load(sensors, shortest_s=SHORTEST_S) if len(sensors) > 1 else None
    if busy is None:
        return None
    cores, name = result.device.cores or 1, result.device.name
    if busy <= ALLOWED_LOAD * max(1, cores - result.engine.threads):
        return None
    return f"other processes used {busy:.2f} of {cores} cores of {name} meanwhile"


def _series(latency: Latency, figure: str) -> NDArray[np.float64]:
    samples = latency.samples
    return np.asarray(samples.run_ms if figure == "p50_ms" else samples.whole_ms)


def _of_latency(figure: str, found: LatencyChange, doubt: str | None) -> Change:
    interval = (found.change.low, found.change.high)
    old, new = found.blocks
    return Change(
        figure=figure,
        unit="ms",
        old=found.old,
        new=found.new,
        change=found.change.value,
        change_unit="%",
        interval=interval,
        loss=found.change.value,
        loss_interval=interval,
        basis="samples",
        method=f"bootstrap over blocks of {old} and {new} consecutive samples; quarters of a run "
        f"lie up to {found.wander:.1f} % apart",
        test=None if found.p is None else PairedTest(name=BLOCKED, p=found.p),
        doubt=doubt,
    )


def _of_load(old: Latency, new: Latency, figure: str, doubt: str | None) -> Change:
    """Of the first load, which may be from storage; the median of the later ones beside it.

    Of runs of one file each kind differs by half and more, but seldom both in one direction.
    """
    change = _single(figure, "ms", old.loads[0].load_ms, new.loads[0].load_ms)
    if min(len(old.loads), len(new.loads)) < 2:
        return change.model_copy(update={"doubt": doubt or "one load each, which may be noise"})
    later = [float(np.median([load.load_ms for load in x.loads[1:]])) for x in (old, new)]
    rises = (change.loss, _percent(*later))
    update = {"loss_interval": (min(rises), max(rises)), "doubt": doubt, "method": _LOADS}
    return change.model_copy(update=update)


_LOADS = "the first load of a run against the first, and the median of the later ones likewise"


def _spent(old: Side, new: Side) -> Iterator[Change]:
    bytes_old, bytes_new = (side.result.artifact.bytes for side in (old, new))
    growth = _percent(bytes_old, bytes_new)
    yield Change(
        figure="size_mb",
        unit="MB",
        old=old.row.size_mb,
        new=new.row.size_mb,
        change=growth,
        change_unit="%",
        interval=(growth, growth),
        loss=growth,
        loss_interval=(growth, growth),
        basis="exact",
    )
    if old.row.times is None or new.row.times is None:
        return
    if old.row.memory_mb is not None and new.row.memory_mb is not None:
        yield _single("memory_mb", "MB", old.row.memory_mb, new.row.memory_mb)


def _placement(old: Side, new: Side) -> Iterator[Change]:
    if old.row.taken is not None and new.row.taken is not None:
        counts = (float(old.row.taken[0]), float(new.row.taken[0]))
        yield _exact("operators_taken", "operators", *counts, more_is_better=True)


def _exact(figure: str, unit: str, old: float, new: float, *, more_is_better: bool) -> Change:
    scale, change_unit = (100.0, "points") if unit == "ratio" else (1.0, unit)
    change = 0.0 if old == new else scale * (new - old)  # two infinite SQNRs are equal
    loss = -change if more_is_better else change
    return Change(
        figure=figure,
        unit=unit,
        old=old,
        new=new,
        change=change,
        change_unit=change_unit,
        interval=(change, change),
        loss=loss,
        loss_interval=(loss, loss),
        basis="exact",
    )


def _single(figure: str, unit: str, old: float, new: float) -> Change:
    """One value against one: what of it is noise is not known."""
    change = _percent(old, new)
    return Change(
        figure=figure,
        unit=unit,
        old=old,
        new=new,
        change=change,
        change_unit="%",
        interval=None,
        loss=change,
        loss_interval=None,
        basis="one value",
        method="one value against one: what of it is noise is not known",
    )


def _percent(old: float, new: float) -> float:
    """The change in percent of the old value."""
    return 100.0 * (new / old - 1) if old else float("nan")
