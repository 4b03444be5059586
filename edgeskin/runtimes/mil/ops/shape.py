"""Operators that change a tensor's shape, or put its values in another order."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ints, Ops
from edgeskin.runtimes.mil.ops.window import pad_ends


def batch_to_space(x: Tensor, block_shape: Ints, crops: list[Ints]) -> Tensor:
    rows, columns = block_shape
    n, c, height, width = x.shape
    x = x.reshape(rows, columns, n // (rows * columns), c, height, width)
    x = x.permute(2, 3, 4, 0, 5, 1).reshape(-1, c, height * rows, width * columns)
    return pad_ends(x, [(-before, -after) for before, after in crops])


def depth_to_space(x: Tensor, block_size: int) -> Tensor:
    """The block's place varies slower than the channel, as in TensorFlow."""
    n, c, height, width = x.shape
    b = block_size
    x = x.reshape(n, b, b, c // b**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // b**2, height * b, width * b)


def expand_dims(x: Tensor, axes: Ints) -> Tensor:
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def flatten2d(x: Tensor, axis: int = 1) -> Tensor:
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    return F.pixel_shuffle(x, upscale_factor)


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    return F.pixel_unshuffle(x, downscale_factor)


def reshape(x: Tensor, shape: Ints) -> Tensor:
    """A 0 keeps the size of x's axis, counted from the right; -1 takes the rest."""
    offset = x.dim() - len(shape)
    sizes = [
        size if size != 0 else x.shape[offset + axis] if offset + axis >= 0 else 1
        for axis, size in enumerate(shape)
    ]
    return x.reshape(sizes)


def reshape_like(
    x: Tensor,
    ref_tensors: list[Tensor],
    begins: list[int],
    ends: list[int],
    end_masks: list[bool],
) -> Tensor:
    sizes: list[int] = []
    for ref, begin, end, mask in zip(ref_tensors, begins, ends, end_masks, strict=True):
        sizes += ref.shape[begin : None if mask else end]
    return x.reshape(sizes)


def reverse(x: Tensor, axes: Ints | None = None) -> Tensor:
    return x.flip(list(range(x.dim()) if axes is None else axes))


def reverse_sequence(x: Tensor, lengths: Ints, seq_axis: int = 0, batch_axis: int = 0) -> Tensor:
    result = x.clone()
    for row, length in enumerate(lengths):
        part = result.select(batch_axis, row)
        axis = seq_axis % x.dim() - (batch_axis % x.dim() < seq_axis % x.dim())
        part.narrow(axis, 0, length).copy_(part.narrow(axis, 0, length).flip(axis))
    return result


def shape(x: Tensor) -> Tensor:
    return torch.tensor(x.shape)


def sliding_windows(x: Tensor, axis: int, size: int, stride: int = 1) -> Tensor:
    axis = axis % x.dim()
    return x.unfold(axis, size, stride).movedim(-1, axis + 1)


def space_to_batch(x: Tensor, block_shape: Ints, paddings: list[Ints]) -> Tensor:
    x = pad_ends(x, [(before, after) for before, after in paddings])
    rows, columns = block_shape
    n, c, height, width = x.shape
    x = x.reshape(n, c, height // rows, rows, width // columns, columns)
    x = x.permute(3, 5, 0, 1, 2, 4)
    return x.reshape(rows * columns * n, c, height // rows, width // columns)


def space_to_depth(x: Tensor, block_size: int) -> Tensor:
    n, c, height, width = x.shape
    b = block_size
    x = x.reshape(n, c, height // b, b, width // b, b).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * b**2, height // b, width // b)


def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def transpose(x: Tensor, perm: Ints) -> Tensor:
    return x.permute(*perm)


OPERATORS: Ops = {
    "batch_to_space": batch_to_space,
    "depth_to_space": depth_to_space,
    "expand_dims": expand_dims,
    "flatten2d": flatten2d,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "reshape": reshape,
    "reshape_like": reshape_like,
    "reverse": reverse,
    "reverse_sequence": reverse_sequence,
    "shape": shape,
    "sliding_windows": sliding_windows,
    "space_to_batch": space_to_batch,
    "space_to_depth": space_to_depth,
    "squeeze": squeeze,
    "transpose": transpose,
}
