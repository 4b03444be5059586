"""Reading and writing by index.

An index below zero counts from the end, as up to iOS 16. From iOS 17 such an
index is an error where `validate_indices` is set, else its meaning is open.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ops

_REDUCE = {"mul": "prod", "div": "prod", "max": "amax", "min": "amin"}


def gather(
    x: Tensor, indices: Tensor, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False
) -> Tensor:
    axis = axis % x.dim()
    indices = _positive(indices, x.shape[axis], validate_indices)
    if batch_dims == 0:
        read = x.index_select(axis, indices.flatten())
        return read.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    pairs = zip(x, indices, strict=True)
    return torch.stack([gather(a, i, axis - 1, batch_dims - 1, validate_indices) for a, i in pairs])


def gather_along_axis(
    x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool = False
) -> Tensor:
    return torch.take_along_dim(x, _positive(indices, x.shape[axis], validate_indices), axis)


def gather_nd(
    x: Tensor, indices: Tensor, batch_dims: int = 0, validate_indices: bool = False
) -> Tensor:
    if batch_dims:
        pairs = zip(x, indices, strict=True)
        return torch.stack([gather_nd(a, i, batch_dims - 1, validate_indices) for a, i in pairs])
    pairs = zip(indices.unbind(-1), x.shape, strict=False)
    return x[tuple(_positive(index, size, validate_indices) for index, size in pairs)]


def scatter(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Whole slices along `axis`."""
    shape = [1] * data.dim()
    shape[axis] = -1
    places = indices.view(shape).expand(updates.shape)
    return scatter_along_axis(data, places, updates, axis, mode, validate_indices)


def scatter_along_axis(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    places = _positive(indices, data.shape[axis], validate_indices)
    updates = updates.to(data.dtype)
    if mode == "update":
        return data.scatter(axis, places, updates)
    if mode in ("add", "sub"):
        return data.scatter_add(axis, places, updates if mode == "add" else -updates)
    if mode == "div":
        updates = 1 / updates
    return data.scatter_reduce(axis, places, updates, _REDUCE[mode])


def scatter_nd(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    depth = indices.shape[-1]
    rows = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for index, size in zip(indices.unbind(-1), data.shape, strict=False):
        rows = rows * size + _positive(index, size, validate_indices)
    flat = data.reshape(math.prod(data.shape[:depth]), -1)
    result = scatter(flat, rows.flatten(), updates.reshape(rows.numel(), -1), 0, mode)
    return result.reshape(data.shape)


def _positive(indices: Tensor, size: int, strictly: bool) -> Tensor:
    """Indices as int64, counted from the start; raises IndexError for one outside."""
    indices = indices.long()
    low = 0 if strictly else -size
    if indices.numel() and not low <= int(indices.min()) <= int(indices.max()) < size:
        raise IndexError(f"an index lies outside of an axis of {size}")
    return torch.where(indices < 0, indices + size, indices)


OPERATORS: Ops = {
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "gather_nd": gather_nd,
    "scatter": scatter,
    "scatter_along_axis": scatter_along_axis,
    "scatter_nd": scatter_nd,
}
