"""Reading and writing by index, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import close, floats, integers, run

from edgeskin.errors import InvalidArtifact

MODES: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "update": lambda _, new: new,
}


@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather(shape: Any, axis: int) -> None:
    x, at = floats(5, 6, 7), integers(*shape, low=0, high=5)
    close(run(lambda a: mb.gather(x=a, indices=at, axis=axis), x), np.take(x, at, axis), ulps=0)


def test_gather_in_batches_and_from_the_end() -> None:
    x, at = floats(2, 5, 3), integers(2, 4, low=-5, high=5)
    found = run(lambda a, b: mb.gather(x=a, indices=b, axis=1, batch_dims=1), x, at)
    close(found, np.stack([x[i][at[i]] for i in range(2)]), ulps=0)


def test_gather_outside_names_the_operator() -> None:
    with pytest.raises(InvalidArtifact, match=r"gather '.*' cannot run: an index lies outside"):
        run(lambda a, b: mb.gather(x=a, indices=b), floats(3, 2), np.int32([3]))


def test_gather_from_the_end_is_outside_where_indices_are_validated() -> None:
    with pytest.raises(InvalidArtifact, match="an index lies outside of an axis of 3"):
        run(
            lambda a, b: mb.gather(x=a, indices=b, validate_indices=True), floats(3), np.int32([-1])
        )


@pytest.mark.parametrize("axis", [0, -1])
def test_gather_along_axis(axis: int) -> None:
    x, at = floats(4, 5), integers(4, 5, low=0, high=4)
    found = run(lambda a, b: mb.gather_along_axis(x=a, indices=b, axis=axis), x, at)
    close(found, np.take_along_axis(x, at, axis), ulps=0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gather_nd(depth: int) -> None:
    x, at = floats(4, 5, 6), integers(3, 2, depth, low=0, high=4)
    found = run(lambda a, b: mb.gather_nd(x=a, indices=b), x, at)
    close(found, x[tuple(np.moveaxis(at, -1, 0))], ulps=0)


def test_gather_nd_in_batches() -> None:
    x, at = floats(2, 5, 6), integers(2, 3, 1, low=0, high=5)
    found = run(lambda a, b: mb.gather_nd(x=a, indices=b, batch_dims=1), x, at)
    close(found, np.stack([x[i][at[i, :, 0]] for i in range(2)]), ulps=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axis", [0, 1])
def test_scatter(mode: str, axis: int) -> None:
    data, at = floats(5, 5), np.int32([3, 0])
    updates = floats(2, 5, seed=1) if axis == 0 else floats(5, 2, seed=1)
    found = run(
        lambda a, b, c: mb.scatter(data=a, indices=b, updates=c, axis=axis, mode=mode),
        data,
        at,
        updates,
    )
    want, index = data.copy(), (at,) if axis == 0 else (slice(None), at)
    want[index] = MODES[mode](data[index], updates)
    close(found, want)


@pytest.mark.parametrize("mode", MODES)
def test_scatter_along_axis(mode: str) -> None:
    data, updates = floats(4, 5), floats(2, 5, seed=1)
    at = np.stack([np.random.default_rng(i).permutation(4)[:2] for i in range(5)], 1)
    found = run(
        lambda a, b, c: mb.scatter_along_axis(data=a, indices=b, updates=c, mode=mode),
        data,
        at.astype(np.int32),
        updates,
    )
    want = data.copy()
    np.put_along_axis(want, at, MODES[mode](np.take_along_axis(data, at, 0), updates), 0)
    close(found, want)


@pytest.mark.parametrize("mode", MODES)
def test_scatter_nd(mode: str) -> None:
    data, at, updates = floats(3, 4, 2), np.int32([[0, 1], [2, 3], [1, 0]]), floats(3, 2, seed=1)
    found = run(
        lambda a, b, c: mb.scatter_nd(data=a, indices=b, updates=c, mode=mode), data, at, updates
    )
    want, index = data.copy(), tuple(at.T)
    want[index] = MODES[mode](data[index], updates)
    close(found, want)


def test_scatter_nd_adds_up_where_indices_repeat() -> None:
    data, at = np.zeros(4, np.float32), np.int32([[1], [1], [3]])
    found = run(
        lambda a, b, c: mb.scatter_nd(data=a, indices=b, updates=c, mode="add"),
        data,
        at,
        np.float32([1, 2, 4]),
    )
    close(found, np.float32([0, 3, 0, 4]), ulps=0)
