"""The audit of model files: what is in them, and what their runtime makes of it.

`READERS` names the module of each format, with `read(path)` and
`place(path, network)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from edgeskin.converters.audit.network import Network
from edgeskin.errors import InvalidArtifact, MissingPackage


@dataclass(frozen=True)
class Reader:
    """A format's module, loaded when a file asks for it, and what that needs."""

    format: str
    module: str
    package: str
    extra: str

    @contextmanager
    def opened(self) -> Iterator[ModuleType]:
        """The module, for use inside.

        Raises:
            MissingPackage: What it imports, now or inside, is not installed.
        """
        try:
            yield importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name != self.package:
                raise
            raise MissingPackage(
                f"reading {self.format} files needs {self.package}: "
                f"pip install 'edgeskin[{self.extra}]'"
            ) from error


_CORE_ML = Reader("Core ML", "edgeskin.converters.audit.coreml", "coremltools", "coreml")
READERS = {
    ".tflite": Reader("TFLite", "edgeskin.converters.audit.tflite", "ai_edge_litert", "tflite"),
    ".onnx": Reader("ONNX", "edgeskin.converters.audit.onnx", "onnx", "onnx"),
    ".mlpackage": _CORE_ML,
    ".mlmodel": _CORE_ML,
}


def read_network(path: Path) -> Network:
    """The operators and tensors of a model file.

    Raises:
        InvalidArtifact: Of no known type, or damaged.
        MissingPackage: The format's own package is not installed.
    """
    if path.suffix not in READERS:
        raise InvalidArtifact(f"{path} is none of {', '.join(READERS)}")
    with READERS[path.suffix].opened() as module:
        network: Network = module.read(path)
    return network
