"""Core ML packages, on macOS: nowhere else does Core ML predict."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact, NotSupportedHere
from edgeskin.runtimes import Kernels, Session, TensorSpec
from edgeskin.runtimes.base import BaseSession


def open_session(path: Path, *, threads: int = 1, kernels: Kernels = "fast") -> Session:
    """Load an `.mlpackage`; Core ML chooses its own threads.

    Its reference kernels are those of `edgeskin.runtimes.mil`, on any system.

    Raises:
        NotSupportedHere: This is not macOS.
        InvalidArtifact: Core ML refuses the package.
    """
    if kernels == "reference":
        from edgeskin.runtimes import mil

        return mil.open_session(path, threads=threads)
    if sys.platform != "darwin":
        raise NotSupportedHere("not run: Core ML predicts on macOS only")
    return CoreMLSession(path)


class CoreMLSession(BaseSession):
    """An image input is fed as uint8 RGB (1, H, W, 3), as on the other runtimes."""

    def __init__(self, path: Path):
        import coremltools as ct

        try:
            self._model = ct.models.MLModel(str(path))
        except Exception as error:  # Core ML's own errors arrive as plain Exceptions
            raise InvalidArtifact(f"Core ML refuses {path}: {error}") from error
        self.runtime = f"Core ML on macOS {platform.mac_ver()[0]}"
        description = self._model.get_spec().description
        self.inputs = tuple(map(tensor_spec, description.input))
        self.outputs = tuple(map(tensor_spec, description.output))
        self._images = {i.name for i in description.input if i.type.HasField("imageType")}

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        from PIL import Image

        ready = {k: Image.fromarray(v[0]) if k in self._images else v for k, v in feeds.items()}
        found = self._model.predict(ready)
        return {spec.name: np.array(found[spec.name]) for spec in self.outputs}

    def close(self) -> None:
        self._model = None


def tensor_spec(feature: Any) -> TensorSpec:
    """A TensorSpec from a FeatureDescription of Core ML's protobuf."""
    if feature.type.HasField("imageType"):
        image = feature.type.imageType
        return TensorSpec(feature.name, (1, image.height, image.width, 3), "uint8")
    array = feature.type.multiArrayType
    kind = type(array).ArrayDataType.Name(array.dataType).lower()
    return TensorSpec(feature.name, tuple(array.shape), "float64" if kind == "double" else kind)
