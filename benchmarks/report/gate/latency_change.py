"""How much slower one run is than another, where neighbouring samples depend on each other.

A clock that steps or a chip that heats makes slow samples follow slow ones, so that 1000 samples
say less than 1000 independent ones would. Everything here therefore works on blocks of consecutive
samples. And two runs of one file differ by more than their samples tell: by what else the device
did, by how warm it was. What a run shows of that is how far its own quarters lie apart, so no
interval is narrower than this. What changes only between runs (where memory lay) is in neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgeskin.estimate import Estimate
from edgeskin.statistics import RESAMPLES, rank_sum_p

Samples = NDArray[np.float64]
FEWEST_BLOCKS = 8
"""Of each run for the rank-sum test; with fewer its normal approximation is not to be trusted."""
_CELLS = 100_000
"""Numbers resampled at a time, which a processor's cache holds."""


@dataclass(frozen=True)
class LatencyChange:
    """The change of one percentile between two runs, in percent of the old one's.

    Attributes:
        old, new: The percentiles, in milliseconds.
        change: 100 * (new / old - 1), with its 95 % interval, or `wander` on either side where
            that is wider.
        wander: How far the quarters of a run lie apart, of the run in which they do most: the
            percentile's range over them, in percent of that of the whole run.
        blocks: The lengths of the blocks of the interval, of old and new.
        p: Of the rank-sum test on block percentiles; None of fewer than `FEWEST_BLOCKS` samples.
    """

    old: float
    new: float
    change: Estimate
    wander: float
    blocks: tuple[int, int]
    p: float | None


def latency_change(
    old: Sequence[float] | Samples, new: Sequence[float] | Samples, percent: float
) -> LatencyChange:
    """The change of the percentile `percent` from one run to the other.

    The interval is that of the moving-block bootstrap (Kuensch, Annals of Statistics 17, 1989),
    each run resampled by itself, percentile method, fixed seed. Blocks have `block_length`
    samples, and the cube root of their number at least. The test is that of Mann and Whitney
    (Annals of Mathematical Statistics 18, 1947) on the percentiles of consecutive blocks of both
    runs; its blocks have twice the length by the rule, so that they hardly depend on each other,
    unless fewer than `FEWEST_BLOCKS` were left: then the interval's `wander` is what guards.

    Args:
        old: Milliseconds of each sample in the order measured, all above 0; also `new`.
    """
    runs = [np.asarray(values, np.float64) for values in (old, new)]
    before, after = (float(np.percentile(values, percent)) for values in runs)
    rules = [
        max(block_length(values > np.percentile(values, q)) for q in (50, percent))
        for values in runs
    ]
    lengths = [max(rule, math.ceil(np.cbrt(len(v)))) for rule, v in zip(rules, runs, strict=True)]
    random = np.random.default_rng(20240229)
    ratios = np.divide(
        *(
            _resampled(v, n, percent, random)
            for v, n in reversed([*zip(runs, lengths, strict=True)])
        )
    )
    ends = np.percentile(ratios, [2.5, 97.5])
    low, high = (100.0 * (float(end) - 1.0) for end in ends)
    change = 100.0 * (after / before - 1.0)
    wander = max(_wander(values, percent) for values in runs)
    return LatencyChange(
        old=before,
        new=after,
        change=Estimate(
            value=change, low=min(low, change - wander), high=max(high, change + wander)
        ),
        wander=wander,
        blocks=(lengths[0], lengths[1]),
        p=_p(runs, max(*lengths, 2 * max(rules)), percent),
    )


def block_length(series: NDArray[np.generic]) -> int:
    """The block length that suits a series (N,), from its autocorrelation, 1 to N / 3.

    The rule of Politis and White (Econometric Reviews 23, 2004), corrected by Patton, Politis and
    White (Econometric Reviews 28, 2009), for blocks that overlap: (2 G^2 / D * N)^(1/3). Of a
    percentile the series is whether each sample lies above it, by which its variance goes.
    """
    x = np.asarray(series, np.float64)
    n = len(x)
    longest = max(1, math.ceil(min(3 * math.sqrt(n), n / 3)))
    covariances = _autocovariances(x - x.mean(), longest)
    if n < 4 or covariances[0] <= 0:
        return 1
    lags = _significant_lags(covariances / covariances[0], n)
    if lags == 0:
        return 1
    last = min(2 * lags, longest - 1)
    k = np.arange(1, last + 1)
    weights = np.clip(2.0 * (1.0 - k / last), 0.0, 1.0) if last > 1 else np.ones(1)
    spectrum = covariances[0] + 2.0 * float(np.sum(weights * covariances[k]))
    slope = 2.0 * float(np.sum(weights * k * covariances[k]))
    if spectrum <= 0:
        return 1
    length = (2.0 * slope**2 / (4.0 / 3.0 * spectrum**2) * n) ** (1.0 / 3.0)
    return int(min(max(1, math.ceil(length)), longest))


def _autocovariances(centred: Samples, longest: int) -> Samples:
    n = len(centred)
    return np.array([centred[: n - k] @ centred[k:] for k in range(longest)]) / n


def _significant_lags(correlations: Samples, n: int) -> int:
    """The lag behind which a run of correlations is indistinguishable from zero."""
    bound, run = 2.0 * math.sqrt(math.log10(n) / n), max(5, math.ceil(math.sqrt(math.log10(n))))
    large = np.flatnonzero(np.abs(correlations[1:]) >= bound) + 1
    for before, lag in pairwise([0, *large.tolist(), len(correlations) + run]):
        if lag - before > run:
            return before
    return int(large[-1])


def _resampled(
    values: Samples, length: int, percent: float, random: np.random.Generator
) -> Samples:
    """The percentile of each of `RESAMPLES` series of random blocks, as long as `values`."""
    n = len(values)
    count = math.ceil(n / length)
    found = []
    each = max(1, _CELLS // n)
    for start in range(0, RESAMPLES, each):
        rows = min(each, RESAMPLES - start)
        starts = random.integers(0, n - length + 1, (rows, count, 1))
        chosen = (starts + np.arange(length)).reshape(rows, -1)[:, :n]
        found.append(_percentile(values[chosen], percent))
    return np.concatenate(found)


def _wander(values: Samples, percent: float) -> float:
    quarters = [np.percentile(part, percent) for part in np.array_split(values, 4) if len(part)]
    return 100.0 * float(np.ptp(quarters) / np.percentile(values, percent))


def _percentile(rows: Samples, percent: float) -> Samples:
    """Of each row, as `np.percentile` has it (linear between samples); the rows are reordered."""
    at = percent / 100.0 * (rows.shape[1] - 1)
    low = math.floor(at)
    high = min(low + 1, rows.shape[1] - 1)
    rows.partition((low, high), axis=1)
    return rows[:, low] + (at - low) * (rows[:, high] - rows[:, low])


def _p(runs: Sequence[Samples], length: int, percent: float) -> float | None:
    blocks = []
    for values in runs:
        size = min(length, len(values) // FEWEST_BLOCKS)
        if size == 0:
            return None
        count = len(values) // size
        parts = values[: count * size].reshape(count, size).copy()
        blocks.append(_percentile(parts, percent))
    return rank_sum_p(*blocks)
