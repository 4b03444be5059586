"""Pools against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import close, floats, run
from onnx_operator import onnx_run

SIZES = {1: (11,), 2: (9, 8), 3: (5, 6, 7)}
KERNELS = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}
PAIRS = [("valid", "VALID"), ("same", "SAME_UPPER"), ("same_lower", "SAME_LOWER")]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("pad_type", "auto"), PAIRS)
def test_max_pool(rank: int, pad_type: str, auto: str) -> None:
    x, kernel, strides = floats(2, 3, *SIZES[rank]), KERNELS[rank], [2] * rank
    found = run(
        lambda a: mb.max_pool(x=a, kernel_sizes=kernel, strides=strides, pad_type=pad_type), x
    )
    close(
        found, *onnx_run("MaxPool", x, kernel_shape=kernel, strides=strides, auto_pad=auto), ulps=0
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("pad_type", "auto"), PAIRS)
@pytest.mark.parametrize("exclude", [True, False])
def test_avg_pool(rank: int, pad_type: str, auto: str, exclude: bool) -> None:
    x, kernel, strides = floats(2, 3, *SIZES[rank]), KERNELS[rank], [2] * rank
    found = run(
        lambda a: mb.avg_pool(
            x=a,
            kernel_sizes=kernel,
            strides=strides,
            pad_type=pad_type,
            exclude_padding_from_average=exclude,
        ),
        x,
    )
    want = onnx_run(
        "AveragePool",
        x,
        kernel_shape=kernel,
        strides=strides,
        auto_pad=auto,
        count_include_pad=0 if exclude else 1,
    )
    close(found, *want)


@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize("pad", [(0, 0, 0, 0), (1, 1, 1, 1)])
@pytest.mark.parametrize("size", [(8, 9), (7, 10)])
def test_pools_with_ceil_mode_and_padding(ceil: bool, pad: Any, size: Any) -> None:
    """As in PyTorch, whose ceil mode MIL takes over; ONNX Runtime has it too."""
    x = floats(1, 2, *size)
    options = {
        "kernel_sizes": (3, 3),
        "strides": (2, 2),
        "pad_type": "custom",
        "pad": pad,
        "ceil_mode": ceil,
    }
    names = {
        "kernel_shape": (3, 3),
        "strides": (2, 2),
        "pads": [pad[0], pad[2], pad[1], pad[3]],
        "ceil_mode": int(ceil),
    }
    close(run(lambda a: mb.max_pool(x=a, **options), x), *onnx_run("MaxPool", x, **names), ulps=0)
    close(
        run(lambda a: mb.avg_pool(x=a, exclude_padding_from_average=True, **options), x),
        *onnx_run("AveragePool", x, count_include_pad=0, **names),
    )


def test_avg_pool_counts_the_padding_but_not_what_lies_behind_it() -> None:
    x = np.ones((1, 1, 4), np.float32)
    found = run(
        lambda a: mb.avg_pool(
            x=a, kernel_sizes=(4,), strides=(3,), pad_type="custom", pad=(1, 1), ceil_mode=True
        ),
        x,
    )
    # Windows: pad 1 1 1 | 1 1 pad (behind): three ones of four, then two of three.
    close(found, np.float32([[[3 / 4, 2 / 3]]]))


@pytest.mark.parametrize("rank", [1, 2])
def test_l2_pool(rank: int) -> None:
    x, kernel = floats(1, 2, *SIZES[rank]), KERNELS[rank]
    found = run(
        lambda a: mb.l2_pool(x=a, kernel_sizes=kernel, strides=[2] * rank, pad_type="valid"), x
    )
    close(found, *onnx_run("LpPool", x, kernel_shape=kernel, strides=[2] * rank, p=2))
