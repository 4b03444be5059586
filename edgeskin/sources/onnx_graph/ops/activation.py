"""Activations, and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.sources.onnx_graph.ops.elementwise import unary
from edgeskin.sources.onnx_graph.ops.operator import Operand, Operator, Ops


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.celu(x, alpha)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


def hard_sigmoid(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return F.hardsigmoid(x)
    return (alpha * x + beta).clamp(0.0, 1.0)


def leaky_relu(x: Tensor, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """With a slope for each channel, or one that broadcasts to `x`."""
    if slope.numel() == 1 or slope.numel() == slope.shape[0] == 1:
        return F.prelu(x, slope.reshape(1))
    per_channel = x.dim() > 1 and slope.dim() == x.dim() - 1 and slope.numel() == slope.shape[0]
    if per_channel and slope.numel() == x.shape[1]:
        return F.prelu(x, slope.flatten())
    return torch.where(x < 0, slope * x, x)


def selu(
    x: Tensor, alpha: float = 1.67326319217681884765625, gamma: float = 1.0507010221481323
) -> Tensor:
    return gamma * F.elu(x, alpha)


def shrink(x: Tensor, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    outside = torch.where(x > lambd, x - bias, torch.zeros_like(x))
    return torch.where(x < -lambd, x + bias, outside)


def swish(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


def thresholded_relu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


def over_axis(function: Callable[[Tensor, int], Tensor]) -> Operator:
    """Along one axis; before opset 13, over all axes from `axis` on, laid out as one."""

    def operator(x: Tensor, axis: int | None = None, opset: int = 13) -> Tensor:
        if opset >= 13:
            return function(x, -1 if axis is None else axis)
        axis = (1 if axis is None else axis) % x.dim()
        if math.prod(x.shape[axis:]) == x.shape[-1]:
            return function(x, -1)
        return function(x.flatten(axis), -1).reshape(x.shape)

    return operator


def hardmax(x: Tensor, axis: int) -> Tensor:
    first = x.argmax(axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, first, 1.0)


def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(x + bias)


def fast_gelu(x: Tensor, bias: Operand | None = None) -> Tensor:
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


def quick_gelu(x: Tensor, alpha: float = 1.702) -> Tensor:
    return swish(x, alpha)


OPERATORS: Ops = {
    "Celu": celu,
    "Elu": elu,
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": unary(F.hardswish),
    "Hardmax": over_axis(hardmax),
    "LeakyRelu": leaky_relu,
    "LogSoftmax": over_axis(torch.log_softmax),
    "Mish": unary(F.mish),
    "PRelu": prelu,
    "Relu": unary(torch.relu),
    "Selu": selu,
    "Shrink": shrink,
    "Sigmoid": unary(torch.sigmoid),
    "Softmax": over_axis(torch.softmax),
    "Softplus": unary(F.softplus),
    "Softsign": unary(F.softsign),
    "Swish": swish,
    "ThresholdedRelu": thresholded_relu,
}
MICROSOFT: Ops = {
    "BiasGelu": bias_gelu,
    "FastGelu": fast_gelu,
    "Gelu": unary(F.gelu),
    "QuickGelu": quick_gelu,
}
