"""Perceived age of a frontal face, as a distribution: its mean is the age, its spread the doubt.

Labels are exact ages or intervals (age groups), both in one loss. Deep feature transfer trains
the heads alone on a pretrained network's features (`frozen`); self-supervised learning starts
from `edgeskin pretrain` on unlabelled faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgeskin.postprocess import support
from edgeskin.spec import DistributionHead, Head, Spec
from edgeskin.tasks.losses import interval_loss, label_distribution

FIRST, SIZE = 0, 101
TRAINS_ON = ("age",)
METRIC = "mae"
RECIPE: Mapping[str, Any] = {"fit_temperature": True, "zoom": 0.2, "color_jitter": 0.2}
INTENDED_USE = (
    "Research on perceived age, a marker in studies of ageing. Not for decisions about people: not "
    "for proof of age, access or identity."
)
LIMITS = (
    "Perceived, not chronological age. Errors differ between groups of people, and are larger "
    "where the training data have few faces of an age, or age groups alone."
)


def heads() -> tuple[Head, ...]:
    return (DistributionHead(name="age", first=FIRST, size=SIZE, unit="years"),)


def loss(
    spec: Spec,
    raw: tuple[Tensor, ...],
    truth: Mapping[str, Tensor],
    *,
    sigma: float = 2.0,
    pull: float = 0.1,
) -> Tensor:
    """Exact ages by a label distribution, intervals by their likelihood, and the mean by its error.

    Args:
        raw: Logits over ages, (N, 101).
        truth: `age`, ends of intervals (N, 2), equal where exact; or exact ages (N,).
        sigma: Width of the label distribution of an exact age, in years.
        pull: Nats a year of distance between the mean and the label or its interval.

    Returns:
        Mean over the batch, in nats.
    """
    head = next(h for h in spec.heads if isinstance(h, DistributionHead))
    values = torch.from_numpy(support(head))
    low, high = _ends(truth["age"].float())
    log_mass = raw[0].float().log_softmax(dim=1)
    soft = -(label_distribution(low, values, sigma) * log_mass).sum(dim=1)
    likelihood = torch.where(low == high, soft, interval_loss(log_mass, values, low, high))
    mean = (log_mass.exp() * values).sum(dim=1)
    away = (low - mean).clamp_min(0) + (mean - high).clamp_min(0)
    return (likelihood + pull * away).mean()


def _ends(age: Tensor) -> tuple[Tensor, Tensor]:
    return (age[:, 0], age[:, 1]) if age.ndim == 2 else (age, age)
