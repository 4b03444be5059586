"""Losses that tasks share; each is a mean over the batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeskin.spec import Spec

MOST_NATS = 1e4
"""What a single label can cost by `interval_loss`: finite, whatever a distribution says."""


def label_distribution(value: Tensor, values: Tensor, sigma: float) -> Tensor:
    """A Gaussian around each value (N,), over `values` (K,), summing to one: (N, K)."""
    center = value.float().clamp(float(values[0]), float(values[-1]))
    return (-((values - center[:, None]) ** 2) / (2 * sigma**2)).softmax(dim=1)


def kl(target: Tensor, log_predicted: Tensor) -> Tensor:
    """Kullback-Leibler divergence of distributions (N, K), in nats."""
    return F.kl_div(log_predicted, target, reduction="batchmean")


def earth_movers(target: Tensor, predicted: Tensor) -> Tensor:
    """Squared earth mover's distance of distributions over ordered classes, (N, K).

    The sum of the squared differences of the cumulative distributions: what lies two grades away
    costs more than what lies one away (Hou, Yu and Samaras, arXiv 1611.05916, 2016).
    """
    return (target.cumsum(dim=1) - predicted.cumsum(dim=1)).square().sum(dim=1).mean()


def class_loss(
    spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor], *, smoothing: float = 0.1
) -> Tensor:
    """The `loss` of a task with one classification: cross-entropy in nats.

    Args:
        raw: Logits (N, labels).
        truth: Class indices (N,), by the name of the head.
        smoothing: Share of each label spread evenly over all classes.
    """
    (head,) = spec.heads
    return F.cross_entropy(raw[0].float(), truth[head.name], label_smoothing=smoothing)


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of the pixels, in nats, plus one less the soft Dice of the foreground.

    Dice is taken over the batch, of each label but the first, which is the background
    (Milletari, Navab and Ahmadi, V-Net, 3DV 2016).

    Args:
        logits: (N, labels, H, W).
        truth: Index of the label per pixel, (N, H, W); -1 where nobody knows: left out.
    """
    truth = truth.long()
    known = (truth >= 0).float()
    total = F.cross_entropy(logits, truth, ignore_index=-1, reduction="sum")
    pixels = total / known.sum().clamp_min(1)
    right = F.one_hot(truth.clamp_min(0), logits.shape[1]).permute(0, 3, 1, 2) * known[:, None]
    predicted = logits.softmax(dim=1) * known[:, None]
    both = (right * predicted).sum(dim=(0, 2, 3))[1:]
    either = (right + predicted).sum(dim=(0, 2, 3))[1:]
    dice = (2 * both + 1) / (either + 1)  # a label that no image shows costs nothing if not seen
    return pixels + 1 - dice.mean()


def interval_loss(log_mass: Tensor, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Minus the logarithm of the mass inside each interval, in nats, (N,): at most `MOST_NATS`.

    Values belong to an interval up to half a step beyond its ends: the likelihood of a label
    that is known up to its interval (interval censoring). An interval beyond all values is
    counted as the value next to it.

    Args:
        log_mass: Logarithms of distributions (N, K) over `values` (K,).
        low, high: The ends, (N,).
    """
    first, last, half = values[0], values[-1], (values[1] - values[0]) / 2
    inside = values >= low.clamp(first, last)[:, None] - half
    inside &= values <= high.clamp(first, last)[:, None] + half
    # One value is inside at least: the logarithm of no mass at all has no gradient.
    return -log_mass.clamp_min(-MOST_NATS).masked_fill(~inside, -torch.inf).logsumexp(dim=1)
