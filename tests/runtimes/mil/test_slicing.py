"""Operators that take apart, put together and make tensors, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import IOS18, close, floats, integers, run


def same(found: Any, *expected: Any) -> None:
    close(found, *expected, ulps=0)


# begin, end, options, the same in NumPy
SLICES: list[tuple[Any, Any, dict[str, Any], Any]] = [
    ([1, 0, 2], [4, 3, 5], {}, np.s_[1:4, 0:3, 2:5]),
    ([0, 1, 0], [5, 6, 7], {"stride": [2, 3, 1]}, np.s_[0:5:2, 1:6:3, :]),
    ([-3, -6, 1], [-1, -1, -2], {}, np.s_[-3:-1, -6:-1, 1:-2]),
    ([4, 5, 0], [1, 0, 7], {"stride": [-1, -2, 1]}, np.s_[4:1:-1, 5:0:-2, 0:7]),
    (
        [4, 5, 6],
        [0, 0, 0],
        {"stride": [-1, -1, -1], "end_mask": [True, True, False]},
        np.s_[::-1, ::-1, 6:0:-1],
    ),
    ([3, 0, 2], [0, 6, 0], {"squeeze_mask": [True, False, True]}, np.s_[3, :, 2]),
    (
        [-1, 0, -2],
        [0, 0, 0],
        {
            "squeeze_mask": [True, False, True],
            "begin_mask": [False, True, False],
            "end_mask": [False, True, False],
        },
        np.s_[-1, :, -2],
    ),
]


@pytest.mark.parametrize(("begin", "end", "options", "index"), SLICES)
def test_slice_by_index(begin: Any, end: Any, options: dict[str, Any], index: Any) -> None:
    x = floats(5, 6, 7)
    same(run(lambda a: mb.slice_by_index(x=a, begin=begin, end=end, **options), x), x[index])


@pytest.mark.parametrize(("begin", "end", "options", "index"), SLICES[:5])
def test_slice_update(begin: Any, end: Any, options: dict[str, Any], index: Any) -> None:
    x, update = floats(5, 6, 7), floats(*np.zeros((5, 6, 7))[index].shape, seed=1)
    found = run(
        lambda a, b: mb.slice_update(x=a, update=b, begin=begin, end=end, **options),
        x,
        update,
        opset=IOS18,
    )
    x[index] = update
    same(found, x)


def test_slice_by_size() -> None:
    x = floats(5, 6, 7)
    found = run(lambda a: mb.slice_by_size(x=a, begin=[1, -4, 0], size=[2, 3, -1]), x)
    same(found, x[1:3, 2:5, :])


@pytest.mark.parametrize("axis", [0, -1])
def test_concat_and_stack(axis: int) -> None:
    x, y = floats(3, 4), floats(3, 4, seed=1)
    same(
        run(lambda a, b: mb.concat(values=(a, b, a), axis=axis), x, y),
        np.concatenate([x, y, x], axis),
    )
    same(run(lambda a, b: mb.stack(values=(a, b), axis=axis), x, y), np.stack([x, y], axis))
    found = run(lambda a, b: mb.concat(values=(a, b), axis=axis, interleave=True), x, y)
    want = np.empty((6, 4) if axis == 0 else (3, 8), np.float32)
    np.moveaxis(want, axis, 0)[0::2] = np.moveaxis(x, axis, 0)
    np.moveaxis(want, axis, 0)[1::2] = np.moveaxis(y, axis, 0)
    same(found, want)


def test_concat_with_a_constant() -> None:
    x, y = floats(1, 3), floats(1, 2, seed=1)
    same(run(lambda a: mb.concat(values=(y, a), axis=1), x), np.concatenate([y, x], 1))


@pytest.mark.parametrize("options", [{"num_splits": 3}, {"split_sizes": [1, 3, 2]}])
@pytest.mark.parametrize("axis", [0, -1])
def test_split(options: dict[str, Any], axis: int) -> None:
    x = floats(6, 6)
    at = np.cumsum(options.get("split_sizes", [2, 2, 2]))[:-1]
    same(run(lambda a: mb.split(x=a, axis=axis, **options), x), *np.split(x, at, axis))


@pytest.mark.parametrize(
    ("mode", "numpy_mode"),
    [("constant", "constant"), ("reflect", "reflect"), ("replicate", "edge")],
)
@pytest.mark.parametrize("pad", [[1, 2, 3, 0], [2, 1]])
def test_pad_of_the_last_axes(mode: str, numpy_mode: str, pad: Any) -> None:
    x = floats(2, 4, 5)
    found = run(lambda a: mb.pad(x=a, pad=pad, mode=mode, constant_val=0.5), x)
    ends = [(0, 0)] * (3 - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))
    options = {"constant_values": 0.5} if mode == "constant" else {}
    same(found, np.pad(x, ends, numpy_mode, **options))


@pytest.mark.parametrize(("lower", "upper"), [(0, -1), (-1, 0), (0, 0), (1, 2), (-1, -1)])
def test_band_part(lower: int, upper: int) -> None:
    x = floats(2, 5, 6)
    m, n = np.indices((5, 6))
    keep = ((lower < 0) | (m - n <= lower)) & ((upper < 0) | (n - m <= upper))
    same(run(lambda a: mb.band_part(x=a, lower=lower, upper=upper), x), x * keep)


def test_crop() -> None:
    x = floats(2, 3, 6, 7)
    found = run(lambda a: mb.crop(x=a, crop_height=[1, 2], crop_width=[0, 3]), x)
    same(found, x[:, :, 1:4, :4])


def test_fill_and_fill_like() -> None:
    x = floats(3, 4)
    same(run(lambda a: mb.fill(shape=mb.shape(x=a), value=1.5), x), np.full((3, 4), 1.5))
    same(run(lambda a: mb.fill_like(ref_tensor=a, value=-2.0), x), np.full((3, 4), -2.0))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis: int) -> None:
    x = integers(3, 2, low=0, high=5)
    found = run(
        lambda a: mb.one_hot(
            indices=a, one_hot_vector_size=5, axis=axis, on_value=2.0, off_value=-1.0
        ),
        x,
    )
    want = np.where(np.eye(5, dtype=bool)[x], 2.0, -1.0)
    same(found, np.moveaxis(want, -1, axis))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_range_1d(dtype: Any) -> None:
    end = np.array([13], dtype)
    found = run(lambda a: mb.range_1d(start=dtype(2), end=mb.squeeze(x=a), step=dtype(3)), end)
    same(found, np.arange(2, 13, 3, dtype))


def test_tile() -> None:
    x = floats(2, 3)
    same(run(lambda a: mb.tile(x=a, reps=[2, 3]), x), np.tile(x, (2, 3)))


def test_non_zero() -> None:
    x = np.float32([[0, 1, 0], [2, 0, 3]])
    same(run(lambda a: mb.non_zero(x=a), x), np.argwhere(x))
