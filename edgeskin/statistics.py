"""Confidence intervals by the bootstrap, and paired tests, where two models saw the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskin.estimate import Estimate

RESAMPLES = 2000
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
    _, place, counts = np.unique(np.abs(change), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n = len(change)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float(np.sum(counts**3.0 - counts)) / 48
    z = (float(ranks[change > 0].sum()) - n * (n + 1) / 4) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))


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
