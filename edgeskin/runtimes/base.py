"""What every session does the same way: checked feeds, a context manager."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import ShapeMismatch
from edgeskin.runtimes import TensorSpec


class BaseSession:
    """Fill in `inputs`, `outputs`, `runtime` and `_run`; see `runtimes.Session`."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runtime: str
    native = True

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; raises ShapeMismatch for a missing, unknown or misshapen input."""
        check_feeds(self.inputs, feeds)
        return self._run(feeds)

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the model; the session cannot run afterwards."""

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
