"""Core ML's protobuf messages, read without loading coremltools itself.

coremltools imports torch, and TensorFlow where there is one: seconds and a
gigabyte for messages of a few kilobytes. Its generated modules need protobuf only.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeskin.errors import InvalidArtifact

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights"
_ALIAS = "edgeskin._coreml_proto"


def messages(module: str) -> ModuleType:
    """`Model_pb2`, `MIL_pb2` or `NeuralNetwork_pb2` of coremltools.

    Raises:
        ModuleNotFoundError: coremltools is not installed.
    """
    if _ALIAS not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            raise ModuleNotFoundError("No module named 'coremltools'", name="coremltools")
        package = ModuleType(_ALIAS)
        package.__path__ = [str(Path(found.submodule_search_locations[0]) / "proto")]
        sys.modules[_ALIAS] = package
    return importlib.import_module(f"{_ALIAS}.{module}")


def load(path: Path) -> Any:
    """The Model message of an `.mlpackage` or `.mlmodel`.

    Raises:
        InvalidArtifact: A package without a model, or bytes that are no such message.
    """
    file = path / MODEL if path.is_dir() else path
    if not file.is_file() or file.stat().st_size == 0:
        raise InvalidArtifact(f"{path} is not a whole model: {file.name} is missing or empty")
    model = messages("Model_pb2")
    try:
        spec = model.Model.FromString(file.read_bytes())
    except Exception as error:  # protobuf's DecodeError has no base but Exception
        raise InvalidArtifact(f"{path} is truncated or not a Core ML model: {error}") from error
    if spec.WhichOneof("Type") is None:
        raise InvalidArtifact(f"{path} is truncated or not a Core ML model: it has no type")
    return spec


def kind_name(enumeration: Any, number: int) -> str:
    """The word for a number of a protobuf enumeration; the number where it has none."""
    found = enumeration.DESCRIPTOR.values_by_number.get(number)
    return str(number) if found is None else str(found.name)
