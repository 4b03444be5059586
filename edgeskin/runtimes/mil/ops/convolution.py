"""Convolutions, and products of matrices."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ints, Ops
from edgeskin.runtimes.mil.ops.window import Ends, pad_ends, padding

_CONV = (F.conv1d, F.conv2d, F.conv3d)
_CONV_TRANSPOSE = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Ints = (),
    pad_type: str = "valid",
    pad: Ints = (),
    dilations: Ints = (),
    groups: int = 1,
) -> Tensor:
    kernel = weight.shape[2:]
    strides, dilations = strides or [1] * len(kernel), dilations or [1] * len(kernel)
    ends = padding(x.shape[2:], kernel, strides, dilations, pad_type, pad)
    return padded_conv(x, weight, bias, ends, strides, dilations, groups)


def padded_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    ends: Ends,
    strides: Ints,
    dilations: Ints,
    groups: int,
) -> Tensor:
    """A convolution of any rank; `ends` are the zeros before and behind each axis."""
    if all(before == after for before, after in ends):
        inside = [before for before, _ in ends]
    else:
        x, inside = pad_ends(x, ends), [0] * len(ends)
    return _CONV[len(ends) - 1](x, weight, bias, list(strides), inside, list(dilations), groups)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Ints = (),
    output_shape: Ints = (),
    pad_type: str = "valid",
    strides: Ints = (),
    dilations: Ints = (),
    groups: int = 1,
) -> Tensor:
    """All that the input spreads to, cut (or filled up with the bias) to the output's extent."""
    rank = weight.dim() - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    whole = _CONV_TRANSPOSE[rank - 1](
        x, weight, None, list(strides), groups=groups, dilation=list(dilations)
    )
    ends = []
    for axis, full in enumerate(whole.shape[2:]):
        before, after = pad[2 * axis : 2 * axis + 2] if pad_type == "custom" else (0, 0)
        size = full - before - after
        if pad_type == "same":
            size = x.shape[2 + axis] * strides[axis]
        if output_shape:
            size = output_shape[2 + axis]
        if pad_type == "same":
            before = max(full - size, 0) // 2
        ends.append((-before, before + size - full))
    result = pad_ends(whole, ends)
    return result if bias is None else result + bias.view(-1, *[1] * rank)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, weight = _of_one_type(x, weight)
    return F.linear(x, weight, None if bias is None else bias.to(x.dtype))


def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    if transpose_x and x.dim() > 1:
        x = x.transpose(-1, -2)
    if transpose_y and y.dim() > 1:
        y = y.transpose(-1, -2)
    return torch.matmul(*_of_one_type(x, y))


def _of_one_type(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two operands in one type: a constant may be integers where the other is floating."""
    kind = torch.promote_types(x.dtype, y.dtype)
    return x.to(kind), y.to(kind)


def einsum(values: list[Tensor], equation: str) -> Tensor:
    return torch.einsum(equation, *values)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
) -> Tensor:
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, -1) @ value


OPERATORS: Ops = {
    "conv": conv,
    "conv_transpose": conv_transpose,
    "einsum": einsum,
    "linear": linear,
    "matmul": matmul,
    "scaled_dot_product_attention": scaled_dot_product_attention,
}
