"""Core ML models on disk: an `.mlpackage` folder, or an `.mlmodel` file by itself.

Whoever opens one (metadata, audit, cutter, runtime) opens it here, so that all
speak of the same model: the one that Manifest.json names, as Core ML does.
Neither the model nor its weights may lie outside the package.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeskin.errors import InvalidArtifact
from edgeskin.files import inside

MANIFEST = "Manifest.json"
_DATA = "Data"  # the folder that paths in the manifest begin at
_MODEL_PATH = "@model_path/"  # the folder of the model file, in the names of weights
_ALIAS = "edgeskin._coreml_messages"


@dataclass(frozen=True)
class Package:
    """A Core ML model: what was asked for, and the file that holds the Model message.

    Attributes:
        path: The `.mlpackage` or `.mlmodel`.
        model_file: In a package, the root model of its manifest.
    """

    path: Path
    model_file: Path

    @classmethod
    def open(cls, path: Path) -> Package:
        """A package or a bare `.mlmodel`, its root model located but not read.

        Raises:
            InvalidArtifact: Not there, or a package whose manifest names no model
                inside of it.
        """
        file = path if path.suffix == ".mlmodel" else _root_model(path)
        if not file.is_file() or file.stat().st_size == 0:
            raise InvalidArtifact(f"{path} is not a whole model: {file.name} is missing or empty")
        return cls(path, file)

    def read_model(self) -> Any:
        """Core ML's Model message.

        Raises:
            InvalidArtifact: Not a whole message, or one of no type.
            ModuleNotFoundError: coremltools, which defines the messages, is not installed.
        """
        kind = messages().Model
        try:
            model = kind.FromString(self.model_file.read_bytes())
        except Exception as error:  # protobuf's DecodeError: its type depends on its backend
            raise self.damaged(str(error)) from error
        if model.WhichOneof("Type") is None:
            raise self.damaged("it has no type")
        return model

    def weights_file(self, name: str) -> Path:
        """The file that a program calls `@model_path/weights/weight.bin`.

        Raises:
            InvalidArtifact: It lies outside the package, is missing, or the model
                is an `.mlmodel`, which has no weights beside it.
        """
        if self.path == self.model_file:
            raise self.damaged(f"its weights are in {name}, which a bare .mlmodel does not have")
        beside = self.model_file.relative_to(self.path).parent
        file = within(self.path, str(beside / name.removeprefix(_MODEL_PATH)), "weights")
        if not file.is_file():
            raise self.damaged(f"its weights, {name}, are missing")
        return file

    def damaged(self, why: str) -> InvalidArtifact:
        return InvalidArtifact(f"{self.path} is truncated or not a Core ML model: {why}")


def messages(module: str = "Model_pb2") -> ModuleType:
    """coremltools' protobuf messages, without coremltools itself.

    That would take seconds and load torch, and TensorFlow where there is one, for
    definitions that it keeps in a folder by themselves. Imported later,
    coremltools shares the very same messages: protobuf keeps them by name.

    Raises:
        ModuleNotFoundError: coremltools is not installed.
    """
    if _ALIAS not in sys.modules:
        spec = find_spec("coremltools")
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError("No module named 'coremltools'", name="coremltools")
        package = ModuleType(_ALIAS)
        package.__path__ = [str(Path(spec.submodule_search_locations[0]) / "proto")]
        sys.modules[_ALIAS] = package
    return importlib.import_module(f"{_ALIAS}.{module}")


def _root_model(package: Path) -> Path:
    try:
        manifest = json.loads(inside(package, MANIFEST).read_bytes())
        name = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
        if not isinstance(name, str):
            raise TypeError(name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArtifact(
            f"{package} is truncated or not a Core ML model: its {MANIFEST} names no model"
        ) from error
    within(package, f"{_DATA}/{name}", "a model")
    return package / _DATA / name


def within(package: Path, name: str, what: str) -> Path:
    """`files.inside` for a package: raises InvalidArtifact, which calls the file `what`."""
    try:
        return inside(package, name)
    except ValueError as error:
        raise InvalidArtifact(f"{package} names {what} outside of itself: {error}") from error
