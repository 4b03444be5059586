"""Reductions and sorting against NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import close, floats, integers, run
from scipy import special

REDUCE: dict[str, Any] = {
    "reduce_l1_norm": lambda x, **o: np.abs(x).sum(**o),
    "reduce_l2_norm": lambda x, **o: np.sqrt(np.square(x).sum(**o)),
    "reduce_log_sum": lambda x, **o: np.log(x.sum(**o)),
    "reduce_log_sum_exp": lambda x, **o: special.logsumexp(x, **o),
    "reduce_max": lambda x, **o: x.max(**o),
    "reduce_mean": lambda x, **o: x.mean(**o),
    "reduce_min": lambda x, **o: x.min(**o),
    "reduce_prod": lambda x, **o: x.prod(**o),
    "reduce_sum": lambda x, **o: x.sum(**o),
    "reduce_sum_square": lambda x, **o: np.square(x).sum(**o),
}


@pytest.mark.parametrize("name", REDUCE)
@pytest.mark.parametrize("axes", [[1], [0, -1], None])
@pytest.mark.parametrize("keep", [True, False])
def test_reduce(name: str, axes: Any, keep: bool) -> None:
    x = np.abs(floats(3, 4, 5)) + 0.1
    options = {} if axes is None else {"axes": axes}
    found = run(lambda a: getattr(mb, name)(x=a, keep_dims=keep, **options), x)
    over = None if axes is None else tuple(axes)
    close(found, REDUCE[name](x.astype(np.float64), axis=over, keepdims=keep), ulps=32)


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min", "reduce_sum", "reduce_prod"])
def test_reduce_of_integers(name: str) -> None:
    x = integers(3, 4, low=-5, high=6)
    close(run(lambda a: getattr(mb, name)(x=a, axes=[1]), x), REDUCE[name](x, axis=1))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [0, -1])
def test_reduce_arg_gives_the_first_of_equal_values(name: str, axis: int) -> None:
    x = np.round(floats(6, 7))
    found = run(lambda a: getattr(mb, f"reduce_{name}")(x=a, axis=axis, keep_dims=True), x)
    close(found, getattr(np, name)(x, axis, keepdims=True))
    assert found[0].dtype == np.int32


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
def test_cumsum(axis: int, exclusive: bool, reverse: bool) -> None:
    x = integers(4, 5)
    found = run(lambda a: mb.cumsum(x=a, axis=axis, exclusive=exclusive, reverse=reverse), x)
    y = np.flip(x, axis) if reverse else x
    y = np.cumsum(y, axis) - (y if exclusive else 0)
    close(found, np.flip(y, axis) if reverse else y)


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("axis", [0, 1])
def test_argsort_is_stable(ascending: bool, axis: int) -> None:
    x = np.round(floats(6, 9))
    found = run(lambda a: mb.argsort(x=a, axis=axis, ascending=ascending), x)
    close(found, np.argsort(x if ascending else -x, axis, kind="stable"))


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize(("k", "axis"), [(2, 0), (4, -1), (6, 1)])
def test_topk(ascending: bool, k: int, axis: int) -> None:
    x = floats(5, 6)
    found = run(lambda a: mb.topk(x=a, k=k, axis=axis, ascending=ascending), x)
    order = np.argsort(x if ascending else -x, axis, kind="stable")
    order = np.take(order, range(k), axis)
    close(found, np.take_along_axis(x, order, axis), order)
    values = run(
        lambda a: mb.topk(x=a, k=k, axis=axis, ascending=ascending, return_indices=False), x
    )
    close(values, found[0])
