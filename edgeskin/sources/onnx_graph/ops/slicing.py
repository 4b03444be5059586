"""Operators that take tensors apart, put them together, and make new ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgeskin.runtimes.mil.parse import check_size
from edgeskin.sources.onnx_graph.dtypes import torch_dtype
from edgeskin.sources.onnx_graph.ops.operator import Ints, Ops

_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def concat(*values: Tensor, axis: int) -> Tensor:
    return torch.cat(values, axis)


def constant_of_shape(shape: Ints, value: NDArray[Any] | None = None) -> Tensor:
    check_size(shape)
    fill = torch.zeros(1) if value is None else torch.from_numpy(np.array(value)).reshape(1)
    return fill.expand(tuple(shape)).clone()


def eye_like(x: Tensor, dtype: int | None = None, k: int = 0) -> Tensor:
    rows, columns = (torch.arange(n) for n in x.shape)
    kind = x.dtype if dtype is None else torch_dtype(dtype)
    return (columns - rows[:, None] == k).to(kind)


def one_hot(indices: Tensor, depth: int, values: NDArray[Any], axis: int = -1) -> Tensor:
    check_size([indices.numel(), depth])
    places = torch.where(indices < 0, indices + depth, indices)
    hot = places.unsqueeze(-1) == torch.arange(depth)
    off, on = torch.from_numpy(values.copy())
    return torch.where(hot, on, off).movedim(-1, axis)


def pad(
    x: Tensor,
    pads: Ints,
    value: float | None = None,
    axes: Ints | None = None,
    mode: str = "constant",
) -> Tensor:
    """Add values at both ends; a negative number takes some away."""
    ends = [(0, 0)] * x.dim()
    chosen = range(x.dim()) if axes is None else [axis % x.dim() for axis in axes]
    for place, axis in enumerate(chosen):
        ends[axis] = (pads[place], pads[place + len(pads) // 2])
    check_size([n + a + b for n, (a, b) in zip(x.shape, ends, strict=True)])
    first = next((axis for axis, pair in enumerate(ends) if any(pair)), None)
    if first is None:
        return x
    flat = [n for pair in reversed(ends[first:]) for n in pair]
    if mode == "constant":
        return F.pad(x, flat, value=value or 0)
    if x.dim() == 4 and first >= 2 and min(flat) >= 0:
        return F.pad(x, [*flat, 0, 0][:4], mode=_MODES[mode])
    for axis, (before, after) in enumerate(ends):
        if before or after:
            x = x.index_select(axis, _outside(x.shape[axis], before, after, mode))
    return x


def _outside(size: int, before: int, after: int, mode: str) -> Tensor:
    """Which value stands at each place of a padded axis."""
    at = np.arange(-before, size + after)
    if mode == "reflect":
        turned = at % max(2 * size - 2, 1)
        places = np.minimum(turned, 2 * size - 2 - turned)
    elif mode == "edge":
        places = at.clip(0, size - 1)
    elif mode == "wrap":
        places = at % size
    else:
        raise ValueError(f"the padding mode '{mode}' is unknown")
    return torch.from_numpy(places)


def range_of(start: NDArray[Any], limit: NDArray[Any], delta: NDArray[Any]) -> Tensor:
    count = max(int(np.ceil((limit.item() - start.item()) / delta.item())), 0)
    check_size([count])
    return torch.from_numpy((start + np.arange(count) * delta).astype(start.dtype).reshape(-1))


def slice_(
    x: Tensor,
    starts: Ints,
    ends: Ints,
    axes: Ints | None = None,
    steps: Ints | None = None,
) -> Tensor:
    """NumPy's slices; a place beyond an end means that end."""
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = axis % x.dim()
        if step > 0:
            x = x[(slice(None),) * axis + (slice(start, end, step),)]
            continue
        chosen = range(*_backwards(start, end, step, x.shape[axis]))
        x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64))
    return x


def _backwards(start: int, end: int, step: int, size: int) -> tuple[int, int, int]:
    """ONNX counts an end below -size as before the first value, as NumPy's None."""
    return slice(start, None if end < -size else end, step).indices(size)


def split(
    x: Tensor,
    split: Ints | None = None,
    axis: int = 0,
    num_outputs: int | None = None,
    outputs: int = 1,
) -> tuple[Tensor, ...]:
    """In parts of the given sizes, else in equal ones, the last of which may be smaller."""
    if split is not None:
        return x.split(list(split), axis)
    return x.split(-(-x.shape[axis] // (num_outputs or outputs)), axis)


def tile(x: Tensor, repeats: Ints) -> Tensor:
    check_size([size * n for size, n in zip(x.shape, repeats, strict=True)])
    return x.repeat(*repeats)


def trilu(x: Tensor, k: int = 0, upper: int = 1) -> Tensor:
    return x.triu(k) if upper else x.tril(k)


OPERATORS: Ops = {
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "EyeLike": eye_like,
    "OneHot": one_hot,
    "Pad": pad,
    "Range": range_of,
    "Slice": slice_,
    "Split": split,
    "Tile": tile,
    "Trilu": trilu,
}
