"""A model file read, placed on its runtime and described, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeskin.artifacts import read_metadata
from edgeskin.converters.audit.document import document
from edgeskin.errors import InvalidArtifact, InvalidSpec
from edgeskin.files import size_bytes
from edgeskin.formats import format_of
from edgeskin.formats.network import Network, check


def audit(path: Path) -> dict[str, Any]:
    """The audit of a model file, in this process: for files that edgeskin has just made."""
    check_kind(path)
    file_type = format_of(path, to_read=True)
    with file_type.part("reader") as module:
        network = module.read(path)
        _check_names(network, path)
        placement = module.place(path, network)
    found = {
        "file": path.name,
        "format": file_type.title,
        "size_bytes": size_bytes(path),
        "metadata": _metadata(path),
        **document(network, placement),
    }
    found["images"] += _image(path, found["inputs"])
    return found


def check_kind(path: Path) -> None:
    format_of(path, to_read=True)
    if path.is_dir() != (path.suffix == ".mlpackage"):
        kind = "folder" if path.is_dir() else "file"
        raise InvalidArtifact(f"{path} is a {kind}, which a {path.suffix} model never is")


def _check_names(network: Network, path: Path) -> None:
    try:
        check(network)
    except ValueError as error:
        raise InvalidArtifact(f"{path} is no model that can be run: {error}") from error


def _metadata(path: Path) -> dict[str, Any]:
    try:
        found = read_metadata(path)
    except (InvalidArtifact, InvalidSpec) as error:
        return {"missing": str(error)}
    return {
        "name": found.spec.name,
        "io": found.io,
        "precision": found.precision,
        "edgeskin_version": found.edgeskin_version,
        "license": found.spec.license,
    }


def _image(path: Path, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What edgeskin's spec inside says of the pixels; its mean and std are for values of 0 to 1."""
    try:
        said = read_metadata(path).spec.input.model_dump(mode="json")
    except (InvalidArtifact, InvalidSpec):
        return []
    return [{"input": inputs[0]["name"], "said_by": "edgeskin", **said}]
