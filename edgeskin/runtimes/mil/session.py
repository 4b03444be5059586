"""Core ML packages executed by their own program, on any system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.coreml.package import Package
from edgeskin.runtimes import BaseSession, check_feeds
from edgeskin.runtimes.mil.features import Features, read_features
from edgeskin.runtimes.mil.parse import Variable, read_program
from edgeskin.runtimes.mil.plan import Arithmetic, make_plan


class MilSession(BaseSession):
    """An ML Program, run by PyTorch as the meaning of MIL says; not what an Apple device computes.

    Images are fed as uint8 RGB (1, H, W, 3), or gray (1, H, W, 1), as on the
    other runtimes. A classifier gives its label as an array of shape (), and
    probabilities in the order of `classes`.
    """

    native = False

    def __init__(self, path: Path, arithmetic: Arithmetic = "as_saved", threads: int = 1):
        super().__init__()
        package = Package.open(path)
        model = package.read_model()
        with _refusing(path):
            self._features: Features = read_features(model, read_program(model, package))
            self._plan = make_plan(self._features.program, arithmetic)
        self._threads = threads
        self.arithmetic = arithmetic
        self.program = self._features.program
        self.inputs, self.outputs = self._features.inputs, self._features.outputs
        self.classes = self._features.classes
        whole = ", every float in float32" if arithmetic == "full" else ""
        self.runtime = f"MIL semantics, not an Apple device (PyTorch {torch.__version__}{whole})"

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with _torch(self._threads):
            return self._features.results(self._plan.run(self._features.values(feeds)))

    def inner(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every tensor that a run computes, by its name in the program, in that order.

        Constants are left out. A tensor has the type that the program declares
        (int8 activations are integers, float16 are float16), or float32 for
        each float where the arithmetic is "full".

        Raises:
            ShapeMismatch, SessionClosed: As for `run`.
        """
        check_feeds(self.inputs, feeds)
        with self._open(), _torch(self._threads):
            given = self._features.values(feeds)
            return {
                variable.name: self._array(value, variable)
                for variable, value in self._plan.trace(given)
            }

    def _close(self) -> None:
        del self._plan

    def _array(self, value: torch.Tensor, variable: Variable) -> NDArray[Any]:
        assert variable.type is not None
        dtype = variable.type.dtype
        if dtype.startswith("float"):
            dtype = dtype if self.arithmetic == "as_saved" else "float32"
        return np.array(value.numpy(), dtype)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """What a damaged message trips over, by whatever name, is InvalidArtifact."""
    try:
        yield
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        why = (str(error).strip() or repr(error)).splitlines()[0]
        raise InvalidArtifact(f"{path} holds a damaged program: {why}") from error


@contextmanager
def _torch(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
