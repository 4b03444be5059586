"""Confidence intervals by the bootstrap, and paired tests, where two models saw the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskin.estimate import Estimate

RESAMPLES = 2000
SWAPS = 9999
Metric = Callable[[NDArray[Any], NDArray[Any]], float]


def estimate(metric: Metric, truth: NDArray[Any], predicted: NDArray[Any]) -> Estimate:
    """`metric(truth, predicted)` over images, with its percentile bootstrap interval.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    Fixed seed: the same data give the same interval.
    """
    low, high = _percentiles(lambda i: metric(truth[i], predicted[i]), len(truth))
    return Estimate(value=metric(truth, predicted), low=low, high=high)


def paired_change(
    metric: Metric, truth: NDArray[Any], reference: NDArray[Any], candidate: NDArray[Any]
) -> Estimate:
    """`metric` of the candidate minus that of the reference, resampling images, not models.

    Both models saw the same images, so each resample takes the same images of
    both: what they have in common cancels and the interval is as narrow as the
    data allow.
    """

    def change(i: Any) -> float:
        return metric(truth[i], candidate[i]) - metric(truth[i], reference[i])

    low, high = _percentiles(change, len(truth))
    return Estimate(value=change(slice(None)), low=low, high=high)


class Paired(NamedTuple):
    """The truth of some images, and what two models say of them: arrays with an image a row."""

    truth: NDArray[Any]
    reference: NDArray[Any]
    candidate: NDArray[Any]

    def values(self, metric: Metric, chosen: Any) -> tuple[float, float]:
        """`metric` of both models, reference first, on the images `chosen`, an index."""
        truth = self.truth[chosen]
        return metric(truth, self.reference[chosen]), metric(truth, self.candidate[chosen])


def gap_growth(metric: Metric, groups: Sequence[Paired]) -> Estimate:
    """How much further apart the best and the worst group are with the candidate.

    The gap of a model is the largest `metric` of a group less the smallest. Each resample draws
    images within every group, by itself, and takes the same ones of both models.
    """

    def growth(*chosen: Any) -> float:
        pairs = zip(groups, chosen, strict=True)
        gaps = np.ptp([group.values(metric, images) for group, images in pairs], axis=0)
        return float(gaps[1] - gaps[0])

    low, high = _percentiles(growth, *(len(group.truth) for group in groups))
    return Estimate(value=growth(*(slice(None) for _ in groups)), low=low, high=high)


def ratio_of_medians(reference: NDArray[Any], candidate: NDArray[Any]) -> Estimate:
    """Median of the candidate over median of the reference: below 1 the candidate is smaller.

    Args:
        reference: One value a round, (rounds,).
        candidate: Of the same rounds; each resample takes the same rounds of both.
    """

    def ratio(i: Any) -> float:
        return float(np.median(candidate[i]) / np.median(reference[i]))

    low, high = _percentiles(ratio, len(reference))
    return Estimate(value=ratio(slice(None)), low=low, high=high)


def mcnemar_p(reference: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> float:
    """Whether two models are right equally often: the exact two-sided p of McNemar's test.

    Args:
        reference: Whether it was right, one value an image, (N,).
        candidate: Of the same images.

    Returns:
        Twice the binomial tail of the rarer of the two kinds of disagreement at one half, at most
        1; 1 where they never disagree (McNemar, Psychometrika 12, 1947).
    """
    lost = int(np.sum(reference & ~candidate))
    won = int(np.sum(~reference & candidate))
    n, few = lost + won, min(lost, won)
    tail = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, 2 * tail / 2**n)


def wilcoxon_p(reference: NDArray[np.floating], candidate: NDArray[np.floating]) -> float:
    """Whether two models' errors differ: two-sided p of Wilcoxon's signed-rank test.

    Zero differences are left out, ties share their ranks, and the rank sum is taken as normal
    with the variance corrected for ties (Wilcoxon, Biometrics Bulletin 1, 1945; Lehmann,
    Nonparametrics, 1975): good from about 10 differing images on.

    Returns:
        1 where no image differs; nan where an error is nan.
    """
    change = np.asarray(candidate, np.float64) - np.asarray(reference, np.float64)
    if np.isnan(change).any():
        return math.nan
    change = change[change != 0]
    if not len(change):
        return 1.0
    ranks, ties = shared_ranks(np.abs(change))
    n = len(change)
    variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    z = (float(ranks[change > 0].sum()) - n * (n + 1) / 4) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))


def rank_sum_p(reference: NDArray[np.floating], candidate: NDArray[np.floating]) -> float:
    """Whether one of two unpaired samples lies higher: two-sided p of Mann and Whitney's test.

    The rank sum is taken as normal, with the variance corrected for ties and half a rank for
    continuity (Mann and Whitney, Annals of Mathematical Statistics 18, 1947; Lehmann,
    Nonparametrics, 1975): good from 8 values a side on.

    Returns:
        1 where all values are equal; nan where one is nan.
    """
    both = np.concatenate([reference, candidate])
    if np.isnan(both).any():
        return math.nan
    ranks, ties = shared_ranks(both)
    n, m = len(reference), len(candidate)
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    if variance <= 0:
        return 1.0
    distance = abs(float(ranks[n:].sum()) - m * (n + m + 1) / 2)
    return math.erfc(max(0.0, distance - 0.5) / math.sqrt(2 * variance))


def swap_p(
    metric: Metric, truth: NDArray[Any], reference: NDArray[Any], candidate: NDArray[Any]
) -> float:
    """Whether two models differ in `metric`: two-sided p of the paired randomization test.

    If the models are equally good, who of them said what of an image is a matter of chance: the
    answers are swapped image by image at random, and p is how often the change is then at least
    as large (Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989). Drawing ends after
    100 such (Besag and Clifford, Biometrika 78, 1991), else after `SWAPS`. Fixed seed.

    Returns:
        1 where no answer differs; at least 1 / (SWAPS + 1); nan where the change is nan.
    """
    differs = (reference != candidate).reshape(len(truth), -1).any(axis=1)

    def change(swapped: NDArray[np.bool_]) -> float:
        chosen = swapped.reshape(-1, *(1,) * (reference.ndim - 1))
        one, other = np.where(chosen, candidate, reference), np.where(chosen, reference, candidate)
        return metric(truth, other) - metric(truth, one)

    observed = abs(change(np.zeros(len(truth), np.bool_)))
    if math.isnan(observed) or not differs.any():
        return math.nan if math.isnan(observed) else 1.0
    rng, reached = np.random.default_rng(20240229), 0
    for drawn in range(1, SWAPS + 1):
        swapped = differs & (rng.random(len(truth)) < 0.5)
        reached += abs(change(swapped)) >= observed - 1e-12  # equal but for rounding
        if reached == 100:
            return 100 / drawn
    return (reached + 1) / (SWAPS + 1)


def interval_p(change: Estimate) -> float:
    """The two-sided p of a change whose interval is known, taken as normal.

    z = value / (width / 3.92) (Altman and Bland, BMJ 343, 2011, d2304).

    Returns:
        1 for no change; nan where the value or an end is nan.
    """
    if change.value == 0:
        return 1.0
    error = (change.high - change.low) / (2 * 1.959964)
    if error == 0:
        return 0.0
    return math.erfc(abs(change.value) / error / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p of several tests, corrected for their number by Holm's step-down procedure.

    Whatever the tests have to do with each other, at most one comparison in 20 has any test
    below 0.05 by chance (Holm, Scandinavian Journal of Statistics 6, 1979). In their order; nan
    stays nan and counts for nothing.

    >>> holm([0.01, 0.04, 0.03, 0.005])
    [0.03, 0.06, 0.06, 0.02]
    """
    known = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(sorted(known, key=lambda i: p_values[i])):
        largest = max(largest, (len(known) - rank) * p_values[i])
        corrected[i] = min(1.0, largest)
    return corrected


