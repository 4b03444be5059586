"""From a run or a quantized program to files that phones and Jetsons load.

This package holds tables only; `convert.convert` does the work, each conversion
in a process of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from edgeskin.errors import CannotExpress, MissingPackage, UnknownName


@dataclass(frozen=True)
class Target:
    """A file type: its module, with `convert(job, path)`, and what that needs.

    `lost` says of the schemes that it cannot hold what would be lost.
    """

    name: str
    module: str
    extra: str
    suffix: str
    packages: tuple[str, ...]
    lost: Mapping[str, str] = field(default_factory=dict)

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

    def check_scheme(self, scheme: str) -> None:
        """
        Raises:
            CannotExpress: The target cannot hold what a program of `scheme` says.
        """
        if scheme in self.lost:
            holds = [t.name for t in TARGETS.values() if scheme not in t.lost]
            raise CannotExpress(
                f"{self.name} cannot hold a {scheme} program: {self.lost[scheme]}. Convert it to "
                f"{' or '.join(holds)}, or calibrate with --scheme w8a8."
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
            lost={
                "w8a16": "litert-torch gives int16 layers a bias of 32 bits, LiteRT's kernels take "
                "64, and a narrower bias would overflow"
            },
        ),
        Target(
            "coreml",
            "edgeskin.converters.to_coreml",
            extra="coreml",
            suffix=".mlpackage",
            packages=("torch", "coremltools"),
            lost={
                "w8a16": "Core ML quantizes activations to 8 bits, so that the other 8 of the 16 "
                "would be lost"
            },
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
