"""From a run or a quantized program to files that phones and Jetsons load.

This package holds tables only; `convert.convert` does the work, each conversion
in a process of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from types import ModuleType

from edgeskin.errors import MissingPackage, UnknownName


@dataclass(frozen=True)
class Target:
    """A file type: its module, with `convert(job, path)`, and what that needs."""

    name: str
    module: str
    extra: str
    suffix: str
    packages: tuple[str, ...]

    def file_name(self, model: str, precision: str) -> str:
        return f"{model}-{precision}{self.suffix}"

    def check(self) -> None:
        """Raise MissingPackage where a package is not installed; nothing is imported."""
        for package in self.packages:
            if importlib.util.find_spec(package.replace("-", "_")) is None:
                raise MissingPackage(
                    f"converting to {self.name} needs {package}: "
                    f"pip install 'edgeskin[{self.extra}]'"
                )

    def load(self) -> ModuleType:
        self.check()
        return importlib.import_module(self.module)


TARGETS = {
    target.name: target
    for target in (
        Target(
            "tflite",
            "edgeskin.converters.to_tflite",
            extra="tflite",
            suffix=".tflite",
            packages=("torch", "litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
        ),
        Target(
            "coreml",
            "edgeskin.converters.to_coreml",
            extra="coreml",
            suffix=".mlpackage",
            packages=("torch", "coremltools"),
        ),
        Target(
            "onnx",
            "edgeskin.converters.to_onnx",
            extra="onnx",
            suffix=".onnx",
            packages=("torch", "onnx", "onnxscript", "onnxruntime"),
        ),
    )
}

PRECISIONS = {
    "fp32": "float32 throughout",
    "fp16": "float16 weights, and arithmetic where the runtime has it",
    "int8": "int8 weights and activations, with the scales of a program",
}


def find_target(name: str) -> Target:
    """
    Raises:
        UnknownName: No such target.
    """
    if name not in TARGETS:
        raise UnknownName(f"no target '{name}'; there are {', '.join(TARGETS)}, and all")
    return TARGETS[name]


def check_precision(name: str) -> None:
    """
    Raises:
        UnknownName: No such precision.
    """
    if name not in PRECISIONS:
        raise UnknownName(f"no precision '{name}'; there are {', '.join(PRECISIONS)}")
