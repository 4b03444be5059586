"""What every session does the same way: checked feeds, one run at a time, a context manager."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import SessionClosed, ShapeMismatch
from edgeskin.runtimes import TensorSpec


class BaseSession:
    """Fill in `inputs`, `outputs`, `runtime`, `_run` and `_close`; see `runtimes.Session`.

    Threads may share a session: they run one after the other, and `close` waits for the run.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runtime: str
    native = True

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_closed = False

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once.

        Raises:
            ShapeMismatch: A missing, unknown or misshapen input.
            SessionClosed: `close` was called.
        """
        check_feeds(self.inputs, feeds)
        with self._open():
            return self._run(feeds)

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raise NotImplementedError

    @contextmanager
    def _open(self) -> Iterator[None]:
        """For one thread at a time; raises SessionClosed."""
        with self._lock:
            if self._is_closed:
                raise SessionClosed("the model was closed; load it again to run it")
            yield

    def close(self) -> None:
        """Let go of the model; the session cannot run afterwards."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._close()

    def _close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_feeds(inputs: tuple[TensorSpec, ...], feeds: Mapping[str, NDArray[Any]]) -> None:
    """Compare names, dtypes and shapes; a dimension of -1 takes any size."""
    names = {spec.name for spec in inputs}
    if feeds.keys() != names:
        raise ShapeMismatch(f"the model takes {sorted(names)}, it was fed {sorted(feeds)}")
    for spec in inputs:
        array = feeds[spec.name]
        fits = len(array.shape) == len(spec.shape) and all(
            want in (-1, got) for want, got in zip(spec.shape, array.shape, strict=True)
        )
        if not fits or array.dtype != np.dtype(spec.dtype):
            raise ShapeMismatch(
                f"input {spec.name} is {spec.dtype} {spec.shape}, "
                f"it was fed {array.dtype} {array.shape}"
            )
