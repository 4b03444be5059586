"""Timing leaves the process as it found it."""

from __future__ import annotations

import gc

import pytest

from edgeskin.timing import interleave


def _fails() -> None:
    raise ZeroDivisionError("in the middle of a turn")


def test_the_garbage_collector_is_on_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError, match="middle of a turn"):
        interleave({"one": _fails}, rounds=1, warmup=0)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        interleave({"one": int}, rounds=1, warmup=0)
        assert not gc.isenabled()
    finally:
        gc.enable()
