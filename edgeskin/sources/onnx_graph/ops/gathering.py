"""Reading and writing by index; an index below zero counts from the end."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.sources.onnx_graph.ops.operator import Index, Ops

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def gather(x: Tensor, indices: Index, axis: int = 0) -> Tensor:
    """Constant indices become a slice where they are one number, or follow each other."""
    axis = axis % x.dim()
    if isinstance(indices, Tensor):
        return _gather(x, _positive(indices, x.shape[axis]), axis)
    size = x.shape[axis]
    if indices.size and not -size <= indices.min() <= indices.max() < size:
        raise ValueError(f"an index lies outside of an axis of {size}")
    places = np.where(indices < 0, indices + size, indices)
    if places.ndim == 0:
        return x.select(axis, int(places))
    row = places.flatten()
    if len(row) and (np.diff(row) == 1).all():
        part = x if len(row) == size else x.narrow(axis, int(row[0]), len(row))
        return part if places.ndim == 1 else part.unflatten(axis, places.shape)
    return _gather(x, torch.from_numpy(places.astype(np.int64)), axis)


def _gather(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    read = x.index_select(axis, indices.flatten())
    return read.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def gather_elements(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    return x.gather(axis, _positive(indices, x.shape[axis]))


def gather_nd(x: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    if batch_dims:
        pairs = zip(x, indices, strict=True)
        return torch.stack([gather_nd(a, i, batch_dims - 1) for a, i in pairs])
    pairs = zip(indices.unbind(-1), x.shape, strict=False)
    return x[tuple(_positive(index, size) for index, size in pairs)]


def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, reduction: str = "none"
) -> Tensor:
    places = _positive(indices, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, places, updates)
    return x.scatter_reduce(axis, places, updates, _REDUCTIONS[reduction])


def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, reduction: str = "none") -> Tensor:
    depth = indices.shape[-1]
    rows = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for index, size in zip(indices.unbind(-1), x.shape, strict=False):
        rows = rows * size + _positive(index, size)
    flat = x.reshape(-1, *x.shape[depth:]).flatten(1) if depth < x.dim() else x.reshape(-1, 1)
    places = rows.reshape(-1, 1).expand(-1, flat.shape[1])
    values = updates.reshape(places.shape)
    return scatter_elements(flat, places, values, 0, reduction).reshape(x.shape)


def grid_sample(
    x: Tensor,
    grid: Tensor,
    align_corners: int = 0,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> Tensor:
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return F.grid_sample(x, grid, mode, padding_mode, bool(align_corners))


def _positive(indices: Tensor, size: int) -> Tensor:
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


OPERATORS: Ops = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "GridSample": grid_sample,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
}
