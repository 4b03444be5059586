"""An `.mlpackage` on disk: its model file, and the weights that the model names."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeskin.errors import InvalidArtifact

_HERE = "@model_path/"
_ALIAS = "edgeskin._coreml_messages"


def read_model(path: Path) -> tuple[Any, Path]:
    """Core ML's Model message, and the file it came from.

    Raises:
        InvalidArtifact: Not a package, no model in it, or not a whole protobuf.
    """
    file = _model_file(path)
    try:
        return messages().Model.FromString(file.read_bytes()), file
    except Exception as error:  # protobuf's DecodeError: its type depends on its backend
        raise InvalidArtifact(f"{path} is truncated or not a Core ML model: {error}") from error


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """What a damaged message trips over, by whatever name, is InvalidArtifact."""
    try:
        yield
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        why = (str(error).strip() or repr(error)).splitlines()[0]
        raise InvalidArtifact(f"{path} holds a damaged program: {why}") from error


def weights_path(package: Path, model_file: Path, name: str) -> Path:
    """The file that a program calls `@model_path/...`; raises InvalidArtifact outside `package`."""
    path = (model_file.parent / name.removeprefix(_HERE)).resolve()
    if not path.is_relative_to(package.resolve()):
        raise InvalidArtifact(f"{package} names weights outside of itself: {name}")
    return path


def messages() -> ModuleType:
    """coremltools' protobuf messages, without coremltools itself.

    That would take seconds and load TensorFlow where there is one, for
    definitions that it keeps in a folder by themselves. Imported later,
    coremltools shares the very same messages: protobuf keeps them by name.
    """
    found = find_spec("coremltools")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("coremltools is not installed", name="coremltools")
    if _ALIAS not in sys.modules:
        package = ModuleType(_ALIAS)
        package.__path__ = [str(Path(found.submodule_search_locations[0]) / "proto")]
        sys.modules[_ALIAS] = package
    return importlib.import_module(f"{_ALIAS}.Model_pb2")


def _model_file(path: Path) -> Path:
    if path.suffix == ".mlmodel":
        return path
    try:
        manifest = json.loads((path / "Manifest.json").read_bytes())
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
        file = (path / "Data" / entry).resolve()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArtifact(
            f"{path} is truncated or not a Core ML model: its Manifest.json names no model"
        ) from error
    if not file.is_relative_to(path.resolve()) or not file.is_file():
        raise InvalidArtifact(f"{path} is truncated: its model {entry} is missing")
    return file
