"""From the range of a tensor to its scale and zero point.

Every scale is a number that float16 holds exactly: Core ML stores scales as
float16, and with others the three formats would carry three slightly different
quantizations of one program.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeskin.models.app_model import AppModel
from edgeskin.spec import Spec

LEAST_SCALE = 2.0**-24
"""The smallest positive float16."""

_WIDER = 1.02
"""How much wider than its pixels the input's range may be made to meet them better."""


def half_up(scale: Tensor) -> Tensor:
    """The smallest float16 numbers that are no smaller than `scale`, in its own dtype.

    Rounding up keeps every range whole. At least `LEAST_SCALE`; infinite above
    65504, float16's largest.

    >>> half_up(torch.tensor([1 / 128, 0.1, 0.0])).tolist()
    [0.0078125, 0.10003662109375, 5.960464477539063e-08]
    """
    near = scale.half()
    above = torch.nextafter(near, torch.full_like(near, torch.inf))
    return torch.where(near.to(scale.dtype) < scale, above, near).to(scale.dtype).clamp(LEAST_SCALE)


def scale_of(
    low: Tensor, high: Tensor, least: int, most: int, symmetric: bool
) -> tuple[Tensor, Tensor]:
    """Scales and zero points of integers `least`..`most` for ranges `low`..`high`.

    Args:
        low, high: Ends of the ranges, same shape; stretched to hold zero, which
            every quantization must represent exactly.
        symmetric: Zero point 0.

    Returns:
        Float64 scales that float16 holds, and zero points (int64), of that shape.
    """
    low, high = low.double().clamp(max=0.0), high.double().clamp(min=0.0)
    if symmetric:
        scale = half_up(torch.maximum(low / least, high / most))
    else:
        scale = half_up((high - low) / (most - least))
    return scale, _zero_point(low, scale, least, symmetric)


def _zero_point(low: Tensor, scale: Tensor, least: int, symmetric: bool) -> Tensor:
    """The integer that stands for zero if `least` stands for `low`, which is zero or less."""
    steps = torch.zeros_like(scale) if symmetric else least - (low / scale).round()
    return steps.to(torch.int64)


def quantize_dequantize(
    values: Tensor, scale: Tensor, zero_point: Tensor, least: int, most: int
) -> Tensor:
    """`values` rounded to what their integers stand for; all tensors broadcast."""
    steps = (values / scale).round_().add_(zero_point).clamp_(least, most)
    return steps.sub_(zero_point).mul_(scale)


def input_scale(spec: Spec, least: int, most: int, symmetric: bool) -> tuple[float, int]:
    """The scale and zero point that suit a network's input best, from its 256 pixel values.

    Of all float16 scales that hold the range of the pixels, and up to 2 % more,
    the one with the least squared error over the 3 x 256 values that the input
    can have. With mean 127/255 and std 128/255 this is scale 1/128 and zero
    point -1: pixel v becomes the integer v - 128, without error. With mean and
    std of 0.5 the least scale, 2/255, would put each value between two integers.
    """
    values = pixel_values(spec).double()
    enough, _ = scale_of(values.min(), values.max(), least, most, symmetric)
    scales = _halves(float(enough), float(enough) * _WIDER)
    zero_points = _zero_point(values.min().clamp(max=0.0), scales, least, symmetric)
    errors = [
        (quantize_dequantize(values, *pair, least, most) - values).square().sum()
        for pair in zip(scales, zero_points, strict=True)
    ]
    best = int(torch.stack(errors).argmin())
    return float(scales[best]), int(zero_points[best])


def pixel_values(spec: Spec) -> Tensor:
    """What the 256 values of a pixel become in each channel, float32 (3, 256)."""
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 256, 1).expand(1, 1, 256, 3)
    return AppModel(nn.Identity(), spec).normalize(ramp)[0, :, 0]


def _halves(first: float, last: float) -> Tensor:
    """Every float16 number from `first` to `last`, as float64."""
    bits = torch.tensor([first, last]).half().view(torch.int16).tolist()
    return torch.arange(bits[0], bits[1] + 1, dtype=torch.int16).view(torch.float16).double()
