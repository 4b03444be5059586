"""Integers to real numbers and back, and constants stored small.

Constants are made whole once, when a session opens.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ints, Ops
from edgeskin.runtimes.mil.parse import check_size

_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int4": (-8, 7), "uint4": (0, 15)}


def quantize(
    input: Tensor,
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """clamp(round(input / scale) + zero_point), half to even."""
    low, high = _RANGES[output_dtype]
    steps = (input / _along(scale, input, axis)).round()
    if zero_point is not None:
        steps = steps + _along(zero_point, input, axis)
    return steps.clamp(low, high)


def dequantize(
    input: Tensor,
    scale: Tensor,
    zero_point: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """scale * (input - zero_point)."""
    steps = input.float()
    if zero_point is not None:
        steps = steps - _along(zero_point, input, axis)
    return steps * _along(scale, input, axis)


def constexpr_affine_dequantize(
    quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: int
) -> Tensor:
    return dequantize(quantized_data, scale, zero_point, axis)


def constexpr_blockwise_shift_scale(
    data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> Tensor:
    """scale * (data - offset), each of them for a block of values along every axis."""
    steps = data.float()
    if offset is not None:
        steps = steps - _blocks(offset.float(), data)
    return steps * _blocks(scale, data)


def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    return source_val


def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, shape: Ints | None = None, vector_axis: int | None = None
) -> Tensor:
    """iOS 16 packs the indices bit by bit and gives the shape; iOS 18 has tables for blocks."""
    if shape is not None:
        bits = (lut.numel() - 1).bit_length()
        return lut[_bits(indices, shape, bits)].reshape(tuple(shape))
    # A table for each block, (..., entries, vector): look up entry by entry, then
    # lay each vector along its axis.
    tables = lut
    for axis, (size, blocks) in enumerate(zip(indices.shape, lut.shape, strict=False)):
        tables = tables.repeat_interleave(size // blocks, axis)
    at = indices.long()[..., None, None].expand(*indices.shape, 1, lut.shape[-1])
    vectors = tables.gather(-2, at).squeeze(-2)
    axis = (vector_axis or 0) % indices.dim()
    return vectors.movedim(-1, axis + 1).flatten(axis, axis + 1)


def constexpr_sparse_to_dense(
    nonzero_data: Tensor, mask: Tensor, shape: Ints | None = None
) -> Tensor:
    """iOS 16 packs the mask bit by bit and gives the shape; iOS 18 has a mask of that shape."""
    if shape is not None:
        mask = _bits(mask, shape, 1).reshape(tuple(shape))
    keep = mask.bool()
    if int(keep.sum()) != nonzero_data.numel():
        raise ValueError(f"{nonzero_data.numel()} values for a mask of {int(keep.sum())}")
    return torch.zeros(keep.shape, dtype=nonzero_data.dtype).masked_scatter(keep, nonzero_data)


def constexpr_lut_to_sparse(
    indices_mask: Tensor,
    indices_nonzero_data: Tensor,
    lut: Tensor,
    vector_axis: int | None = None,
) -> tuple[Tensor, Tensor]:
    indices = constexpr_sparse_to_dense(indices_nonzero_data, indices_mask)
    dense = constexpr_lut_to_dense(indices, lut, vector_axis=vector_axis)
    if lut.shape[-1] > 1:
        indices_mask = indices_mask.repeat_interleave(lut.shape[-1], vector_axis or 0)
    return indices_mask, dense[indices_mask.bool()]


def constexpr_sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    dense = constexpr_sparse_to_dense(nonzero_data, data_mask)
    return data_mask, constexpr_blockwise_shift_scale(dense, scale, offset)[data_mask.bool()]


def _along(values: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """Values shaped to broadcast: one for all, or one for each place of an axis."""
    values = values.float()
    if values.numel() == 1 or axis is None:
        return values.reshape(()) if values.numel() == 1 else values
    shape = [1] * x.dim()
    shape[axis] = -1
    return values.view(shape)


def _blocks(values: Tensor, data: Tensor) -> Tensor:
    for axis, (size, blocks) in enumerate(zip(data.shape, values.shape, strict=True)):
        values = values.repeat_interleave(size // blocks, axis)
    return values


def _bits(packed: Tensor, shape: Ints, bits: int) -> Tensor:
    """Integers of `bits` bits out of bytes, lowest bit first, flat."""
    check_size(shape)
    count = math.prod(shape)
    if packed.numel() != (count * bits + 7) // 8:
        raise ValueError(f"{packed.numel()} bytes for {count} values of {bits} bits")
    flat = np.unpackbits(packed.numpy(), count=count * bits, bitorder="little")
    weights = 1 << np.arange(bits)
    return torch.from_numpy(flat.reshape(count, bits) @ weights)


OPERATORS: Ops = {
    "constexpr_affine_dequantize": constexpr_affine_dequantize,
    "constexpr_blockwise_shift_scale": constexpr_blockwise_shift_scale,
    "constexpr_cast": constexpr_cast,
    "constexpr_lut_to_dense": constexpr_lut_to_dense,
    "constexpr_lut_to_sparse": constexpr_lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": constexpr_sparse_blockwise_shift_scale,
    "constexpr_sparse_to_dense": constexpr_sparse_to_dense,
    "dequantize": dequantize,
    "quantize": quantize,
}
