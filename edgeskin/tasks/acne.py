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

from edgeskin.errors import InvalidData, UnknownName
from edgeskin.postprocess import range_matrix, support
from edgeskin.spec import ClassificationHead, DistributionHead, Head, RangeTable, Spec
from edgeskin.tasks.losses import earth_movers, kl, label_distribution

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
    kind: str = "three_part",
    grades: str = "counted",
    alpha: float = 0.6,
    sigma: float = 3.0,
) -> Tensor:
    """alpha/2 (KL of grades summed from counts + KL of counts) + (1 - alpha) KL of grades.

    The ablations leave parts out: `kl` is the KL of the counts alone, `l2` the squared error of
    the expected count in units of ten lesions, neither of which trains the head of grades. `emd`
    is the three parts with the squared earth mover's distance in place of both KL of grades, for
    grades have an order.

    Args:
        raw: Severity logits (N, 4) and count logits (N, 65).
        truth: `count`, (N,), any real number; clipped to the support. `severity`, class indices
            (N,), where `grades` is "annotated".
        kind: `three_part`, `emd`, `kl` or `l2`.
        grades: What the head of grades learns: the grade that the count gives, softened
            (`counted`), or the doctor's (`annotated`).
        alpha: Weight of the count against the direct grade.
        sigma: Width of the label distribution, in lesions (0.1 x 30).

    Returns:
        Mean over the batch, in nats (`emd`, `l2`: without a unit).

    Raises:
        UnknownName: Another kind, or other grades.
        InvalidData: Annotated grades that the data do not have.
    """
    if grades not in ("counted", "annotated"):
        raise UnknownName(f"no grades '{grades}' of acne; there are counted, annotated")
    head = next(h for h in spec.heads if isinstance(h, DistributionHead))
    assert head.ranges is not None
    values = torch.from_numpy(support(head))
    severity, count = (tensor.float().log_softmax(dim=1) for tensor in raw)
    if kind == "l2":
        expected = (count.exp() * values).sum(dim=1)
        counts = truth["count"].float().clamp(float(values[0]), float(values[-1]))
        return ((expected - counts) / 10).square().mean()
    target = label_distribution(truth["count"], values, sigma)
    if kind == "kl":
        return kl(target, count)
    if kind not in ("three_part", "emd"):
        raise UnknownName(f"no loss '{kind}' of acne; there are three_part, emd, kl, l2")
    by_range = torch.from_numpy(range_matrix(head, head.ranges))
    counted = target @ by_range
    direct = _annotated(truth, counted) if grades == "annotated" else counted
    summed = (count.exp() @ by_range).clamp_min(1e-8)
    if kind == "emd":
        by_count = earth_movers(counted, summed) + kl(target, count)
        return alpha / 2 * by_count + (1 - alpha) * earth_movers(direct, severity.exp())
    by_count = kl(counted, summed.log()) + kl(target, count)
    return alpha / 2 * by_count + (1 - alpha) * kl(direct, severity)


def _annotated(truth: Mapping[str, Tensor], counted: Tensor) -> Tensor:
    """The annotated grades as distributions, a tenth of each by the count: (N, grades).

    Raises:
        InvalidData: The data have no column `severity`.
    """
    if "severity" not in truth:
        raise InvalidData("grades = 'annotated' needs a column 'severity'; the data have none")
    sure = torch.nn.functional.one_hot(truth["severity"], counted.shape[1]).float()
    return 0.9 * sure + 0.1 * counted
