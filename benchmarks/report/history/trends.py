"""The trend of each series of a history: its level, its noise, and what has changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from edgeskin.benchmarks.report.history.change_points import Split, best_split, change_points
from edgeskin.benchmarks.report.history.history_documents import (
    LevelChange,
    Point,
    Series,
    Trend,
    TrendState,
)
from edgeskin.benchmarks.report.history.history_folder import Stored
from edgeskin.benchmarks.report.history.thresholds import (
    MIN_RUNS,
    THRESHOLDS,
    Threshold,
    ThresholdName,
    critical_level,
)

LAST = 30
"""Earlier values of its level that the latest is held against, at most."""
_SMALLEST_SHARE = 0.01
"""Of the level: times, memory and sizes that differ by less are the same."""
_SMALLEST: Mapping[str, float] = {"dB": 0.1, "ratio": 0.001}
"""By unit, what differs by less is the same; in the units of values that a model predicts 0.01."""


def trends_of(
    figures: Sequence[Stored], level: float, threshold: ThresholdName
) -> tuple[Trend, ...]:
    """The trend of each series, in the order of their first values.

    Args:
        figures: In order of time.
        level: The share of false alarms, see `critical_level`: of all series here together, once
            for the latest values and once for changes of level.
    """
    grouped: dict[Series, list[Stored]] = {}
    for figure in figures:
        grouped.setdefault(figure.series, []).append(figure)
    histories = [_History.of(stored) for stored in grouped.values()]
    critical = critical_level([history.p_of_change() for history in histories], level)
    cut = [replace(history, changes=tuple(history.find(critical))) for history in histories]
    judged = [_Judged.of(history, THRESHOLDS[threshold]) for history in cut]
    known = [one.chance() for one in judged if one.threshold is not None]
    reach = critical_level(known, level)
    return tuple(one.trend(reach) for one in judged)


@dataclass(frozen=True)
class _History:
    """The values of one series since its last new baseline that are numbers.

    Attributes:
        stored: All of them, with those before and those that are none.
        places: Indices into `stored`.
        values: As they are, of `places`.
        changes: Of level, with indices into `stored`.
    """

    stored: Sequence[Stored]
    places: Sequence[int]
    values: Sequence[float]
    changes: tuple[LevelChange, ...] = ()

    @classmethod
    def of(cls, stored: Sequence[Stored]) -> _History:
        start = max((i for i, one in enumerate(stored) if one.new_baseline), default=0)
        places = [i for i in range(start, len(stored)) if not math.isnan(stored[i].value)]
        return cls(stored, places, [stored[i].value for i in places])

    def p_of_change(self) -> float:
        split = best_split(self.values)
        return 1.0 if split is None else split.p

    def find(self, critical: float) -> Iterator[LevelChange]:
        """The changes between levels that lie far enough apart to matter.

        Levels too close to each other are one, the closest joined first: a drift is cut into many
        small steps, and would be told by none of them.
        """
        splits = change_points(self.values, critical)
        while splits:
            levels = self._levels(splits)
            steps = [_step(self.stored[0].unit, *pair) for pair in pairwise(levels)]
            if min(steps) > 1.0:
                break
            del splits[steps.index(min(steps))]
        for split, (before, after) in zip(splits, pairwise(self._levels(splits)), strict=True):
            first = self.stored[self.places[split.at]]
            rose = after > before
            yield LevelChange(
                at=first.at,
                label=first.label,
                index=self.places[split.at],
                before=before,
                after=after,
                p=split.p,
                worse=None if first.better is None else rose == (first.better == "lower"),
            )

    def _levels(self, splits: Sequence[Split]) -> list[float]:
        """The medians of the parts that the splits leave."""
        if not self.values:
            return []
        ends = [0, *(split.at for split in splits), len(self.values)]
        return [float(np.median(self.values[a:b])) for a, b in pairwise(ends)]


@dataclass(frozen=True)
class _Judged:
    """The latest value of a series as a cost, and the threshold of the ones before; None of few."""

    history: _History
    sign: float
    runs: int
    threshold: Threshold | None

    @classmethod
    def of(cls, history: _History, kind: type[Threshold]) -> _Judged:
        last = len(history.stored) - 1
        start = history.changes[-1].index if history.changes else 0
        pairs = zip(history.places, history.values, strict=True)
        level = [value for place, value in pairs if start <= place < last]
        if any(map(math.isinf, level)) and min(level) != max(level):
            level = [value for value in level if math.isfinite(value)]
        level = level[-LAST:]
        latest = history.stored[-1]
        sign = -1.0 if latest.better == "higher" else 1.0
        enough = latest.better is not None and len(level) >= MIN_RUNS
        threshold = kind.of([sign * value for value in level]) if enough else None
        return cls(history, sign, len(level), threshold)

    @property
    def _cost(self) -> float:
        return self.sign * self.history.stored[-1].value

    @property
    def _smallest(self) -> float:
        assert self.threshold is not None
        return smallest_change(self.history.stored[-1].unit, self.threshold.usual)

    def chance(self) -> float:
        """Of a cost so large; 1 where it is usual but for what is too small to matter."""
        assert self.threshold is not None
        if not self._cost > self.threshold.usual + self._smallest:
            return 1.0
        return self.threshold.chance(self._cost)

    def trend(self, reach: float) -> Trend:
        latest, known = self.history.stored[-1], self.threshold
        beyond = None
        if known is not None:
            beyond = max(known.bound(reach), known.usual + self._smallest)
        return Trend(
            series=latest.series,
            unit=latest.unit,
            better=latest.better,
            addition=latest.addition,
            runs=self.runs,
            usual=None if known is None else self.sign * known.usual,
            noise=None if known is None else known.noise,
            threshold=None if beyond is None else self.sign * beyond,
            state=self._state(beyond),
            changes=self.history.changes,
            doubts=latest.doubts,
            points=tuple(
                Point(at=one.at, label=one.label, value=one.value) for one in self.history.stored
            ),
        )

    def _state(self, beyond: float | None) -> TrendState:
        latest, known = self.history.stored[-1], self.threshold
        if math.isnan(latest.value):
            return "no number"
        if latest.better is None:
            return "not judged"
        if known is None or beyond is None:
            return "too few to say"
        if self._cost > beyond:
            return "worse"
        return "better" if self._cost < 2.0 * known.usual - beyond else "usual"


def smallest_change(unit: str, level: float) -> float:
    """What a value of `unit` must change by, at this level, to count as another one."""
    if unit in ("ms", "MB"):
        return _SMALLEST_SHARE * abs(level)
    return _SMALLEST.get(unit, 0.01)


def _step(unit: str, before: float, after: float) -> float:
    """From one level to the next, in parts of the smallest change that matters."""
    if before == after:  # infinite ones too
        return 0.0
    smallest = smallest_change(unit, before)
    return abs(after - before) / smallest if 0.0 < smallest < math.inf else math.inf
