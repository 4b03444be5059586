"""Convolutions and products of matrices, against ONNX Runtime and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import IOS18, close, floats, integers, run
from onnx_operator import onnx_run

# Sums of up to 3 * 3 * 6 products: rounding errors of their own order in each implementation.
ULPS = 64


@pytest.mark.parametrize("size", [(9, 7), (8, 11)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 5)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("pad_type", ["valid", "same", "same_lower"])
def test_conv_by_padding_rule(size: Any, kernel: Any, strides: Any, pad_type: str) -> None:
    x, w, b = floats(1, 3, *size), floats(4, 3, *kernel, seed=1), floats(4, seed=2)
    found = run(lambda a: mb.conv(x=a, weight=w, bias=b, pad_type=pad_type, strides=strides), x)
    auto = {"valid": "VALID", "same": "SAME_UPPER", "same_lower": "SAME_LOWER"}[pad_type]
    close(found, *onnx_run("Conv", x, w, b, auto_pad=auto, strides=strides), ulps=ULPS)


@pytest.mark.parametrize(
    ("pad_type", "pads"), [("same", [2, 1, 2, 2]), ("same_lower", [2, 2, 2, 1])]
)
def test_conv_with_dilation(pad_type: str, pads: Any) -> None:
    x, w = floats(1, 3, 9, 8), floats(4, 3, 3, 2, seed=1)  # reaches over 5 rows, 4 columns
    found = run(lambda a: mb.conv(x=a, weight=w, pad_type=pad_type, dilations=(2, 3)), x)
    close(found, *onnx_run("Conv", x, w, pads=pads, dilations=(2, 3)), ulps=ULPS)


@pytest.mark.parametrize("pad", [(0, 0, 0, 0), (1, 1, 2, 2), (0, 1, 2, 0)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_conv_with_custom_padding_and_groups(pad: Any, groups: int) -> None:
    x, w = floats(2, 6, 7, 5), floats(12, 6 // groups, 3, 2, seed=1)
    found = run(lambda a: mb.conv(x=a, weight=w, pad_type="custom", pad=pad, groups=groups), x)
    begins_and_ends = [pad[0], pad[2], pad[1], pad[3]]
    close(found, *onnx_run("Conv", x, w, pads=begins_and_ends, group=groups), ulps=ULPS)


@pytest.mark.parametrize("rank", [1, 3])
def test_conv_of_other_ranks(rank: int) -> None:
    x, w = floats(1, 2, *(6, 5, 7)[:rank]), floats(3, 2, *(2, 3, 2)[:rank], seed=1)
    pad = (1, 0) * rank
    found = run(lambda a: mb.conv(x=a, weight=w, pad_type="custom", pad=pad), x)
    close(found, *onnx_run("Conv", x, w, pads=[1] * rank + [0] * rank), ulps=ULPS)


@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("pad", [(0, 0, 0, 0), (1, 0, 1, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv_transpose(strides: Any, pad: Any, groups: int) -> None:
    x, w, b = floats(1, 4, 5, 3), floats(4, 3, 3, 4, seed=1), floats(3 * groups, seed=2)
    found = run(
        lambda a: mb.conv_transpose(
            x=a, weight=w, bias=b, pad_type="custom", pad=pad, strides=strides, groups=groups
        ),
        x,
    )
    want = onnx_run(
        "ConvTranspose",
        x,
        w,
        b,
        pads=[pad[0], pad[2], pad[1], pad[3]],
        strides=strides,
        group=groups,
    )
    close(found, *want, ulps=ULPS)


@pytest.mark.parametrize("rank", [1, 3])
def test_conv_transpose_of_other_ranks(rank: int) -> None:
    x, w = floats(1, 2, *(4, 3, 5)[:rank]), floats(2, 3, *(2, 3, 2)[:rank], seed=1)
    found = run(lambda a: mb.conv_transpose(x=a, weight=w, strides=[2] * rank), x)
    close(found, *onnx_run("ConvTranspose", x, w, strides=[2] * rank), ulps=ULPS)


def test_conv_transpose_same_gives_stride_times_the_input() -> None:
    x, w = floats(1, 2, 4, 5), floats(2, 3, 3, 3, seed=1)
    found = run(lambda a: mb.conv_transpose(x=a, weight=w, pad_type="same", strides=[2, 2]), x)
    want = onnx_run("ConvTranspose", x, w, auto_pad="SAME_UPPER", strides=[2, 2])
    close(found, *want, ulps=ULPS)


def test_conv_transpose_fills_a_larger_output_with_the_bias() -> None:
    x, w, b = floats(1, 2, 3, 4), floats(2, 3, 2, 2, seed=1), floats(3, seed=2)
    found = run(
        lambda a: mb.conv_transpose(
            x=a,
            weight=w,
            bias=b,
            pad_type="custom",
            pad=[0, 0, 0, 0],
            strides=[3, 3],
            output_shape=[1, 3, 9, 12],
        ),
        x,
    )
    want = onnx_run("ConvTranspose", x, w, b, strides=[3, 3], output_padding=[1, 1])
    close(found, *want, ulps=ULPS)


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_linear(shape: Any) -> None:
    x, w, b = floats(*shape), floats(7, 5, seed=1), floats(7, seed=2)
    close(
        run(lambda a: mb.linear(x=a, weight=w, bias=b), x),
        x.astype(np.float64) @ w.T + b,
        ulps=ULPS,
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((4, 3), (3, 5)),
        ((2, 1, 4, 3), (6, 3, 5)),
        ((3,), (3, 5)),
    ],
)
def test_matmul_broadcasts(first: Any, second: Any) -> None:
    x, y = floats(*first), floats(*second, seed=1)
    close(
        run(lambda a, b: mb.matmul(x=a, y=b), x, y), np.matmul(x.astype(np.float64), y), ulps=ULPS
    )


def test_matmul_transposed_and_of_integers() -> None:
    x, y = floats(2, 3, 4), floats(2, 5, 3, seed=1)
    found = run(lambda a, b: mb.matmul(x=a, y=b, transpose_x=True, transpose_y=True), x, y)
    close(found, np.einsum("bik,bji->bkj", x.astype(np.float64), y), ulps=ULPS)
    m, n = integers(3, 4), integers(4, 2)
    close(run(lambda a, b: mb.matmul(x=a, y=b), m, n), m @ n)


def test_a_constant_of_another_type_leaves_the_type_of_the_input() -> None:
    m, n = integers(3, 4), integers(4, 2)
    close(run(lambda a: mb.matmul(x=a, y=n.astype(np.float32)), m), m @ n)
    x = m.astype(np.float32)
    close(run(lambda a: mb.linear(x=a, weight=n.T, bias=n[0]), x), x @ n + n[0])


@pytest.mark.parametrize(
    ("equation", "first", "second"),
    [
        ("nchw,nwhu->nchu", (2, 3, 4, 5), (2, 5, 4, 6)),
        ("chw,whr->chr", (3, 4, 5), (5, 4, 6)),
    ],
)
def test_einsum(equation: str, first: Any, second: Any) -> None:
    x, y = floats(*first), floats(*second, seed=1)
    close(
        run(lambda a, b: mb.einsum(values=(a, b), equation=equation), x, y),
        np.einsum(equation, x.astype(np.float64), y),
        ulps=ULPS,
    )


@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_scaled_dot_product_attention(mask: str | None) -> None:
    q, k, v = floats(2, 3, 5, 4), floats(2, 3, 6, 4, seed=1), floats(2, 3, 6, 7, seed=2)
    keep = np.tri(5, 6, dtype=bool)
    added = {None: 0.0, "bool": np.where(keep, 0, -np.inf), "float": floats(5, 6, seed=3)}[mask]
    options = {} if mask is None else {"attn_mask": keep if mask == "bool" else added}
    found = run(
        lambda a, b, c: mb.scaled_dot_product_attention(query=a, key=b, value=c, **options),
        q,
        k,
        v,
        opset=IOS18,
    )
    scores = np.einsum("nhld,nhsd->nhls", q.astype(np.float64), k) / 2 + added
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    close(found, weights @ v, ulps=ULPS)
