"""Convolutions, and products of matrices."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops.convolution import padded_conv
from edgeskin.runtimes.mil.ops.window import pad_ends
from edgeskin.sources.onnx_graph.ops.operator import Ints, Operand, Ops
from edgeskin.sources.onnx_graph.ops.windows import ends_of

_CONV_TRANSPOSE = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    auto_pad: str = "NOTSET",
    dilations: Ints = (),
    group: int = 1,
    kernel_shape: Ints = (),
    pads: Ints = (),
    strides: Ints = (),
) -> Tensor:
    kernel = weight.shape[2:]
    strides, dilations = strides or [1] * len(kernel), dilations or [1] * len(kernel)
    ends = ends_of(x.shape[2:], kernel, strides, dilations, auto_pad, pads)
    return padded_conv(x, weight, bias, ends, strides, dilations, group)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    auto_pad: str = "NOTSET",
    dilations: Ints = (),
    group: int = 1,
    kernel_shape: Ints = (),
    output_padding: Ints = (),
    output_shape: Ints = (),
    pads: Ints = (),
    strides: Ints = (),
) -> Tensor:
    """All that the input spreads to, cut (or filled up with the bias) to the output's extent."""
    kernel = weight.shape[2:]
    rank = len(kernel)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    more = output_padding or [0] * rank
    ends = list(zip(pads[:rank] or [0] * rank, pads[rank:] or [0] * rank, strict=True))
    whole = [
        (size - 1) * s + (k - 1) * d + 1 + m
        for size, s, k, d, m in zip(x.shape[2:], strides, kernel, dilations, more, strict=True)
    ]
    if output_shape or auto_pad.startswith("SAME"):
        sizes = output_shape[-rank:] or [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
        ends = [_shared_out(w - n, auto_pad) for w, n in zip(whole, sizes, strict=True)]
    function = _CONV_TRANSPOSE[rank - 1]
    fits = all(a == b >= 0 for a, b in ends) and all(
        m < max(s, d) for m, s, d in zip(more, strides, dilations, strict=True)
    )
    if fits:
        inside = [a for a, _ in ends]
        return function(x, weight, bias, list(strides), inside, list(more), group, list(dilations))
    spread = function(x, weight, None, list(strides), groups=group, dilation=list(dilations))
    cut = [(-a, m - b) for (a, b), m in zip(ends, more, strict=True)]
    result = pad_ends(spread, cut)
    return result if bias is None else result + bias.view(-1, *[1] * rank)


def _shared_out(total: int, auto_pad: str) -> tuple[int, int]:
    """An odd number cut off takes the larger half behind with SAME_UPPER, else in front."""
    less, more = total // 2, total - total // 2
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)


def fused_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    z: Tensor | None = None,
    activation: str = "",
    activation_params: list[float] | None = None,
    auto_pad: str = "NOTSET",
    dilations: Ints = (),
    group: int = 1,
    kernel_shape: Ints = (),
    pads: Ints = (),
    strides: Ints = (),
) -> Tensor:
    """A convolution, a sum and an activation, as ONNX Runtime saves an optimised model."""
    y = conv(x, weight, bias, auto_pad, dilations, group, kernel_shape, pads, strides)
    return activated(y if z is None else y + z, activation, activation_params or [])


def activated(x: Tensor, activation: str, parameters: list[float]) -> Tensor:
    if activation == "":
        return x
    if activation == "Clip":
        return x.clamp(*parameters)
    if activation == "LeakyRelu":
        return F.leaky_relu(x, parameters[0])
    if activation == "HardSigmoid":
        alpha, beta = parameters
        return (alpha * x + beta).clamp(0.0, 1.0)
    known = {"Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh}
    if activation not in known:
        raise ValueError(f"the activation '{activation}' is unknown")
    return known[activation](x)


def gemm(
    a: Tensor,
    b: Tensor,
    c: Operand | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 - ONNX's name
    transB: int = 0,  # noqa: N803
) -> Tensor:
    product = (a.T if transA else a) @ (b.T if transB else b)
    product = product if alpha == 1.0 else alpha * product
    if c is None:
        return product
    return product + (c if beta == 1.0 else beta * c)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


def fused_matmul(
    a: Tensor,
    b: Tensor,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
    transBatchA: int = 0,  # noqa: N803
    transBatchB: int = 0,  # noqa: N803
) -> Tensor:
    if transBatchA or transBatchB:
        raise ValueError("transposed batches are not supported")
    product = (a.transpose(-1, -2) if transA else a) @ (b.transpose(-1, -2) if transB else b)
    return product if alpha == 1.0 else alpha * product


def einsum(*values: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation.replace(" ", ""), *values)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    is_causal: int = 0,
    kv_num_heads: int = 0,
    q_num_heads: int = 0,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> Tensor:
    """softmax(scale * query @ key^T + mask) @ value, heads apart or in one axis."""
    if past_key is not None or past_value is not None or softcap:
        raise ValueError("past keys and soft caps are not supported")
    flat = query.dim() == 3
    if flat:
        query, key, value = (
            x.unflatten(-1, (heads, -1)).transpose(1, 2)
            for x, heads in ((query, q_num_heads), (key, kv_num_heads), (value, kv_num_heads))
        )
    if key.shape[1] != query.shape[1]:
        repeat = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(repeat, 1) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * scale) @ key.transpose(-1, -2)
    if is_causal:
        keep = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores = scores.masked_fill(~keep, -math.inf)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask
    result = scores.softmax(-1) @ value
    return result.transpose(1, 2).flatten(2) if flat else result


OPERATORS: Ops = {
    "Attention": attention,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": matmul,
}
MICROSOFT: Ops = {"FusedConv": fused_conv, "FusedMatMul": fused_matmul}
