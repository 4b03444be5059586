"""Activations, and softmax."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops.elementwise import unary
from edgeskin.runtimes.mil.ops.operator import Ops


def clamped_relu(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.where(x >= 0, x, alpha * x).clamp(max=beta)


def elu(x: Tensor, alpha: float) -> Tensor:
    return F.elu(x, alpha)


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate={"EXACT": "none", "TANH_APPROXIMATION": "tanh"}[mode])


def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return F.leaky_relu(x, alpha)


def linear_activation(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * x + beta


def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    return F.prelu(x, alpha)


def scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * torch.tanh(beta * x)


def sigmoid_hard(x: Tensor, alpha: float, beta: float) -> Tensor:
    return (alpha * x + beta).clamp(0, 1)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    shape = (1, -1) + (1,) * (x.dim() - 2)
    return alpha.view(shape) * torch.logaddexp(x * beta.view(shape), x.new_zeros(()))


def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x >= alpha, x, 0)


OPERATORS: Ops = {
    "clamped_relu": clamped_relu,
    "elu": elu,
    "gelu": gelu,
    "leaky_relu": leaky_relu,
    "linear_activation": linear_activation,
    "prelu": prelu,
    "relu": unary(torch.relu),
    "relu6": unary(lambda x: x.clamp(0, 6)),
    "scaled_tanh": scaled_tanh,
    "sigmoid": unary(torch.sigmoid),
    "sigmoid_hard": sigmoid_hard,
    "silu": unary(F.silu),
    "softmax": softmax,
    "softplus": unary(lambda x: torch.logaddexp(x, x.new_zeros(()))),
    "softplus_parametric": softplus_parametric,
    "softsign": unary(lambda x: x / (1 + x.abs())),
    "thresholded_relu": thresholded_relu,
}
