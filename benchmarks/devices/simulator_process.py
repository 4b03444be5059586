"""`python -m edgeskin.benchmarks.devices.simulator_process NAME VARIANT FD`: files on a simulator.

A process of its own, for a maker's library can end the one that loads it. Over the pipe FD it is
asked to `Open` and to `Run` files, one after the other, and answers each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeskin.errors import EdgeskinError, ErrorDocument, RunFailed, to_document
from edgeskin.formats.tflite.gpu_session import open_on_gpu
from edgeskin.runtimes import Session, TensorSpec
from edgeskin.snapdragon.npu_session import open_on_npu

OPENERS: Mapping[str, Callable[[Path, str], Session]] = {
    "htp": open_on_npu,
    "gpu": open_on_gpu,
}
"""By simulator, what opens a file for a variant of it."""


@dataclass(frozen=True)
class Open:
    """Load a file; the answer is `Opened`."""

    path: Path


@dataclass(frozen=True)
class Opened:
    """A loaded file, as `number` from then on."""

    number: int
    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Run:
    """Run the file `number`; the answer is its outputs by name."""

    number: int
    feeds: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Close:
    """Let go of the file `number`; the answer is None."""

    number: int


@dataclass(frozen=True)
class Refused:
    """An error of ours."""

    document: ErrorDocument


Request = Open | Run | Close
Answer = Opened | Refused | dict[str, NDArray[Any]] | None


def serve(name: str, variant: str, pipe: Connection) -> None:
    """Answer every request until the other end is closed."""
    sessions: dict[int, Session] = {}
    numbers = count()

    def answer(request: Request) -> Answer:
        match request:
            case Open(path):
                session = OPENERS[name](path, variant)
                sessions[number := next(numbers)] = session
                return Opened(number, session.runtime, session.inputs, session.outputs)
            case Run(number, feeds):
                return sessions[number].run(feeds)
            case Close(number):
                sessions.pop(number).close()
                return None

    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(answer(request))
        except EdgeskinError as error:
            pipe.send(Refused(to_document(error)))
        except (RuntimeError, ValueError) as error:  # of the maker's library
            pipe.send(Refused(to_document(RunFailed(str(error)))))


if __name__ == "__main__":
    # Not the `serve` above: requests are pickled, and their classes are not those of `__main__`.
    from edgeskin.benchmarks.devices import simulator_process

    simulator_process.serve(sys.argv[1], sys.argv[2], Connection(int(sys.argv[3])))