def shared_ranks(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """The rank of each value from 1, equal ones sharing theirs; and the sum of t**3 - t of ties."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place], float(np.sum(counts**3.0 - counts))


def percentile_interval(samples: Sequence[float], percent: float) -> tuple[float, float]:
    """The 95 % interval of a percentile, between two order statistics, whatever the distribution.

    The ranks are those of the normal approximation of the binomial, n q -+ 1.96 sqrt(n q (1 - q))
    (Conover, Practical Nonparametric Statistics, 1999, section 3.2). Samples that depend on each
    other, as those of a device that heats, make it too narrow.
    """
    ordered, n, q = sorted(samples), len(samples), percent / 100.0
    half = 1.96 * math.sqrt(n * q * (1.0 - q))
    low = max(0, math.floor(n * q - half) - 1)
    high = min(n - 1, math.ceil(n * q + half) - 1)
    return ordered[low], ordered[high]


def unseen_share(low: float, high: float, images: int) -> float:
    """What may lie above an interval in which no resample differs, as a share of the images.

    Up to 3 / n of them may still change (Hanley and Lippman-Hand, JAMA 249, 1983).
    """
    return 3.0 / images if low == high else 0.0


def _percentiles(statistic: Callable[..., float], *sizes: int) -> tuple[float, float]:
    """2.5th and 97.5th percentile over resamples, for each size n one of n indices below n.

    nan if one resample is nan.
    """
    rng = np.random.default_rng(20240229)
    values = np.array(
        [statistic(*(rng.integers(0, n, n) for n in sizes)) for _ in range(RESAMPLES)]
    )
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
