"""`edgeskin inspect`: what is in a model file, whoever made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeskin.artifacts import check_manifest, read_metadata
from edgeskin.converters.audit import READERS
from edgeskin.converters.audit.document import document
from edgeskin.errors import InvalidArtifact, InvalidSpec, MissingPackage
from edgeskin.files import size_bytes


def inspect(artifact: Path | str) -> dict[str, Any]:
    """The audit of a `.tflite`, `.onnx` or `.mlpackage`, of edgeskin or of another tool.

    Returns:
        A document: `file`, `format`, `size_bytes`, `metadata` of edgeskin (or
        why there is none), and the keys of `document.document`.

    Raises:
        InvalidArtifact: Missing, truncated, not a model, or not what its
            manifest names.
        MissingPackage: The format's own package is not installed.
    """
    path = Path(artifact)
    if path.suffix not in READERS:
        raise InvalidArtifact(f"{path} is none of {', '.join(READERS)}")
    if not path.exists():
        raise InvalidArtifact(f"{path} is missing")
    if path.is_dir() != (path.suffix == ".mlpackage"):
        kind = "folder" if path.is_dir() else "file"
        raise InvalidArtifact(f"{path} is a {kind}, which a {path.suffix} model never is")
    check_manifest(path)
    reader = READERS[path.suffix]
    try:
        module = reader.load()
        network = module.read(path)
        placement = module.place(path, network)
    except ModuleNotFoundError as error:
        if error.name != reader.package:
            raise
        raise MissingPackage(
            f"reading {path.suffix} needs {reader.package}: pip install 'edgeskin[{reader.extra}]'"
        ) from error
    return {
        "file": path.name,
        "format": reader.format,
        "size_bytes": size_bytes(path),
        "metadata": _metadata(path),
        **document(network, placement),
    }


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
