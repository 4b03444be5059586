"""Reductions, sums along an axis, and sorting. Among equal values the first comes first."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgeskin.runtimes.mil.ops.reduction import cumsum as mil_cumsum
from edgeskin.runtimes.mil.ops.reduction import mean, prod, topk
from edgeskin.sources.onnx_graph.ops.elementwise import of_type
from edgeskin.sources.onnx_graph.ops.operator import Ints, Operator, Ops


def reduce(
    function: Callable[..., Tensor], on_each: Callable[[Tensor], Tensor] | None = None
) -> Operator:
    """`function(on_each(x), axes, keepdim)`, over all axes where none are given."""

    def operator(
        x: Tensor, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Tensor:
        y = x if on_each is None else on_each(x)
        if not axes and noop_with_empty_axes:
            return y
        chosen = list(axes) if axes else list(range(x.dim()))
        return of_type(function(y, chosen, keepdim=bool(keepdims)), x.dtype)

    return operator


def reduce_arg(function: Callable[..., Tensor]) -> Operator:
    def operator(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
        if not select_last_index:
            return function(x, axis, keepdim=bool(keepdims))
        return x.shape[axis] - 1 - function(x.flip(axis), axis, keepdim=bool(keepdims))

    return operator


def top_k(
    x: Tensor, k: int, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[Tensor, ...]:
    return topk(x, k, axis, ascending=not largest)


def cumsum(x: Tensor, axis: int, exclusive: int = 0, reverse: int = 0) -> Tensor:
    return of_type(mil_cumsum(x, axis, bool(exclusive), bool(reverse)), x.dtype)


def log_sum_exp(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.logsumexp(x if x.is_floating_point() else x.double(), axes, keepdim=keepdim)


OPERATORS: Ops = {
    "ArgMax": reduce_arg(torch.argmax),
    "ArgMin": reduce_arg(torch.argmin),
    "CumSum": cumsum,
    "ReduceL1": reduce(torch.sum, torch.abs),
    "ReduceL2": reduce(lambda x, a, keepdim: x.sum(a, keepdim=keepdim).sqrt(), torch.square),
    "ReduceLogSum": reduce(lambda x, axes, keepdim: x.sum(axes, keepdim=keepdim).log()),
    "ReduceLogSumExp": reduce(log_sum_exp),
    "ReduceMax": reduce(torch.amax),
    "ReduceMean": reduce(mean),
    "ReduceMin": reduce(torch.amin),
    "ReduceProd": reduce(prod),
    "ReduceSum": reduce(torch.sum),
    "ReduceSumSquare": reduce(torch.sum, torch.square),
    "TopK": top_k,
}
