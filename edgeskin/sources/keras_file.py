"""What a Keras file holds, read without Keras: nothing in it is built or run here."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskin.errors import InvalidArtifact, MissingPackage, NotTrusted

if TYPE_CHECKING:
    import h5py

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_CONTAINERS = {"Functional", "Model", "Sequential"}


@dataclass(frozen=True)
class KerasFile:
    """The suffix that Keras loads a whole model by, and the model's configuration."""

    suffix: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Code:
    """A layer, or a function of one, that is code of the file's author."""

    layer: str
    name: str
    """Of the class or function; `Lambda` for Python code in the file."""
    module: str | None = None
    registered: str | None = None
    """The name that its author gave it in Keras' registry: `package>Name`."""

    @property
    def what(self) -> str:
        return f"'{self.name}'" if self.module is None else f"{self.module}:{self.name}"


def read_keras_file(path: Path) -> KerasFile:
    """The configuration of a whole model.

    Raises:
        InvalidArtifact: No Keras file, a damaged one, or one of weights alone.
        MissingPackage: HDF5, and h5py is not installed.
    """
    if not path.is_file():
        raise InvalidArtifact(f"there is no file {path}")
    with path.open("rb") as file:
        start = file.read(8)
    if start == _HDF5:
        return KerasFile(".h5", _parsed(_hdf5_config(path), path))
    if start.startswith(_ZIP):
        return KerasFile(".keras", _parsed(_archived_config(path), path))
    raise InvalidArtifact(
        f"{path} is no Keras model: neither a .keras archive nor HDF5. Save the whole model: "
        "model.save('x.keras')."
    )


def check_code(config: Mapping[str, Any], where: Path, known: frozenset[str]) -> None:
    """Refuse a model that holds code of its author; none of it was run.

    Args:
        config: The model's configuration.
        where: Its file.
        known: The names of Keras' own layers, for files that do not say a class's module.

    Raises:
        NotTrusted: A Lambda layer, or a class or function that is not Keras' own.
    """
    code = next(code_of(config, known), None)
    if code is None:
        return
    if code.name == "Lambda":
        raise NotTrusted(
            f"{where}: layer '{code.layer}' is a Lambda, Python code in the file, which was not "
            "run. Pass --trust if you know its author."
        )
    raise NotTrusted(
        f"{where}: layer '{code.layer}' is of a class or function of its author's, {code.what}, "
        "which was not imported. Pass --trust if you know it; it must be importable (PYTHONPATH)."
    )


def code_of(config: Mapping[str, Any], known: frozenset[str]) -> Iterator[Code]:
    """Every piece of code of its author that a model's configuration holds or names."""
    return _code(dict(config), "the model", known)


def _code(value: Any, layer: str, known: frozenset[str]) -> Iterator[Code]:
    """Every piece of code in a configuration; `layer` is the nearest layer around `value`."""
    if isinstance(value, list):
        for item in value:
            yield from _code(item, layer, known)
    if not isinstance(value, dict):
        return
    name, config = value.get("class_name"), value.get("config")
    if isinstance(name, str):
        if isinstance(config, dict) and isinstance(config.get("name"), str):
            layer = config["name"] if "dtype" in config or "layers" in config else layer
        if name in ("Lambda", "__lambda__"):
            yield Code(layer, "Lambda")
        elif not _is_keras_own(value, name, known):
            yield _named(value, name, layer)
    for item in value.values():
        yield from _code(item, layer, known)


def _is_keras_own(entry: Mapping[str, Any], name: str, known: frozenset[str]) -> bool:
    if name.startswith("__"):  # a tensor, a tuple or the like, by its value
        return True
    module = entry.get("module")
    if isinstance(module, str) and name != "function":
        return module == "keras" or module.startswith("keras.")
    if name == "function":
        return isinstance(module, str) and module.startswith("keras.")
    if "registered_name" in entry and entry["registered_name"] is not None:
        return False
    # As Keras 2 wrote it: without modules. What is no layer is an initializer or the like.
    config = entry.get("config")
    is_layer = isinstance(config, dict) and "name" in config
    return not is_layer or name in known | _CONTAINERS


def _named(entry: Mapping[str, Any], name: str, layer: str) -> Code:
    if name == "function" and isinstance(entry.get("config"), str):
        name = entry["config"]
    module, registered = entry.get("module"), entry.get("registered_name")
    return Code(
        layer,
        name,
        module if isinstance(module, str) else None,
        registered if isinstance(registered, str) else None,
    )


def _parsed(text: str | bytes, path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise InvalidArtifact(f"{path}: its configuration describes no Keras model")
    return config


def _archived_config(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "config.json" in names and "model.weights.h5" in names:
                return archive.read("config.json")
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    raise InvalidArtifact(
        f"{path} is a zip archive and no Keras model: it has no config.json with "
        "model.weights.h5. Save the whole model: model.save('x.keras')."
    )


def _hdf5_config(path: Path) -> str | bytes:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"{path} is HDF5, which needs h5py: pip install 'edgeskin[keras]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            return _model_config(file, path)
    except OSError as error:
        raise _damaged(path, str(error)) from error


def _model_config(file: h5py.File, path: Path) -> str | bytes:
    if (config := file.attrs.get("model_config")) is not None:
        return config
    if {"layers", "vars", "layer_names"} & {*file, *file.attrs}:
        raise InvalidArtifact(
            f"{path} holds the weights of a Keras model and not the model. Save the whole: "
            "model.save('x.keras')."
        )
    raise InvalidArtifact(f"{path} is HDF5 and no Keras model: it has no 'model_config'")


def _damaged(path: Path, reason: str) -> InvalidArtifact:
    return InvalidArtifact(
        f"{path} is damaged: {reason.splitlines()[0] if reason else 'it ends early'}. Copy or "
        "save it again."
    )
