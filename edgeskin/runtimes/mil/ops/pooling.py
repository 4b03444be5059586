"""Pools: every window is laid out in full, then averages are divided by what they may count."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ints, Ops
from edgeskin.runtimes.mil.ops.window import Ends, pad_ends, padding, to_last_window


def max_pool(
    x: Tensor,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints = (),
    pad: Ints = (),
    ceil_mode: bool = False,
) -> Tensor:
    strides, _, full = _laid_out(x, kernel_sizes, pad_type, strides, pad, ceil_mode)
    x = pad_ends(x, full, -math.inf)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel_sizes) - 1]
    return function(x, list(kernel_sizes), list(strides))


def avg_pool(
    x: Tensor,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints = (),
    pad: Ints = (),
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    strides, ends, full = _laid_out(x, kernel_sizes, pad_type, strides, pad, ceil_mode)
    sums = _sums(pad_ends(x, full), kernel_sizes, strides)
    counted = x.new_ones(1, 1, *x.shape[2:])
    if not exclude_padding_from_average:
        counted = pad_ends(counted, ends, 1.0)
        full = [(0, all_ - of) for (_, all_), (_, of) in zip(full, ends, strict=True)]
    return sums / _sums(pad_ends(counted, full), kernel_sizes, strides)


def l2_pool(
    x: Tensor,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints = (),
    pad: Ints = (),
    ceil_mode: bool = False,
) -> Tensor:
    strides, _, full = _laid_out(x, kernel_sizes, pad_type, strides, pad, ceil_mode)
    return _sums(pad_ends(x, full).square(), kernel_sizes, strides).sqrt()


def _sums(x: Tensor, kernel: Ints, strides: Ints) -> Tensor:
    if len(kernel) == 1:
        return _sums(x.unsqueeze(2), [1, *kernel], [1, *strides]).squeeze(2)
    if len(kernel) == 2:
        return F.avg_pool2d(x, list(kernel), list(strides), divisor_override=1)
    return F.avg_pool3d(x, list(kernel), list(strides), divisor_override=1)


def _laid_out(
    x: Tensor, kernel: Ints, pad_type: str, strides: Ints, pad: Ints, ceil: bool
) -> tuple[Ints, Ends, Ends]:
    """The strides, the padding, and the padding that also fills the last window."""
    strides = strides or [1] * len(kernel)
    ends = padding(x.shape[2:], kernel, strides, [1] * len(strides), pad_type, pad)
    return strides, ends, to_last_window(x.shape[2:], kernel, strides, ends, ceil)


OPERATORS: Ops = {"avg_pool": avg_pool, "l2_pool": l2_pool, "max_pool": max_pool}
