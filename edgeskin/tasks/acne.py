"""Acne severity and lesion count by label distribution learning.

One image, two answers that must agree: a distribution over lesion counts and a
distribution over severity grades. Each label becomes a Gaussian over the count
(sigma 3, support 1..65); summing it over a grade's range gives the severity
target, so that a face with 21 lesions is almost as much grade 1 as grade 2.
Wu et al., "Joint acne image grading and counting via label distribution
learning", ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgeskin.errors import UnknownName
from edgeskin.postprocess import range_matrix, support
from edgeskin.spec import ClassificationHead, DistributionHead, Head, RangeTable, Spec

SEVERITY = ("mild", "moderate", "severe", "very severe")
RANGES = {
    "hayashi": RangeTable(
        labels=SEVERITY,
        upper=(5, 20, 50),
        source="Hayashi et al., J Dermatol 35, 2008: up to 5, 6-20, 21-50, over 50 lesions",
    ),
    "authors": RangeTable(
        labels=("0 to 19", "20 to 49", "50 to 65", "over 65"),
        upper=(19, 49, 65),
        source="0-19, 20-49, 50-65, over 65 lesions; the last grade lies outside the support",
    ),
}
FIRST, SIZE = 1, 65
TRAINS_ON = ("count",)
METRIC = "accuracy"
RECIPE: Mapping[str, Any] = {}
INTENDED_USE = (
    "Research on acne grading from face photos. A measurement aid, not a medical device; "
    "it makes no diagnosis."
)
LIMITS = (
    "Counts are read within 1 to 65: clear skin counts as one lesion. Not validated across "
    "skin tones, ages, cameras or lighting other than those of its training data."
)


def heads(ranges: str = "hayashi") -> tuple[Head, ...]:
    """Count (1..65) and its grade, by one of the two range tables.

    The grade is called `severity` for Hayashi's table, whose grades are
    annotated, and `grade` for the authors', which is read off the count alone.
    """
    if ranges not in RANGES:
        raise UnknownName(f"no range table '{ranges}'; there are {', '.join(RANGES)}")
    return (
        ClassificationHead(
            name="severity" if ranges == "hayashi" else "grade", labels=RANGES[ranges].labels
        ),
        DistributionHead(
            name="count", first=FIRST, size=SIZE, unit="lesions", ranges=RANGES[ranges]
        ),
    )


def loss(
    spec: Spec,
    raw: tuple[Tensor, ...],
    truth: Mapping[str, Tensor],
    *,
    alpha: float = 0.6,
    sigma: float = 3.0,
) -> Tensor:
    """alpha/2 (KL of grades summed from counts + KL of counts) + (1 - alpha) KL of grades.

    Args:
        raw: Severity logits (N, 4) and count logits (N, 65).
        truth: `count`, (N,), any real number; clipped to the support.
        alpha: Weight of the count against the direct grade.
        sigma: Width of the label distribution, in lesions (0.1 x 30).

    Returns:
        Mean over the batch, in nats.
    """
    head = next(h for h in spec.heads if isinstance(h, DistributionHead))
    assert head.ranges is not None
    grades = torch.from_numpy(range_matrix(head, head.ranges))
    severity, count = (tensor.float().log_softmax(dim=1) for tensor in raw)
    target = label_distribution(truth["count"], torch.from_numpy(support(head)), sigma)
    target_grade = target @ grades
    summed = (count.exp() @ grades).clamp_min(1e-8).log()
    by_count = kl(target_grade, summed) + kl(target, count)
    return alpha / 2 * by_count + (1 - alpha) * kl(target_grade, severity)


def label_distribution(value: Tensor, values: Tensor, sigma: float) -> Tensor:
    """A Gaussian around each value (N,), over `values` (K,), summing to one: (N, K)."""
    center = value.float().clamp(float(values[0]), float(values[-1]))
    return (-((values - center[:, None]) ** 2) / (2 * sigma**2)).softmax(dim=1)


def kl(target: Tensor, log_predicted: Tensor) -> Tensor:
    """Kullback-Leibler divergence, mean over the batch, in nats."""
    return torch.nn.functional.kl_div(log_predicted, target, reduction="batchmean")
