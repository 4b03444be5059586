"""Normalisations against NumPy in float64, from MIL's formulas, and ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import close, floats, run
from onnx_operator import onnx_run

EPSILON = 0.125  # large and exact, so that a test sees where it stands


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 5, 4), (1, 3, 2, 3, 4)])
def test_batch_norm(shape: Any) -> None:
    x, mean, gamma, beta = floats(*shape), *(floats(3, seed=s) for s in (1, 2, 3))
    variance = np.abs(floats(3, seed=4)) + 0.1
    found = run(
        lambda a: mb.batch_norm(
            x=a, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=EPSILON
        ),
        x,
    )
    m, v, g, b = (
        t.reshape(3, *[1] * (x.ndim - 2)).astype(np.float64) for t in (mean, variance, gamma, beta)
    )
    close(found, g * (x - m) / np.sqrt(v + EPSILON) + b)
    found = run(lambda a: mb.batch_norm(x=a, mean=mean, variance=variance), x)
    close(found, (x - m) / np.sqrt(v + 1e-5))


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 5, 4)])
def test_instance_norm(shape: Any) -> None:
    x, gamma, beta = floats(*shape), floats(3, seed=1), floats(3, seed=2)
    found = run(lambda a: mb.instance_norm(x=a, gamma=gamma, beta=beta, epsilon=EPSILON), x)
    close(found, *onnx_run("InstanceNormalization", x, gamma, beta, epsilon=EPSILON), ulps=32)


@pytest.mark.parametrize("axes", [[-1], [2, 3], [1], [0, 2], [0, 1, 2, 3]])
def test_layer_norm(axes: Any) -> None:
    x = floats(2, 3, 5, 4)
    over = tuple(a % 4 for a in axes)
    shape = tuple(x.shape[a] for a in over)
    gamma, beta = floats(*shape, seed=1), floats(*shape, seed=2)
    found = run(lambda a: mb.layer_norm(x=a, gamma=gamma, beta=beta, epsilon=EPSILON, axes=axes), x)
    wide = [n if a in over else 1 for a, n in enumerate(x.shape)]
    y = x.astype(np.float64)
    y = (y - y.mean(over, keepdims=True)) / np.sqrt(y.var(over, keepdims=True) + EPSILON)
    close(found, y * gamma.reshape(wide) + beta.reshape(wide), ulps=32)


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
def test_l2_norm(shape: Any) -> None:
    x = floats(*shape)
    sums = np.square(x.astype(np.float64)).sum((-3, -2, -1), keepdims=True)
    close(run(lambda a: mb.l2_norm(x=a, epsilon=EPSILON), x), x / np.sqrt(sums + EPSILON))


@pytest.mark.parametrize("size", [3, 5])
def test_local_response_norm(size: int) -> None:
    x = floats(2, 7, 4, 5)
    found = run(lambda a: mb.local_response_norm(x=a, size=size, alpha=0.5, beta=0.6, k=1.5), x)
    close(found, *onnx_run("LRN", x, size=size, alpha=0.5, beta=0.6, bias=1.5), ulps=32)
