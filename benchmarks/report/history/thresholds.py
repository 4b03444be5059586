"""What a series' own noise allows its next value: thresholds without a fixed percentage.

Values are costs: larger is worse. Both kinds of threshold are those of Bencher (bencher.dev,
"Thresholds and Alerts"); runs that depend on each other, as those of a room that heats over the
day, make both too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, Self

import numpy as np

ThresholdName = Literal["t", "iqr"]
MIN_RUNS = 8
"""Of fewer earlier runs nothing is said: a noise of 7 is known to no better than -36 % to +120 %
(95 % of the chi-squared law)."""
FENCE = 3.0
"""Interquartile ranges above the third quartile: what is "far out" (Tukey 1977)."""


class Threshold(Protocol):
    """The usual cost of a series, and how far its next one may lie above."""

    @property
    def usual(self) -> float:
        """Where the series lies, by the mean or the median."""

    @property
    def noise(self) -> float:
        """The standard deviation of a run, as far as this kind of threshold estimates one."""

    @classmethod
    def of(cls, costs: Sequence[float]) -> Self:
        """The threshold of earlier costs, at least two, none of them NaN."""

    def chance(self, cost: float) -> float:
        """The chance of a next cost as large as this one, or larger, if nothing changed."""

    def bound(self, chance: float) -> float:
        """The cost that the next one reaches with this chance."""


@dataclass(frozen=True)
class PredictionInterval:
    """The t-test prediction interval of the next value, mean + t s sqrt(1 + 1 / n).

    Exact for normal noise (Hahn and Meeker, Statistical Intervals, 1991, section 4.7). `noise` is
    the standard deviation s of the n earlier values; t has n - 1 degrees of freedom.
    """

    usual: float
    noise: float
    runs: int

    @classmethod
    def of(cls, costs: Sequence[float]) -> Self:
        if min(costs) == max(costs):  # infinite ones too; and no noise of rounding
            return cls(costs[0], 0.0, len(costs))
        return cls(float(np.mean(costs)), float(np.std(costs, ddof=1)), len(costs))

    def chance(self, cost: float) -> float:
        if self.noise == 0.0:
            return float(cost <= self.usual)
        return t_tail((cost - self.usual) / self._spread, self.runs - 1)

    def bound(self, chance: float) -> float:
        if self.noise == 0.0:
            return self.usual
        return self.usual + t_quantile(chance, self.runs - 1) * self._spread

    @property
    def _spread(self) -> float:
        return self.noise * math.sqrt(1.0 + 1.0 / self.runs)


@dataclass(frozen=True)
class Fence:
    """The interquartile fence, Q3 + 3 (Q3 - Q1): runs now and then far off do not move it.

    Tukey, Exploratory Data Analysis, 1977, section 2E. It knows beyond and not beyond, so that
    `chance` is 0 or 1. `noise` is the interquartile range over 1.349, that of the normal law.
    """

    usual: float
    noise: float
    fence: float

    @classmethod
    def of(cls, costs: Sequence[float]) -> Self:
        if min(costs) == max(costs):
            return cls(costs[0], 0.0, costs[0])
        low, middle, high = (float(q) for q in np.quantile(costs, (0.25, 0.5, 0.75)))
        return cls(middle, (high - low) / 1.349, high + FENCE * (high - low))

    def chance(self, cost: float) -> float:
        return float(cost <= self.fence)

    def bound(self, chance: float) -> float:
        return self.fence


THRESHOLDS: Mapping[ThresholdName, type[Threshold]] = {"t": PredictionInterval, "iqr": Fence}


def critical_level(chances: Sequence[float], level: float) -> float:
    """The largest chance that is called a change, of several series looked at together.

    By the step-up procedure of Benjamini and Hochberg (Journal of the Royal Statistical Society B
    57, 1995): of the series called, a share of `level` is called by chance; where nothing changed,
    one is called at all in a share of `level` of such looks. It holds for series that move
    together (Benjamini and Yekutieli, Annals of Statistics 29, 2001), as p50, p90 and p99 do, and
    finds more of them than Holm's procedure, which counts each as a test of its own.

    >>> critical_level([0.001, 0.3, 0.4, 0.5], 0.01)
    0.0025
    >>> critical_level([0.001, 0.002, 0.003, 0.5], 0.01)
    0.0075
    """
    count = max(1, len(chances))
    ranked = enumerate(sorted(chances), 1)
    called = max((rank for rank, p in ranked if p <= level * rank / count), default=1)
    return level * called / count


def t_tail(t: float, freedom: int) -> float:
    """P(T > t) of Student's t with whole degrees of freedom, by its finite series.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4; the error is
    below 1e-15, so that smaller tails are 0.
    """
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term, total = math.cos(angle) if odd else 1.0, 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    total *= math.sin(angle)
    inside = 2.0 / math.pi * (angle + total) if odd else total
    return max(0.0, (1.0 - inside) / 2.0)


@lru_cache(maxsize=4096)
def t_quantile(tail: float, freedom: int) -> float:
    """The t that Student's T is above with the chance `tail`, 1e-12 to 0.5."""
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > tail:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if t_tail(middle, freedom) > tail else (low, middle)
    return (low + high) / 2.0
