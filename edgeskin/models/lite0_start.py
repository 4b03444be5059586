"""EfficientNet-Lite0's ImageNet weights as the start of a network with its widths.

- A convolution in front of a batch norm is taken as it is. In front of a layer norm it takes
  the batch norm into its weights; the layer norm then begins with the scale and the mean that
  such values have, so that it changes what differs between images and no more.
- A Fused-MBConv kernel is the product of an expansion and a depthwise kernel. The ReLU6 between
  the two is replaced by its best linear approximation for values with the mean and the variance
  that the batch norm gives them (Bussgang, 1952): a * x + b with a = P(0 < x < 6).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import Tensor, nn

from edgeskin.models import Arch
from edgeskin.models.efficient_blocks import EPSILON
from edgeskin.models.pretrained import load_pretrained

Pair = tuple[nn.Conv2d, Any]
"""A convolution and the batch norm behind it."""


@torch.no_grad()
def start_from_lite0(features: Any, arch: Arch) -> None:
    """Give the stem, the stages and the head of `features` Lite0's weights, in place.

    Raises:
        MissingPackage: The package with the weights is not installed.
    """
    source: Any = timm.create_model(arch.timm_name, num_classes=0, **arch.options)
    load_pretrained(source, arch)
    _copy(features.stem, (source.conv_stem, source.bn1))
    ours = [block for stage in features.stages for block in stage]
    theirs = [block for stage in source.blocks for block in stage]
    for block, original in zip(ours, theirs, strict=True):
        _start_block(block, list(_pairs(original)))
    _copy(features.head, (source.conv_head, source.bn2))


def _pairs(block: Any) -> Iterator[Pair]:
    """The convolutions of a block of timm with their norms, from input to output."""
    names = (
        ("conv_pw", "conv_dw", "conv_pwl") if hasattr(block, "conv_pwl") else ("conv_dw", "conv_pw")
    )
    for index, name in enumerate(names, start=1):
        yield getattr(block, name), getattr(block, f"bn{index}")


def _start_block(block: Any, pairs: list[Pair]) -> None:
    *spread, project = pairs
    if len(spread) > len(block.spread):
        expansion, depthwise = spread
        weight, offset = fused(expansion, depthwise[0])
        _copy(block.spread[0], depthwise, weight, offset)
    else:
        for layer, pair in zip(block.spread, spread, strict=True):
            _copy(layer, pair)
    _copy(block.project, project)


def fused(expansion: Pair, depthwise: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight (C, I, k, k) and offset (C,) of an expansion, its ReLU6, and a depthwise convolution.

    The offset is right where no padding is met.
    """
    convolution, norm = expansion
    slope, level = linear_relu6(norm.bias, norm.weight)
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    widened = convolution.weight[:, :, 0, 0] * (slope * factor)[:, None]
    offset = slope * (norm.bias - norm.running_mean * factor) + level
    kernel = depthwise.weight[:, 0]
    return widened[:, :, None, None] * kernel[:, None], offset * kernel.sum((1, 2))


def linear_relu6(mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and level of the line nearest to ReLU6 in the mean square, for normal values.

    slope = P(0 < x < 6),   level = E[relu6(x)] - slope * mean
    """
    deviation = deviation.abs().clamp_min(1e-6)
    low, high = -mean / deviation, (6.0 - mean) / deviation
    slope = _below(high) - _below(low)
    expected = mean * slope + deviation * (_density(low) - _density(high)) + 6.0 * _below(-high)
    return slope, expected - slope * mean


def _below(x: Tensor) -> Tensor:
    """P(standard normal < x)."""
    return torch.special.ndtr(x)


def _density(x: Tensor) -> Tensor:
    return torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)


def _copy(
    layer: nn.Sequential, pair: Pair, weight: Tensor | None = None, offset: Tensor | None = None
) -> None:
    """Weights of a convolution and its batch norm into a layer of ours.

    `offset` (C,) is what `weight` leaves out in front of the norm.
    """
    convolution: Any = layer[0]
    norm: Any = layer[1]
    source, batch_norm = pair
    weight = source.weight if weight is None else weight
    if weight.shape != convolution.weight.shape:  # depthwise, as a full convolution
        weight = torch.diag_embed(weight[:, 0].permute(1, 2, 0)).permute(2, 3, 0, 1)
    mean = batch_norm.running_mean if offset is None else batch_norm.running_mean - offset
    if isinstance(norm, nn.BatchNorm2d):
        convolution.weight.copy_(weight)
        norm.load_state_dict(batch_norm.state_dict() | {"running_mean": mean})
        return
    factor = batch_norm.weight / (batch_norm.running_var + batch_norm.eps).sqrt()
    convolution.weight.copy_(weight * factor[:, None, None, None])
    convolution.bias.copy_(batch_norm.bias - mean * factor)
    within = batch_norm.weight.square().mean() + batch_norm.bias.var(correction=0)
    norm.weight.fill_((within + EPSILON).sqrt())
    norm.bias.fill_(batch_norm.bias.mean())
