"""Pools: torch's own where it has the same windows, else each window is laid out in full."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops import pooling as mil_pooling
from edgeskin.runtimes.mil.ops.window import pad_ends, to_last_window
from edgeskin.sources.onnx_graph.ops.operator import Ints, Ops
from edgeskin.sources.onnx_graph.ops.windows import ends_of

_MAX = (F.max_pool1d, F.max_pool2d, F.max_pool3d)


def max_pool(
    x: Tensor,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints = (),
    pads: Ints = (),
    storage_order: int = 0,
    strides: Ints = (),
    outputs: int = 1,
) -> Tensor | tuple[Tensor, Tensor]:
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    ends = ends_of(x.shape[2:], kernel_shape, strides, dilations, auto_pad, pads)
    if outputs > 1:
        raise ValueError("the places of the largest values are not supported")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel_shape, dilations, strict=True)]
    full = to_last_window(x.shape[2:], reach, strides, ends, bool(ceil_mode))
    halves = all(a == b and 2 * a <= k for (a, b), k in zip(ends, kernel_shape, strict=True))
    inside = [a for a, _ in ends]
    if not (halves and full == ends):
        x, inside = pad_ends(x, full, _least(x)), [0] * rank
    return _MAX[rank - 1](x, list(kernel_shape), list(strides), inside, list(dilations))


def _least(x: Tensor) -> float:
    return -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min


def average_pool(
    x: Tensor,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints = (),
    pads: Ints = (),
    strides: Ints = (),
) -> Tensor:
    if any(d != 1 for d in dilations):
        raise ValueError("dilated average pools are not supported")
    rank = len(kernel_shape)
    strides = strides or [1] * rank
    ends = ends_of(x.shape[2:], kernel_shape, strides, [1] * rank, auto_pad, pads)
    full = to_last_window(x.shape[2:], kernel_shape, strides, ends, bool(ceil_mode))
    halves = all(a == b and 2 * a <= k for (a, b), k in zip(ends, kernel_shape, strict=True))
    if rank == 2 and halves and full == ends:
        inside = [a for a, _ in ends]
        return F.avg_pool2d(
            x, list(kernel_shape), list(strides), inside, False, bool(count_include_pad)
        )
    return mil_pooling.avg_pool(
        x,
        kernel_shape,
        "custom",
        strides,
        [n for pair in ends for n in pair],
        exclude_padding_from_average=not count_include_pad,
        ceil_mode=bool(ceil_mode),
    )


def lp_pool(
    x: Tensor,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints = (),
    p: int = 2,
    pads: Ints = (),
    strides: Ints = (),
) -> Tensor:
    """(sum |x|**p) ** 1/p: an average times the number of values, padding counted."""
    average = average_pool(
        x.abs() ** p, kernel_shape, auto_pad, ceil_mode, 1, dilations, pads, strides
    )
    return (average * math.prod(kernel_shape)) ** (1 / p)


def global_average_pool(x: Tensor) -> Tensor:
    return x.mean(dim=list(range(2 - x.dim(), 0)), keepdim=True)


def global_max_pool(x: Tensor) -> Tensor:
    return x.amax(dim=list(range(2 - x.dim(), 0)), keepdim=True)


def global_lp_pool(x: Tensor, p: int = 2) -> Tensor:
    return (x.abs() ** p).sum(list(range(2 - x.dim(), 0)), keepdim=True) ** (1 / p)


OPERATORS: Ops = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": global_max_pool,
    "LpPool": lp_pool,
    "MaxPool": max_pool,
}
