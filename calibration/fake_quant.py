"""Quantization that one can train through: fake quantizers of activations and of weights.

Forward they give what the integers stand for, with the float16 scale that will
ship. Backward the rounding counts as the identity, a value beyond the range as
a constant, and a learned scale gets the gradient of Esser et al., "Learned Step
Size Quantization", ICLR 2020 (for activations a value is beyond the range where it
is cut by more than rounding does). What is learned is the logarithm of the scale
(Jain et al., "Trained Quantization Thresholds", MLSys 2020), so that one learning
rate suits scales of every size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from edgeskin.calibration.ranges import half_up, scale_of

MOMENTUM = 0.1
"""Share of a batch's own extremes in a moving average."""
BLOCK = 2**17
"""Values that a core quantizes in one go: 512 KiB fit into its cache."""


class FixedRange(nn.Module):
    """Fake quantization of activations with a scale and zero point that nothing changes."""

    def __init__(self, scale: float, zero_point: int, least: int, most: int):
        super().__init__()
        self.start, self.zero_point = scale, zero_point
        self.least, self.most = least, most

    def scale_and_zero_point(self) -> tuple[float, int]:
        """The scale, a number that float16 holds, and the zero point."""
        return self.start, self.zero_point

    def forward(self, x: Tensor) -> Tensor:
        return self._quantize_dequantize(x, None)

    def freeze(self) -> None:
        """Keep the range as it is from now on."""

    def _quantize_dequantize(self, x: Tensor, growth: Tensor | None) -> Tensor:
        # Bounds less the zero point: it need not be added before the clamp and taken off again.
        scale, zero_point = self.scale_and_zero_point()
        fake: Tensor = _FakeQuantize.apply(
            x, growth, scale, self.least - zero_point, self.most - zero_point
        )
        return fake


class LearnedRange(FixedRange):
    """A scale that is trained: start * exp(`growth`), rounded up to float16.

    It does not grow beyond `limit`. Behind a clamp the limit is the clamp's own
    range: a wider one would only be coarser, and ONNX Runtime leaves a clamp out
    only where the ends of the integers are those of the clamp.
    """

    def __init__(self, scale: float, zero_point: int, least: int, most: int):
        super().__init__(scale, zero_point, least, most)
        self.limit = math.inf
        self.growth = nn.Parameter(torch.zeros(()))

    def scale_and_zero_point(self) -> tuple[float, int]:
        learned = float(half_up(self.start * self.growth.detach().exp()))
        return min(learned, self.limit), self.zero_point

    def forward(self, x: Tensor) -> Tensor:
        return self._quantize_dequantize(x, self.growth)

    def freeze(self) -> None:
        self.growth.requires_grad_(False)


class MovingRange(FixedRange):
    """Moving averages of the smallest and largest value of each batch, while training."""

    low: Tensor
    high: Tensor

    def __init__(self, scale: float, zero_point: int, least: int, most: int, symmetric: bool):
        super().__init__(scale, zero_point, least, most)
        self.symmetric, self.frozen = symmetric, False
        ends = torch.tensor([least - zero_point, most - zero_point], dtype=torch.float64) * scale
        self.register_buffer("low", ends[0])
        self.register_buffer("high", ends[1])
        self.seen: list[Tensor] = []

    def scale_and_zero_point(self) -> tuple[float, int]:
        scale, zero = scale_of(self.low, self.high, self.least, self.most, self.symmetric)
        return float(scale), int(zero)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.frozen:
            self.seen += x.detach().aminmax()
        return super().forward(x)

    def move(self) -> None:
        """Move the averages by what was seen since the last time, wherever the range is used."""
        if self.seen:
            ends = torch.stack(self.seen).double()
            self.low.lerp_(ends.min(), MOMENTUM)
            self.high.lerp_(ends.max(), MOMENTUM)
            self.seen = []

    def freeze(self) -> None:
        self.frozen = True


class Weight(nn.Module):
    """A weight (channels, ...) and its symmetric fake quantization, one scale a channel."""

    start: Tensor

    def __init__(self, values: Tensor, scales: Tensor, most: int, learned: bool):
        super().__init__()
        self.values = nn.Parameter(values.detach().clone())
        self.register_buffer("start", scales.detach().clone())
        self.growth = nn.Parameter(torch.zeros_like(scales)) if learned else None
        self.most = most

    def forward(self) -> Tensor:
        scales = self.scales().reshape(-1, *[1] * (self.values.dim() - 1))
        steps = (self.values / scales).clamp(-self.most, self.most)
        return _straight_through(steps, steps.round()) * scales

    def scales(self) -> Tensor:
        """Scales (channels,): learned, or such that the largest weight of a channel just fits."""
        if self.growth is None:
            return half_up(self.values.detach().abs().flatten(1).amax(1) / self.most)
        scales = self.start * self.growth.exp()
        return _straight_through(scales, half_up(scales.detach()))

    def freeze(self) -> None:
        if self.growth is not None:
            self.growth.requires_grad_(False)


def _straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `x`; exact where the two are within a factor of two."""
    return x + (rounded - x).detach()


class _FakeQuantize(torch.autograd.Function):
    """Fake quantization of a whole tensor with one scale, in blocks that stay in the cache."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, growth: Tensor | None, scale: float, least: int, most: int
    ) -> Tensor:
        """round(x / scale), held within `least`..`most` (the zero point taken off), times scale."""
        x = _dense(x)
        fake = torch.empty_like(x)
        for source, target in _blocks(x, fake):
            torch.mul(source, 1.0 / scale, out=target)
            target.round_().clamp_(least, most).mul_(scale)
        ctx.save_for_backward(x, fake)
        ctx.edges = ((least - 0.5) * scale, (most + 0.5) * scale)
        return fake

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of `x` and of `growth`, the logarithm of the scale.

        With q = x / scale and rounding as the identity (d round(q) / d q = 1):

            fake                 scale * round(q) within the range,  scale * bound beyond it
            d fake / d x         1                                   0
            d fake / d scale     round(q) - q                        bound

        scale = start * exp(growth) makes d fake / d growth = scale * d fake / d scale:
        fake - x within, fake beyond. Summed over the tensor with the gradient, that is
        gradient * fake everywhere less gradient * x within, the two dot products below.
        """
        x, fake = ctx.saved_tensors
        if gradient.stride() != x.stride():
            gradient = torch.empty_like(x).copy_(gradient)
        inside = torch.empty_like(x)
        total = torch.zeros(())
        for g, source, result, kept in _blocks(gradient, x, fake, inside):
            torch.ops.aten.hardtanh_backward.grad_input(g, source, *ctx.edges, grad_input=kept)
            if ctx.needs_input_grad[1]:
                total += torch.dot(g, result) - torch.dot(kept, source)
        return inside, total if ctx.needs_input_grad[1] else None, None, None, None


def _dense(x: Tensor) -> Tensor:
    """`x`, copied if its values do not fill one block of memory in one of the two usual orders."""
    return x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Dense tensors of the same strides, as 1-D pieces of memory that fit into the cache."""
    size = BLOCK * torch.get_num_threads()
    flat = [tensor.as_strided((tensor.numel(),), (1,)) for tensor in tensors]
    return zip(*(values.split(size) for values in flat), strict=True)
