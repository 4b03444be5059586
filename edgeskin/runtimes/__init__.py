"""One session type for every runtime; each runtime imports its library when opened."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact, MissingPackage

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


@dataclass(frozen=True)
class Runtime:
    """Where a file type is run: the module with `open_session`, and the extra it needs."""

    suffix: str
    module: str
    package: str
    extra: str


RUNTIMES = {
    runtime.suffix: runtime
    for runtime in (
        Runtime(".tflite", "edgeskin.runtimes.litert", "ai_edge_litert", "tflite"),
        Runtime(".onnx", "edgeskin.runtimes.onnx", "onnxruntime", "onnx"),
        Runtime(".mlpackage", "edgeskin.runtimes.coreml", "coremltools", "coreml"),
    )
}


def open_session(path: Path, *, threads: int = 1, kernels: Kernels = "fast") -> Session:
    """Load an artifact on its own runtime.

    Args:
        kernels: "fast" as the runtime ships; "reference" as the file says, step
            for step: LiteRT's reference kernels, ONNX Runtime without graph
            optimisation, the meaning of MIL for Core ML.

    Raises:
        InvalidArtifact: Not a file of a known type, or one its runtime refuses.
        MissingPackage: The runtime is not installed.
    """
    path = Path(path)
    runtime = runtime_of(path)
    module = importlib.import_module(runtime.module)
    try:
        session: Session = module.open_session(path, threads=threads, kernels=kernels)
    except ModuleNotFoundError as error:
        if error.name not in (runtime.package, "torch"):
            raise
        raise MissingPackage(
            f"running {path.suffix} needs {error.name}: pip install 'edgeskin[{runtime.extra}]'"
        ) from error
    return session


def runtime_of(path: Path) -> Runtime:
    if path.suffix not in RUNTIMES:
        raise InvalidArtifact(
            f"{path} is none of {', '.join(RUNTIMES)}; edgeskin does not know how to run it"
        )
    if not path.exists():
        raise InvalidArtifact(f"{path} is missing")
    return RUNTIMES[path.suffix]
