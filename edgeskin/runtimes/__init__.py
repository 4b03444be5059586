"""What every runtime has in common: a session takes arrays by name and gives arrays by name.

The session of a format lies in its folder of `edgeskin.formats`; PyTorch's and the evaluator of
MIL, which Core ML's uses, lie here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import SessionClosed, ShapeMismatch

Kernels = Literal["fast", "reference"]


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output; `scale` and `zero_point` where it is quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


class Session(Protocol):
    """One artifact loaded on one runtime. Use as a context manager.

    `run` works once, synchronously, on one thread; the arrays it returns are
    copies the caller owns. The caller does the timing, where `native` says that
    the format's own runtime is at work: the time of any other means nothing.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runtime: str
    native: bool

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class BaseSession:
    """Fill in `inputs`, `outputs`, `runtime`, `_run` and `_close`; see `Session`.

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
        """Hold the session for one thread at a time; raises SessionClosed."""
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
