"""Timing leaves the process as it found it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from edgeskin.timing import interleave


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    yield
    gc.enable()


def test_the_garbage_collector_is_on_again_after_an_error() -> None:
    def broken() -> None:
        assert not gc.isenabled()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interleave({"broken": broken}, rounds=1, warmup=0)
    assert gc.isenabled()


def test_a_garbage_collector_that_was_off_stays_off() -> None:
    gc.disable()
    found = interleave({"works": lambda: None}, rounds=2, warmup=1)
    assert len(found["works"]["cpu_ms"]) == 2
    assert not gc.isenabled()
