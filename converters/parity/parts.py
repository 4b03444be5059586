"""A model file taken apart: its network, and parts of it that run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from edgeskin.converters.parity.layout import dequantize
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.errors import InvalidArtifact, NotSupportedHere, RunFailed
from edgeskin.formats import open_cutter, open_session
from edgeskin.formats.network import Tensor
from edgeskin.runtimes import Session

Array = NDArray[Any]


class Elsewhere(Protocol):
    """What runs files, and parts of them, in place of this machine's CPU.

    `simulated` and `title` name it to a program and to a person; with `in_half` it computes
    float32 in float16.
    """

    simulated: str
    title: str
    in_half: bool

    def open(self, path: Path) -> Session: ...


class Parts:
    """A file of one input, and sessions of its parts. Use as a context manager.

    Raises:
        InvalidArtifact: A type that cannot be taken apart, compiled, or other than one input.
    """

    def __init__(self, file: OpenedFile, elsewhere: Elsewhere | None = None):
        self.elsewhere = elsewhere
        self._open = elsewhere.open if elsewhere else open_session
        if file.network.is_compiled:
            raise InvalidArtifact(
                f"{file.path.name} is compiled, and its layers cannot be taken apart: pass the "
                "file that it was compiled from"
            )
        self.path, self.network = file.path, file.network
        self.cutter = open_cutter(self.path, self.network)
        if len(self.network.inputs) != 1:
            raise InvalidArtifact(
                f"{self.path.name} has {len(self.network.inputs)} inputs; layers are compared of "
                "files with one"
            )
        (self.input,) = self.network.inputs
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._numbers = count()

    def open(self, inputs: Sequence[str], outputs: Sequence[str]) -> Session:
        """What computes `outputs` from `inputs`; it is closed with the file.

        Raises:
            NotSupportedHere, RunFailed: It does not run elsewhere.
        """
        path = self._folder / f"{next(self._numbers)}{self.path.suffix}"
        self.cutter.cut(inputs, outputs, path)
        try:
            session = self._open(path)
        except (NotSupportedHere, RunFailed) as error:
            what = f"{self.path.name}, the part that computes {outputs[0]}"
            raise type(error)(f"{what}: {error}") from error
        return self._stack.enter_context(session)

    def held_as(self, name: str) -> Tensor:
        """The tensor `name`, with its scale where only its values' source says it."""
        tensor = self.network.tensors[name]
        if tensor.quantization is None and tensor.is_integer:
            return replace(tensor, quantization=self.network.stored(name).quantization)
        return tensor

    def real(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The numbers, float32, that tensors' values stand for, by name."""
        return {name: dequantize(x, self.held_as(name)) for name, x in values.items()}

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
