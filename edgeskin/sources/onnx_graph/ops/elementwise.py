"""Operators that work value by value, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from edgeskin.sources.onnx_graph.dtypes import torch_dtype
from edgeskin.sources.onnx_graph.ops.operator import Operand, Operator, Ops


def of_type(x: Tensor, kind: torch.dtype) -> Tensor:
    """`x` itself where it has the type: a cast that does nothing would stay in a graph."""
    return x if x.dtype == kind else x.to(kind)


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    def operator(x: Tensor) -> Tensor:
        return function(x)

    return operator


def binary(function: Callable[..., Tensor]) -> Operator:
    def operator(x: Operand, y: Operand) -> Tensor:
        return function(x, y)

    return operator


def variadic(function: Callable[[Any, Any], Tensor]) -> Operator:
    def operator(*values: Operand) -> Any:
        result = values[0]
        for value in values[1:]:
            result = function(result, value)
        return result

    return operator


def add(x: Any, y: Any) -> Tensor:
    return y + x if isinstance(x, int | float) else x + y


def mul(x: Any, y: Any) -> Tensor:
    return y * x if isinstance(x, int | float) else x * y


def div(x: Any, y: Any) -> Tensor:
    """Of integers, cut toward zero as in C."""
    integers = not any(v.is_floating_point() for v in (x, y) if isinstance(v, Tensor))
    if integers and not isinstance(x, float) and not isinstance(y, float):
        return torch.div(torch.as_tensor(x), torch.as_tensor(y), rounding_mode="trunc")
    return x / y


def maximum(x: Any, y: Any) -> Tensor:
    if isinstance(y, Tensor) and not isinstance(x, Tensor):
        x, y = y, x
    return torch.maximum(x, y) if isinstance(y, Tensor) else x.clamp(min=y)


def minimum(x: Any, y: Any) -> Tensor:
    if isinstance(y, Tensor) and not isinstance(x, Tensor):
        x, y = y, x
    return torch.minimum(x, y) if isinstance(y, Tensor) else x.clamp(max=y)


def mod(x: Operand, y: Operand, fmod: int = 0) -> Tensor:
    function: Callable[..., Tensor] = torch.fmod if fmod else torch.remainder
    return function(x, y)


def power(x: Operand, y: Operand) -> Tensor:
    """The type of `x` is the result's."""
    if isinstance(x, Tensor) and not isinstance(y, Tensor):
        if y == 0.5 and x.is_floating_point():
            return x.sqrt()
        return of_type(x.pow(y), x.dtype)
    result: Tensor = torch.pow(x, y)  # type: ignore[arg-type]
    return of_type(result, x.dtype) if isinstance(x, Tensor) else result


def clip(x: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """Where the lower bound lies above the upper one, the upper one wins."""
    if min is None and max is None:
        return x
    return x.clamp(min, max)  # type: ignore[arg-type]


def cast(x: Tensor, to: int, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """Toward zero from float to integer."""
    return of_type(x, torch_dtype(to))


def cast_like(x: Tensor, like: Tensor, saturate: int = 1, round_mode: str = "up") -> Tensor:
    return of_type(x, like.dtype)


def is_inf(x: Tensor, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    infinite = torch.isinf(x)
    if not detect_negative:
        infinite = infinite & (x > 0)
    return infinite if detect_positive else infinite & (x < 0)


def where(condition: Tensor, x: Operand, y: Operand) -> Tensor:
    return torch.where(condition, x, y)


def bit_shift(x: Tensor, y: Tensor, direction: str) -> Tensor:
    return x << y if direction == "LEFT" else x >> y


def average(*values: Operand) -> Tensor:
    total: Tensor = variadic(add)(*values)
    return total / len(values)


def dropout(x: Tensor, ratio: float = 0.5, training: bool = False, seed: int = 0) -> Tensor:
    """Nothing, in inference."""
    if training:
        raise ValueError("it is in training mode; export the network in eval mode")
    return x


OPERATORS: Ops = {
    "Abs": unary(torch.abs),
    "Acos": unary(torch.acos),
    "Acosh": unary(torch.acosh),
    "Asin": unary(torch.asin),
    "Asinh": unary(torch.asinh),
    "Atan": unary(torch.atan),
    "Atanh": unary(torch.atanh),
    "BitwiseNot": unary(torch.bitwise_not),
    "Ceil": unary(torch.ceil),
    "Cos": unary(torch.cos),
    "Cosh": unary(torch.cosh),
    "Erf": unary(torch.erf),
    "Exp": unary(torch.exp),
    "Floor": unary(torch.floor),
    "Identity": unary(lambda x: x),
    "IsNaN": unary(torch.isnan),
    "Log": unary(torch.log),
    "Neg": unary(torch.neg),
    "Not": unary(torch.logical_not),
    "Reciprocal": unary(torch.reciprocal),
    "Round": unary(torch.round),  # half to even
    "Sign": unary(torch.sign),
    "Sin": unary(torch.sin),
    "Sinh": unary(torch.sinh),
    "Sqrt": unary(torch.sqrt),
    "Tan": unary(torch.tan),
    "Tanh": unary(torch.tanh),
    "Add": binary(add),
    "And": binary(torch.logical_and),
    "BitwiseAnd": binary(torch.bitwise_and),
    "BitwiseOr": binary(torch.bitwise_or),
    "BitwiseXor": binary(torch.bitwise_xor),
    "Div": binary(div),
    "Equal": binary(lambda x, y: x == y),
    "Greater": binary(lambda x, y: x > y),
    "GreaterOrEqual": binary(lambda x, y: x >= y),
    "Less": binary(lambda x, y: x < y),
    "LessOrEqual": binary(lambda x, y: x <= y),
    "Mul": binary(mul),
    "Or": binary(torch.logical_or),
    "Sub": binary(lambda x, y: x - y),
    "Xor": binary(torch.logical_xor),
    "Max": variadic(maximum),
    "Min": variadic(minimum),
    "Sum": variadic(add),
    "Mean": average,
    "BitShift": bit_shift,
    "Cast": cast,
    "CastLike": cast_like,
    "Clip": clip,
    "Dropout": dropout,
    "IsInf": is_inf,
    "Mod": mod,
    "Pow": power,
    "Where": where,
}
