"""Confidence intervals: by the bootstrap, paired where two models saw the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Metric = Callable[[NDArray[Any], NDArray[Any]], float]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

    as_dict = asdict


def estimate(metric: Metric, truth: NDArray[Any], predicted: NDArray[Any]) -> Estimate:
    """`metric(truth, predicted)` over images, with its percentile bootstrap interval.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    Fixed seed: the same data give the same interval.
    """
    low, high = _percentiles(lambda i: metric(truth[i], predicted[i]), len(truth))
    return Estimate(metric(truth, predicted), low, high)


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
    return Estimate(change(slice(None)), low, high)


def ratio_of_medians(reference: NDArray[Any], candidate: NDArray[Any]) -> Estimate:
    """Median of the candidate over median of the reference: below 1 the candidate is smaller.

    Args:
        reference: One value a round, (rounds,).
        candidate: Of the same rounds; each resample takes the same rounds of both.
    """

    def ratio(i: Any) -> float:
        return float(np.median(candidate[i]) / np.median(reference[i]))

    low, high = _percentiles(ratio, len(reference))
    return Estimate(ratio(slice(None)), low, high)


def _percentiles(statistic: Callable[[NDArray[np.int64]], float], n: int) -> tuple[float, float]:
    """2.5th and 97.5th percentile over resamples of n indices; nan if one resample is nan."""
    rng = np.random.default_rng(20240229)
    values = np.array([statistic(rng.integers(0, n, n)) for _ in range(RESAMPLES)])
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
