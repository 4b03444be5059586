"""Operators that change a tensor's shape, or put its values in another order."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops.shape import depth_to_space as rows_first
from edgeskin.runtimes.mil.ops.shape import expand_dims, reverse_sequence
from edgeskin.runtimes.mil.ops.shape import space_to_depth as mil_space_to_depth
from edgeskin.runtimes.mil.parse import check_size
from edgeskin.sources.onnx_graph.ops.operator import Ints, Ops


def depth_to_space(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    return rows_first(x, blocksize) if mode == "DCR" else F.pixel_shuffle(x, blocksize)


def space_to_depth(x: Tensor, blocksize: int) -> Tensor:
    return mil_space_to_depth(x, blocksize)


def expand(x: Tensor, shape: Ints) -> Tensor:
    """Broadcast both ways: an axis of `x` may be larger than asked for."""
    sizes = torch.broadcast_shapes(x.shape, tuple(shape))
    check_size(sizes)
    return x.expand(sizes)


def flatten(x: Tensor, axis: int = 1) -> Tensor:
    axis = axis + x.dim() if axis < 0 else axis
    return reshaped(x, [math.prod(x.shape[:axis]), math.prod(x.shape[axis:])])


def reshaped(x: Tensor, sizes: Ints) -> Tensor:
    """As a copy and a view, which the quantizer knows; torch's reshape may be an unsafe view."""
    return x.contiguous().view(list(sizes))


def reshape(x: Tensor, shape: Ints, allowzero: int = 0) -> Tensor:
    """A 0 keeps the size of x's axis at its place; -1 takes the rest."""
    if not allowzero:
        shape = [size or x.shape[axis] for axis, size in enumerate(shape)]
    return reshaped(x, shape)


def reverse_sequences(
    x: Tensor, sequence_lens: Ints, batch_axis: int = 1, time_axis: int = 0
) -> Tensor:
    return reverse_sequence(x, sequence_lens, time_axis, batch_axis)


def shape(x: Tensor, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def size(x: Tensor) -> Tensor:
    return torch.tensor(x.numel())


def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def transpose(x: Tensor, perm: Ints | None = None) -> Tensor:
    return x.permute(*(reversed(range(x.dim())) if perm is None else perm))


def unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    return expand_dims(x, axes)


OPERATORS: Ops = {
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Reshape": reshape,
    "ReverseSequence": reverse_sequences,
    "Shape": shape,
    "Size": size,
    "SpaceToDepth": space_to_depth,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
