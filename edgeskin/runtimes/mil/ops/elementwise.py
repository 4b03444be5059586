"""Operators that work value by value, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Operator, Ops


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    def operator(x: Tensor) -> Tensor:
        return function(x)

    return operator


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def operator(x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)

    return operator


def cast(x: Tensor, dtype: str) -> Tensor:
    """The result's declared type does it; toward zero from float to integer."""
    return x


def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    return x.clamp(alpha, beta)


def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    return 1 / (x + epsilon)


def log(x: Tensor, epsilon: float = 1e-45) -> Tensor:
    return torch.log(x + epsilon)


def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    return torch.rsqrt(x + epsilon)


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(cond, a, b)


def threshold(x: Tensor, alpha: float) -> Tensor:
    return x.clamp(min=alpha)


OPERATORS: Ops = {
    "abs": unary(torch.abs),
    "acos": unary(torch.acos),
    "asin": unary(torch.asin),
    "atan": unary(torch.atan),
    "atanh": unary(torch.atanh),
    "cast": cast,
    "ceil": unary(torch.ceil),
    "clip": clip,
    "cos": unary(torch.cos),
    "cosh": unary(torch.cosh),
    "erf": unary(torch.erf),
    "exp": unary(torch.exp),
    "exp2": unary(torch.exp2),
    "floor": unary(torch.floor),
    "identity": unary(lambda x: x),
    "inverse": inverse,
    "log": log,
    "logical_not": unary(torch.logical_not),
    "round": unary(torch.round),  # half to even
    "rsqrt": rsqrt,
    "select": select,
    "sign": unary(torch.sign),
    "sin": unary(torch.sin),
    "sinh": unary(torch.sinh),
    "sqrt": unary(torch.sqrt),
    "square": unary(torch.square),
    "tan": unary(torch.tan),
    "tanh": unary(torch.tanh),
    "threshold": threshold,
    "add": binary(torch.add),
    "equal": binary(torch.eq),
    "floor_div": binary(torch.floor_divide),
    "greater": binary(torch.gt),
    "greater_equal": binary(torch.ge),
    "less": binary(torch.lt),
    "less_equal": binary(torch.le),
    "logical_and": binary(torch.logical_and),
    "logical_or": binary(torch.logical_or),
    "logical_xor": binary(torch.logical_xor),
    "maximum": binary(torch.maximum),
    "minimum": binary(torch.minimum),
    "mod": binary(torch.remainder),  # the sign of y, as in Python
    "mul": binary(torch.mul),
    "not_equal": binary(torch.ne),
    "pow": binary(torch.pow),
    "real_div": binary(torch.true_divide),
    "sub": binary(torch.sub),
}
