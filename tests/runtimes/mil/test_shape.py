"""Operators that change shapes and order, against NumPy and ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import IOS16, close, floats, integers, run
from onnx_operator import onnx_run


def same(found: Any, *expected: Any) -> None:
    """These operators move values: not one bit changes."""
    close(found, *expected, ulps=0)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ([0], (1, 3, 4)),
        ([-1], (3, 4, 1)),
        ([1, -1], (3, 1, 4, 1)),
        ([2, 0], (1, 3, 1, 4)),
    ],
)
def test_expand_dims(axes: Any, shape: Any) -> None:
    x = floats(3, 4)
    same(run(lambda a: mb.expand_dims(x=a, axes=axes), x), x.reshape(shape))


@pytest.mark.parametrize(("axes", "shape"), [([0], (3, 1, 4)), ([0, -2], (3, 4)), (None, (3, 4))])
def test_squeeze(axes: Any, shape: Any) -> None:
    x, options = floats(1, 3, 1, 4), {} if axes is None else {"axes": axes}
    same(run(lambda a: mb.squeeze(x=a, **options), x), x.reshape(shape))


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        ([6, 10], (6, 10)),
        ([-1, 5], (12, 5)),
        ([0, -1], (4, 15)),
        ([1, 0, -1, 0], (1, 3, 4, 5)),
        ([3, 4, 0], (3, 4, 5)),
    ],
)
def test_reshape_counts_axes_from_the_right_for_a_zero(shape: Any, want: Any) -> None:
    x = floats(3, 4, 5)
    same(run(lambda a: mb.reshape(x=a, shape=shape), x), x.reshape(want))


def test_reshape_to_a_computed_shape() -> None:
    x, like = floats(3, 4), floats(2, 6)
    same(run(lambda a, b: mb.reshape(x=a, shape=mb.shape(x=b)), x, like), x.reshape(2, 6))


def test_shape() -> None:
    same(run(lambda a: mb.add(x=mb.shape(x=a), y=np.int32(0)), floats(3, 1, 7)), [3, 1, 7])


def test_reshape_like() -> None:
    x, first, second = floats(30), floats(2, 3, 7), floats(9, 5)
    found = run(
        lambda a, b, c: mb.reshape_like(
            x=a, ref_tensors=(b, c), begins=(0, 1), ends=(2, 0), end_masks=(False, True)
        ),
        x,
        first,
        second,
    )
    same(found, x.reshape(2, 3, 5))
    same(
        run(
            lambda a, b: mb.reshape_like(
                x=a, ref_tensors=(b,), begins=(0,), ends=(2,), end_masks=(False,)
            ),
            floats(6),
            first,
        ),
        floats(6).reshape(2, 3),
    )


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_flatten2d(axis: int) -> None:
    x = floats(2, 3, 4)
    want = x.reshape(int(np.prod(x.shape[:axis])), -1)
    same(run(lambda a: mb.flatten2d(x=a, axis=axis), x), want)


@pytest.mark.parametrize("perm", [(2, 0, 1), (-1, 1, 0)])
def test_transpose(perm: Any) -> None:
    x = floats(2, 3, 4)
    same(run(lambda a: mb.transpose(x=a, perm=perm), x), x.transpose(perm))


@pytest.mark.parametrize("axes", [[0], [1, -1], None])
def test_reverse(axes: Any) -> None:
    x, options = floats(2, 3, 4), {} if axes is None else {"axes": axes}
    same(
        run(lambda a: mb.reverse(x=a, **options), x),
        np.flip(x, None if axes is None else tuple(axes)),
    )


@pytest.mark.parametrize(("time", "batch"), [(1, 0), (0, 1), (2, 0)])
def test_reverse_sequence(time: int, batch: int) -> None:
    x = floats(4, 4, 5)
    lengths = np.int32([1, 3, 4, 2])
    found = run(
        lambda a: mb.reverse_sequence(x=a, lengths=lengths, seq_axis=time, batch_axis=batch), x
    )
    want = x.copy()
    for row, n in enumerate(lengths):
        part = np.moveaxis(want, (batch, time), (0, 1))[row]  # a view
        part[:n] = part[:n][::-1].copy()
    same(found, want)


def test_blocks_of_depth_and_space() -> None:
    x, y = floats(1, 12, 2, 3), floats(1, 3, 4, 6)
    same(
        run(lambda a: mb.depth_to_space(x=a, block_size=2), x),
        *onnx_run("DepthToSpace", x, blocksize=2, mode="DCR"),
    )
    same(
        run(lambda a: mb.pixel_shuffle(x=a, upscale_factor=2), x),
        *onnx_run("DepthToSpace", x, blocksize=2, mode="CRD"),
    )
    same(
        run(lambda a: mb.space_to_depth(x=a, block_size=2), y),
        *onnx_run("SpaceToDepth", y, blocksize=2),
    )


def test_pixel_unshuffle_undoes_pixel_shuffle() -> None:
    y = floats(1, 3, 4, 6)
    (found,) = run(lambda a: mb.pixel_unshuffle(x=a, downscale_factor=np.uint32(2)), y)
    same(onnx_run("DepthToSpace", found, blocksize=2, mode="CRD"), y)


def test_blocks_of_batch_and_space() -> None:
    """Each image of the batch holds every second row and third column of the padded one."""
    x = floats(2, 3, 5, 4)
    found = run(lambda a: mb.space_to_batch(x=a, block_shape=[2, 3], paddings=[[1, 0], [0, 2]]), x)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2)])
    want = np.concatenate([padded[:, :, i::2, j::3] for i in range(2) for j in range(3)])
    same(found, want)
    back = run(lambda a: mb.batch_to_space(x=a, block_shape=[2, 3], crops=[[1, 0], [0, 2]]), want)
    same(back, x)


@pytest.mark.parametrize(("axis", "size", "stride"), [(1, 3, 2), (0, 2, 1), (-1, 4, 3)])
def test_sliding_windows(axis: int, size: int, stride: int) -> None:
    x = floats(3, 7, 10)
    found = run(lambda a: mb.sliding_windows(x=a, axis=axis, size=size, stride=stride), x)
    count = (x.shape[axis] - size) // stride + 1
    want = [np.take(x, range(i * stride, i * stride + size), axis) for i in range(count)]
    same(found, np.stack(want, axis % 3))


@pytest.mark.parametrize("opset", [IOS16])
def test_moving_integers_keeps_them_integers(opset: Any) -> None:
    (found,) = run(lambda a: mb.transpose(x=a, perm=(1, 0)), integers(2, 3), opset=opset)
    assert found.dtype == np.int32
