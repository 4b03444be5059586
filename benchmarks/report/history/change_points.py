"""Where a series changed its level: the split into before and after that differs most, tested.

Hunter (Fleming et al., ICPE 2023; now Apache Otava) and MongoDB (Daly et al., ICPE 2020) find the
split by E-divisive (Matteson and James, Journal of the American Statistical Association 109, 2014),
which compares means. Ours compares normal scores of ranks, so that a run far off weighs little more
than the next one, and its p counts that the best of all splits was taken, without permutations and
so without a seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskin.statistics import shared_ranks

MIN_SEGMENT = 3
"""Runs on either side of a split, at least: two runs far off in a row are no level."""
MIN_LENGTH = 8
"""Of shorter series nothing is said."""
_NORMAL = NormalDist()


class Split(NamedTuple):
    """The split of a series that differs most: its first index on the new level, and its p."""

    at: int
    p: float


def best_split(values: Sequence[float]) -> Split | None:
    """The most likely change of level, by the maximally selected rank statistic.

    With the normal scores a of the ranks (van der Waerden 1952; ties share theirs), the sum of the
    first k is standardized by its permutation mean and variance,

        z(k) = |sum_{i<=k} (a_i - mean a)| / sqrt(k (n - k) / (n (n - 1)) sum (a_i - mean a)^2)

    and the largest z is taken; for its p see `max_selected_p`.

    Args:
        values: In order of time, infinite ones too, no NaN.

    Returns:
        None for fewer than `MIN_LENGTH` values, or if all are equal.
    """
    n = len(values)
    if n < MIN_LENGTH or min(values) == max(values):
        return None
    scores = _normal_scores(np.asarray(values, np.float64))
    scores -= scores.mean()
    k = np.arange(MIN_SEGMENT, n - MIN_SEGMENT + 1)
    variance = k * (n - k) / (n * (n - 1.0)) * float(scores @ scores)
    z = np.abs(np.cumsum(scores)[k - 1]) / np.sqrt(variance)
    best = int(np.argmax(z))
    return Split(int(k[best]), max_selected_p(float(z[best]), n))


def change_points(values: Sequence[float], critical: float) -> list[Split]:
    """All changes of level with a p of at most `critical`, by splitting the parts again.

    Binary segmentation, as E-divisive does it.
    """
    split = best_split(values)
    if split is None or split.p > critical:
        return []
    after = change_points(values[split.at :], critical)
    return [
        *change_points(values[: split.at], critical),
        split,
        *(later._replace(at=later.at + split.at) for later in after),
    ]


def max_selected_p(z: float, n: int) -> float:
    """The chance that some split of `n` values without a change reaches `z`; rather too large.

    The improved Bonferroni inequality (Worsley, Biometrika 69, 1982) for maximally selected rank
    statistics (Lausen and Schumacher, Computational Statistics and Data Analysis 21, 1996):

        P(|Z| > z) + sum_k exp(-z^2 / 2) / pi (T_k - (z^2 / 4 - 1) T_k^3 / 6)

    where T_k = sqrt(1 - r_k^2) and r_k is the correlation of neighbouring z(k) and z(k + 1).
    """
    k = np.arange(MIN_SEGMENT, n - MIN_SEGMENT, dtype=np.float64)
    apart = np.sqrt(1.0 - k * (n - k - 1.0) / ((n - k) * (k + 1.0)))
    crossings = np.exp(-z * z / 2.0) / math.pi * (apart - (z * z / 4.0 - 1.0) * apart**3 / 6.0)
    return min(1.0, math.erfc(z / math.sqrt(2.0)) + float(crossings.sum()))


def _normal_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normal quantile of rank / (n + 1) of each value."""
    shared, place = np.unique(shared_ranks(values)[0], return_inverse=True)
    quantiles = [_NORMAL.inv_cdf(float(rank) / (len(values) + 1)) for rank in shared]
    return np.asarray(quantiles)[place]
