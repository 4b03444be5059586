"""What a network of no task of ours is trained by: a loss for each kind of head, from its labels.

`edgeskin qat` takes it for imported networks. Heads without labels are trained by the float
network's outputs alone (`edgeskin.calibration.qat.distillation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    Head,
    RegressionHead,
    SegmentationHead,
    Spec,
)
from edgeskin.tasks.losses import mask_loss

TRAINS_ON: tuple[str, ...] = ()
METRIC = ""
RECIPE: Mapping[str, Any] = {"distill": 0.5}


def loss(spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor]) -> Tensor:
    """The mean over the heads that have labels; 0 where none has.

    A softmax gives its cross-entropy, a sigmoid the mean binary cross-entropy of its labels, a
    distribution the cross-entropy of the two values around the label, weighted by how near it
    is to each: all in nats, mean over the batch. A regression gives its `relative_error`.

    Args:
        raw: A tensor a head, as the spec says.
        truth: As `Dataset.truth` returns it.
    """
    losses = [
        _of_head(head, values.float(), truth[head.name])
        for head, values in zip(spec.heads, raw, strict=True)
        if head.name in truth
    ]
    return torch.stack(losses).mean() if losses else torch.zeros(())


def relative_error(values: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over the mean square of `target`: the inverse of an SQNR."""
    return F.mse_loss(values, target) / target.square().mean().clamp_min(1e-12)


def _of_head(head: Head, raw: Tensor, truth: Tensor) -> Tensor:
    match head:
        case ClassificationHead(activation="sigmoid"):
            return F.binary_cross_entropy_with_logits(raw, truth.float())
        case ClassificationHead():
            return F.cross_entropy(raw, truth)
        case DistributionHead():
            return F.cross_entropy(raw, _between_two(head, truth.float()))
        case SegmentationHead(activation="softmax"):
            return mask_loss(raw, truth)
        case SegmentationHead():
            known = truth.movedim(-1, 1)
            inside, weight = known.clamp_min(0).float(), (known >= 0).float()
            return F.binary_cross_entropy_with_logits(raw, inside, weight)
        case RegressionHead():
            return relative_error(raw[:, 0] * head.scale + head.offset, truth.float())
    raise AssertionError(f"a head of kind {head.kind} has no labels")


def _between_two(head: DistributionHead, truth: Tensor) -> Tensor:
    """Probabilities (N, size) on the two values around each label (N,), whose mean is the label.

    Of an interval (N, 2) the label is its middle.
    """
    truth = truth.mean(dim=1) if truth.ndim == 2 else truth
    place = ((truth - head.first) / head.step).clamp(0, head.size - 1)
    low = place.long().clamp_max(head.size - 2)
    part = place - low
    target = torch.zeros(len(truth), head.size)
    target.scatter_(1, low[:, None], (1 - part)[:, None])
    return target.scatter(1, low[:, None] + 1, part[:, None])
