"""From the range of a tensor to its scale and zero point.

Every scale is a number that float16 holds exactly: Core ML stores scales as
float16, and with others the three formats would carry three slightly different
quantizations of one program.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_SCALE = 2.0**-24
"""The smallest positive float16."""


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
    """The integer of zero where `least` is that of `low`, which is zero or less."""
    steps = torch.zeros_like(scale) if symmetric else least - (low / scale).round()
    return steps.to(torch.int64)
