"""Reductions, sums along an axis, and sorting. Among equal values the first comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ints, Operator, Ops


def reduce(function: Callable[..., Tensor]) -> Operator:
    """`function(x, axes, keepdim=...)`, over all axes where none are given."""

    def operator(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
        return function(x, list(range(x.dim()) if axes is None else axes), keepdim=keep_dims)

    return operator


def reduce_arg(function: Callable[..., Tensor]) -> Operator:
    def operator(
        x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32"
    ) -> Tensor:
        return function(x, axis, keepdim=keep_dims)

    return operator


def mean(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    """The mean, of integers in float64: cast back, it is cut toward zero, as in NumPy."""
    return (x if x.is_floating_point() else x.double()).mean(axes, keepdim=keepdim)


def prod(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keepdim)
    return x


def _of_floats(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def on_floats(x: Tensor, axes: list[int], **options: Any) -> Tensor:
        return function(x if x.is_floating_point() else x.double(), axes, **options)

    return on_floats


def argsort(x: Tensor, axis: int = -1, ascending: bool = False) -> Tensor:
    return torch.sort(x, dim=axis, descending=not ascending, stable=True).indices


def topk(
    x: Tensor,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> tuple[Tensor, ...]:
    """All along the axis where `k` is -1; sorted with `sort` or without."""
    values, indices = torch.sort(x, dim=axis, descending=not ascending, stable=True)
    size = x.shape[axis] if k == -1 else k
    found = (values.narrow(axis, 0, size), indices.narrow(axis, 0, size))
    return found if return_indices else found[:1]


def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    ordered = x.flip(axis) if reverse else x
    total = ordered.cumsum(axis)
    if exclusive:
        total = total - ordered
    return total.flip(axis) if reverse else total


OPERATORS: Ops = {
    "argsort": argsort,
    "cumsum": cumsum,
    "reduce_argmax": reduce_arg(torch.argmax),
    "reduce_argmin": reduce_arg(torch.argmin),
    "reduce_l1_norm": reduce(lambda x, axes, keepdim: x.abs().sum(axes, keepdim=keepdim)),
    "reduce_l2_norm": reduce(lambda x, axes, keepdim: x.square().sum(axes, keepdim=keepdim).sqrt()),
    "reduce_log_sum": reduce(lambda x, axes, keepdim: x.sum(axes, keepdim=keepdim).log()),
    "reduce_log_sum_exp": reduce(_of_floats(torch.logsumexp)),
    "reduce_max": reduce(torch.amax),
    "reduce_mean": reduce(mean),
    "reduce_min": reduce(torch.amin),
    "reduce_prod": reduce(prod),
    "reduce_sum": reduce(torch.sum),
    "reduce_sum_square": reduce(lambda x, axes, keepdim: x.square().sum(axes, keepdim=keepdim)),
    "topk": topk,
}
