"""The audit of model files: what is in them, and what their runtime makes of it.

`READERS` names the module of each format, with `read(path)` and
`place(path, network)`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Reader:
    """A format's module, loaded when a file asks for it, and what that needs."""

    format: str
    module: str
    package: str
    extra: str

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


_CORE_ML = Reader("Core ML", "edgeskin.converters.audit.coreml", "coremltools", "coreml")
READERS = {
    ".tflite": Reader("TFLite", "edgeskin.converters.audit.tflite", "ai_edge_litert", "tflite"),
    ".onnx": Reader("ONNX", "edgeskin.converters.audit.onnx", "onnx", "onnx"),
    ".mlpackage": _CORE_ML,
    ".mlmodel": _CORE_ML,
}
