"""Core ML packages: by Core ML on macOS, elsewhere by the meaning of their program."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact, NotSupportedHere
from edgeskin.formats.coreml.package import Package
from edgeskin.runtimes import BaseSession, Kernels, Session


def open_session(path: Path, *, threads: int = 1, kernels: Kernels = "fast") -> Session:
    """Load an `.mlpackage`; Core ML chooses its own threads.

    Its reference kernels are those of `edgeskin.runtimes.mil`, on any system.

    Raises:
        InvalidArtifact: Core ML refuses the package, or `edgeskin.runtimes.mil` does.
    """
    if _on_macos() and kernels == "fast":
        return CoreMLSession(path)
    from edgeskin.runtimes import mil

    return mil.open_session(path, threads=threads)


class CoreMLSession(BaseSession):
    """Inputs and outputs are those of `mil.MilSession`; Core ML computes them."""

    def __init__(self, path: Path):
        """Load the model at `path`.

        Raises:
            NotSupportedHere: This is not macOS.
            InvalidArtifact: Core ML refuses the model.
        """
        super().__init__()
        if not _on_macos():
            raise NotSupportedHere("not run: Core ML predicts on macOS only")
        import coremltools as ct

        from edgeskin.runtimes.mil.features import read_features
        from edgeskin.runtimes.mil.parse import read_program

        package = Package.open(path)
        model = package.read_model()
        self._features = read_features(model, read_program(model, package))
        self.inputs, self.outputs = self._features.inputs, self._features.outputs
        self.classes = self._features.classes
        try:
            self._model = ct.models.MLModel(str(path))
        except Exception as error:  # Core ML's own errors arrive as plain Exceptions
            raise InvalidArtifact(f"Core ML refuses {path}: {error}") from error
        self.runtime = f"Core ML on macOS {platform.mac_ver()[0]}"

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        ready = {name: self._value(name, array) for name, array in feeds.items()}
        outputs = self._model.predict(ready)
        return {spec.name: self._array(outputs[spec.name], spec.dtype) for spec in self.outputs}

    def _value(self, name: str, array: NDArray[Any]) -> Any:
        """Pixels as a picture, gray or RGB; Core ML brings them into the model's layout."""
        from PIL import Image

        if name not in self._features.images:
            return array
        pixels = array[0]
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)

    def _array(self, value: Any, dtype: str) -> NDArray[Any]:
        if isinstance(value, dict):  # of a classifier: probabilities by label
            value = [value[label] for label in self.classes]
        return np.array(value, dtype)

    def _close(self) -> None:
        self._model = None


def _on_macos() -> bool:
    return sys.platform == "darwin"
