"""Integers to real numbers and back, and constants stored small, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import types
from mil_programs import IOS16, IOS18, close, floats, integers, run


def read(constant: Any, dtype: Any = np.float32) -> Any:
    """Add a constant to zeros of its shape, so that the program has an input."""
    return lambda a: mb.add(x=a, y=constant())


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("zero", [None, 5])
def test_quantize_rounds_half_to_even_and_saturates(dtype: str, zero: int | None) -> None:
    x = np.float32([-1000, -0.75, -0.25, 0.25, 0.75, 1.25, 60.1, 1000])  # halves, at a scale of 0.5
    options = {} if zero is None else {"zero_point": np.dtype(dtype).type(zero)}
    found = run(
        lambda a: mb.quantize(input=a, scale=np.float32(0.5), output_dtype=dtype, **options), x
    )
    info = np.iinfo(dtype)
    want = np.clip(np.rint(x / 0.5) + (zero or 0), info.min, info.max).astype(dtype)
    close(found, want)
    assert found[0].dtype == dtype


@pytest.mark.parametrize("axis", [0, -1])
def test_quantize_and_dequantize_by_channel(axis: int) -> None:
    x, scale = floats(4, 3, 4), np.abs(floats(4, seed=1)) / 20 + 0.01
    zero = integers(4, dtype=np.int8)
    wide = (-1, 1, 1) if axis == 0 else (1, 1, -1)
    s, z = scale.reshape(wide), zero.reshape(wide).astype(np.float32)
    (found,) = run(
        lambda a: mb.quantize(
            input=a, scale=scale, zero_point=zero, axis=axis, output_dtype="int8"
        ),
        x,
    )
    np.testing.assert_array_equal(found, np.clip(np.rint(x / s) + z, -128, 127))
    back = run(lambda a: mb.dequantize(input=a, scale=scale, zero_point=zero, axis=axis), found)
    close(back, s * (found.astype(np.float64) - z))


@pytest.mark.parametrize("scale", [np.float32(0.03), np.float16(0.03)])
def test_dequantize_of_every_int8(scale: Any) -> None:
    x = np.arange(-128, 128, dtype=np.int8)
    found = run(lambda a: mb.dequantize(input=a, scale=scale), x)
    close(found, (x.astype(np.float32) * np.float32(scale)).astype(scale.dtype), ulps=0)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_constexpr_affine_dequantize(dtype: Any, kind: Any) -> None:
    data, scale = integers(3, 4, 5, low=0, high=100, dtype=dtype), np.abs(floats(4, dtype=kind))
    zero = integers(4, low=0, high=9, dtype=dtype)
    found = run(
        read(
            lambda: mb.constexpr_affine_dequantize(
                quantized_data=data, zero_point=zero, scale=scale, axis=1
            )
        ),
        np.zeros((3, 4, 5), kind),
        opset=IOS16,
    )
    steps = data.astype(np.float64) - zero.reshape(4, 1)
    close(found, (steps * scale.reshape(4, 1)).astype(kind), ulps=1 if kind is np.float32 else 0)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_constexpr_lut_to_dense_of_packed_indices(bits: int) -> None:
    lut, shape = floats(2**bits), (3, 5, 7)
    indices = np.random.default_rng(0).integers(0, 2**bits, 105).astype(np.uint8)
    found = run(
        read(
            lambda: mb.constexpr_lut_to_dense(
                indices=_packed(indices, bits), lut=lut, shape=np.uint32(shape)
            )
        ),
        np.zeros(shape, np.float32),
        opset=IOS16,
    )
    close(found, lut[indices].reshape(shape), ulps=0)


def test_constexpr_sparse_to_dense_of_a_packed_mask() -> None:
    keep = np.random.default_rng(0).random(35) < 0.4
    values = floats(int(keep.sum()))
    found = run(
        read(
            lambda: mb.constexpr_sparse_to_dense(
                nonzero_data=values, mask=_packed(keep.astype(np.uint8), 1), shape=np.uint32([5, 7])
            )
        ),
        np.zeros((5, 7), np.float32),
        opset=IOS16,
    )
    want = np.zeros(35, np.float32)
    want[keep] = values
    close(found, want.reshape(5, 7), ulps=0)


def _packed(values: Any, bits: int) -> Any:
    """Lowest bit first, across bytes; integer arithmetic on one large number."""
    number = sum(int(v) << (bits * i) for i, v in enumerate(values))
    return np.frombuffer(number.to_bytes((len(values) * bits + 7) // 8, "little"), np.uint8)


@pytest.mark.parametrize("opset", [IOS16, IOS18])
def test_constexpr_cast(opset: Any) -> None:
    x = floats(40, dtype=np.float16)  # enough values for the weights file
    found = run(
        read(lambda: mb.constexpr_cast(source_val=x, output_dtype="fp32")),
        np.zeros(40, np.float32),
        opset=opset,
    )
    close(found, x.astype(np.float32), ulps=0)


INTEGERS = {
    "uint1": types.np_uint1_dtype,
    "uint2": types.np_uint2_dtype,
    "uint3": types.np_uint3_dtype,
    "uint4": types.np_uint4_dtype,
    "uint6": types.np_uint6_dtype,
    "int4": types.np_int4_dtype,
}


@pytest.mark.parametrize("dtype", ["uint1", "uint2", "uint3", "uint4", "uint6"])
@pytest.mark.parametrize("groups", [(1, 1, 1), (3, 1, 1), (1, 2, 1)])
def test_constexpr_lut_to_dense_with_tables_for_blocks(dtype: str, groups: Any) -> None:
    bits = int(dtype.removeprefix("uint"))
    indices = np.random.default_rng(0).integers(0, 2**bits, (6, 4, 5)).astype(np.uint8)
    lut = floats(*groups, 2**bits, 1)
    found = run(
        read(lambda: mb.constexpr_lut_to_dense(indices=indices.astype(INTEGERS[dtype]), lut=lut)),
        np.zeros((6, 4, 5), np.float32),
        opset=IOS18,
    )
    want = np.empty((6, 4, 5), np.float32)
    for place in np.ndindex(6, 4, 5):
        table = tuple(p * g // n for p, g, n in zip(place, groups, (6, 4, 5), strict=True))
        want[place] = lut[table][indices[place], 0]
    close(found, want, ulps=0)


@pytest.mark.parametrize("axis", [0, 1])
def test_constexpr_lut_to_dense_of_vectors(axis: int) -> None:
    indices = np.random.default_rng(0).integers(0, 4, (4, 5)).astype(np.uint8)
    lut = floats(1, 1, 4, 3)
    shape = (12, 5) if axis == 0 else (4, 15)
    found = run(
        read(
            lambda: mb.constexpr_lut_to_dense(
                indices=indices.astype(INTEGERS["uint2"]), lut=lut, vector_axis=axis
            )
        ),
        np.zeros(shape, np.float32),
        opset=IOS18,
    )
    want = np.empty(shape, np.float32)
    for i, j in np.ndindex(4, 5):
        part = np.s_[3 * i : 3 * i + 3, j] if axis == 0 else np.s_[i, 3 * j : 3 * j + 3]
        want[part] = lut[0, 0, indices[i, j]]
    close(found, want, ulps=0)


@pytest.mark.parametrize("dtype", ["int4", "uint4", "int8", "uint8"])
@pytest.mark.parametrize("blocks", [(1, 1), (3, 1), (6, 2), (6, 10)])
def test_constexpr_blockwise_shift_scale(dtype: str, blocks: Any) -> None:
    low, high = (-8, 8) if dtype == "int4" else (0, 16)
    data, offset = integers(6, 10, low=low, high=high), integers(*blocks, low=low + 3, high=high)
    kind = INTEGERS.get(dtype, np.dtype(dtype))
    scale = np.abs(floats(*blocks))
    found = run(
        read(
            lambda: mb.constexpr_blockwise_shift_scale(
                data=data.astype(kind), scale=scale, offset=offset.astype(kind)
            )
        ),
        np.zeros((6, 10), np.float32),
        opset=IOS18,
    )
    ones = np.ones((6 // blocks[0], 10 // blocks[1]))
    close(found, np.kron(scale, ones) * (data - np.kron(offset, ones)), ulps=1)


def _mask(*shape: int) -> Any:
    return np.random.default_rng(5).random(shape) < 0.5


def test_constexpr_sparse_to_dense_of_a_mask() -> None:
    keep = _mask(5, 7)
    values = floats(int(keep.sum()))
    found = run(
        read(
            lambda: mb.constexpr_sparse_to_dense(
                nonzero_data=values, mask=keep.astype(INTEGERS["uint1"])
            )
        ),
        np.zeros((5, 7), np.float32),
        opset=IOS18,
    )
    want = np.zeros((5, 7), np.float32)
    want[keep] = values
    close(found, want, ulps=0)


def test_constexpr_lut_to_sparse() -> None:
    keep, lut = _mask(5, 7), floats(1, 1, 4, 1)
    indices = np.random.default_rng(0).integers(0, 4, int(keep.sum())).astype(np.uint8)

    def build(a: Any) -> Any:
        mask, values = mb.constexpr_lut_to_sparse(
            indices_mask=keep.astype(INTEGERS["uint1"]),
            indices_nonzero_data=indices.astype(INTEGERS["uint2"]),
            lut=lut,
        )
        return mb.add(x=a, y=mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask))

    want = np.zeros((5, 7), np.float32)
    want[keep] = lut[0, 0, indices, 0]
    close(run(build, np.zeros((5, 7), np.float32), opset=IOS18), want, ulps=0)


def test_constexpr_sparse_blockwise_shift_scale() -> None:
    keep, scale = _mask(4, 6), np.abs(floats(4, 1)) + 0.1
    values = integers(int(keep.sum()), low=-8, high=8, dtype=np.int8)

    def build(a: Any) -> Any:
        mask, data = mb.constexpr_sparse_blockwise_shift_scale(
            data_mask=keep.astype(INTEGERS["uint1"]), nonzero_data=values, scale=scale
        )
        return mb.add(x=a, y=mb.constexpr_sparse_to_dense(nonzero_data=data, mask=mask))

    want = np.zeros((4, 6))
    want[keep] = values
    close(run(build, np.zeros((4, 6), np.float32), opset=IOS18), want * scale, ulps=1)
