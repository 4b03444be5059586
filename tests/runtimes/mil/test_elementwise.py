"""Operators that work value by value, against NumPy and SciPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import close, floats, integers, run
from numpy.typing import NDArray
from scipy import special

X = floats(2, 3, 5)
WITHIN = np.clip(X, -0.99, 0.99)  # for acos, asin, atanh
ABOVE = np.abs(X) + 0.01  # for roots and logarithms
UNARY: dict[str, tuple[Any, NDArray[Any]]] = {
    "abs": (np.abs, X),
    "acos": (np.arccos, WITHIN),
    "asin": (np.arcsin, WITHIN),
    "atan": (np.arctan, X),
    "atanh": (np.arctanh, WITHIN),
    "ceil": (np.ceil, 3 * X),
    "cos": (np.cos, X),
    "cosh": (np.cosh, X),
    "erf": (special.erf, X),
    "exp": (np.exp, X),
    "exp2": (np.exp2, X),
    "floor": (np.floor, 3 * X),
    "identity": (lambda x: x, X),
    "round": (np.round, np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.49, 2.5])),  # half to even
    "sign": (np.sign, np.float32([-3, -0.0, 0.0, 0.5])),
    "sin": (np.sin, X),
    "sinh": (np.sinh, X),
    "sqrt": (np.sqrt, ABOVE),
    "square": (np.square, X),
    "tan": (np.tan, X),
    "tanh": (np.tanh, X),
    "relu": (lambda x: np.maximum(x, 0), X),
    "relu6": (lambda x: np.clip(x, 0, 6), 5 * X),
    "sigmoid": (special.expit, 10 * X),
    "silu": (lambda x: x * special.expit(x), X),
    "softplus": (lambda x: np.logaddexp(x, 0), np.append(X, [-200, 200]).astype(np.float32)),
    "softsign": (lambda x: x / (1 + np.abs(x)), X),
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    function, x = UNARY[name]
    close(run(lambda a: getattr(mb, name)(x=a), x), function(x.astype(np.float64)))


@pytest.mark.parametrize("name", ["abs", "sign", "square"])
def test_unary_of_integers(name: str) -> None:
    x = integers(3, 4)
    close(run(lambda a: getattr(mb, name)(x=a), x), getattr(np, name)(x))


BINARY = {
    "add": np.add,
    "equal": np.equal,
    "floor_div": np.floor_divide,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "real_div": np.true_divide,
    "sub": np.subtract,
}


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str) -> None:
    x, y = np.round(2 * floats(2, 1, 5)), np.round(2 * floats(3, 1, seed=1)) + 0.5
    x[0, 0, 0] = y[0, 0]  # one pair is equal
    close(run(lambda a, b: getattr(mb, name)(x=a, y=b), x, y), BINARY[name](x, y))


@pytest.mark.parametrize("name", [name for name in BINARY if name != "real_div"])
def test_binary_of_integers_of_either_sign(name: str) -> None:
    x, y = integers(4, 5), integers(5) * 2 + 1  # odd: no division by zero
    close(run(lambda a, b: getattr(mb, name)(x=a, y=b), x, y), BINARY[name](x, y))


def test_pow() -> None:
    y = floats(3, 1, seed=1)
    close(run(lambda a, b: mb.pow(x=a, y=b), ABOVE, y), np.power(ABOVE, y, dtype=np.float64))


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_binary_of_truth_values(name: str) -> None:
    x, y = np.array([[True], [False]]), np.array([True, False, True])
    close(run(lambda a, b: getattr(mb, name)(x=a, y=b), x, y), getattr(np, name)(x, y))


def test_logical_not() -> None:
    x = np.array([[True, False, True]])
    close(run(lambda a: mb.logical_not(x=a), x), ~x)


def test_select_broadcasts_its_condition() -> None:
    condition, x, y = np.array([[True], [False]]), floats(2, 3), floats(2, 3, seed=1)
    found = run(lambda a, b, c: mb.select(cond=a, a=b, b=c), condition, x, y)
    close(found, np.where(condition, x, y))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("inverse", lambda x, e: 1 / (x + e)),
        ("log", lambda x, e: np.log(x + e)),
        ("rsqrt", lambda x, e: 1 / np.sqrt(x + e)),
    ],
)
@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_with_epsilon(name: str, function: Any, epsilon: float) -> None:
    found = run(lambda a: getattr(mb, name)(x=a, epsilon=np.float32(epsilon)), ABOVE)
    close(found, function(ABOVE.astype(np.float64), np.float64(np.float32(epsilon))))


def test_clip_and_threshold() -> None:
    close(run(lambda a: mb.clip(x=a, alpha=-0.25, beta=0.5), X), np.clip(X, -0.25, 0.5))
    close(run(lambda a: mb.threshold(x=a, alpha=0.1), X), np.maximum(X, np.float32(0.1)))


@pytest.mark.parametrize(
    ("to", "dtype"),
    [
        ("int32", np.int32),
        ("int8", np.int8),
        ("uint8", np.uint8),
        ("fp16", np.float32),
        ("bool", np.bool_),
        ("int16", np.int16),
        ("fp32", np.float32),
    ],
)
def test_cast_rounds_integers_toward_zero(to: str, dtype: Any) -> None:
    x = np.abs(np.float32([0.0, 0.999, 2.5, 100.7])) * (1 if to == "uint8" else -1)
    want = x.astype(np.float16).astype(np.float32) if to == "fp16" else x.astype(dtype)
    close(run(lambda a: mb.cast(x=a, dtype=to), x), want, ulps=0)
    if to == "int32":
        y = np.float16([-1.5, 7.9])
        close(run(lambda a: mb.cast(x=a, dtype=to), y), y.astype(np.int32))


# name: parameters, function of x; from the formulas in MIL's documentation.
ACTIVATIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "clamped_relu": (
        {"alpha": 0.3, "beta": 0.7},
        lambda x: np.minimum(np.where(x >= 0, x, 0.3 * x), 0.7),
    ),
    "elu": ({"alpha": 1.7}, lambda x: np.where(x > 0, x, 1.7 * np.expm1(x))),
    "leaky_relu": ({"alpha": -0.2}, lambda x: np.where(x >= 0, x, -0.2 * x)),
    "linear_activation": ({"alpha": 2.0, "beta": -0.5}, lambda x: 2 * x - 0.5),
    "scaled_tanh": ({"alpha": 1.5, "beta": 0.6}, lambda x: 1.5 * np.tanh(0.6 * x)),
    "sigmoid_hard": ({"alpha": 0.4, "beta": 0.3}, lambda x: np.clip(0.4 * x + 0.3, 0, 1)),
    "thresholded_relu": ({"alpha": 0.4}, lambda x: np.where(x >= 0.4, x, 0)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    parameters, function = ACTIVATIONS[name]
    parameters = {k: np.float32(v) for k, v in parameters.items()}
    close(run(lambda a: getattr(mb, name)(x=a, **parameters), X), function(X.astype(np.float64)))


def test_prelu_has_a_slope_for_each_channel() -> None:
    x, alpha = floats(2, 3, 4, 5), floats(3, seed=1)
    found = run(lambda a: mb.prelu(x=a, alpha=alpha), x)
    close(found, np.where(x > 0, x, x * alpha.reshape(3, 1, 1)))


def test_softplus_parametric() -> None:
    x, alpha, beta = floats(2, 3, 4, 5), floats(3, seed=1), floats(3, seed=2)
    found = run(lambda a: mb.softplus_parametric(x=a, alpha=alpha, beta=beta), x)
    a, b = (v.reshape(3, 1, 1).astype(np.float64) for v in (alpha, beta))
    close(found, a * np.log1p(np.exp(b * x)))


GELU = {
    "EXACT": lambda x: x * special.ndtr(x),
    "TANH_APPROXIMATION": lambda x: (
        x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
    ),
    "SIGMOID_APPROXIMATION": lambda x: x * special.expit(1.702 * x),
}


@pytest.mark.parametrize("mode", GELU)
def test_gelu(mode: str) -> None:
    close(run(lambda a: mb.gelu(x=a, mode=mode), 2 * X), GELU[mode](2 * X.astype(np.float64)))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_of_large_values(axis: int) -> None:
    found = run(lambda a: mb.softmax(x=a, axis=axis), 50 * X)
    close(found, special.softmax(50 * X.astype(np.float64), axis))
