"""`edgeskin inspect`: what is in a model file, whoever made it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeskin.artifacts import check_manifest, read_metadata
from edgeskin.converters.audit import READERS
from edgeskin.converters.audit.apart import apart
from edgeskin.converters.audit.document import document
from edgeskin.converters.audit.network import Network, check
from edgeskin.errors import InvalidArtifact, InvalidData, InvalidSpec
from edgeskin.files import size_bytes

Progress = Callable[[int, int], None]


def inspect(
    artifact: Path | str,
    *,
    reference: Path | str | None = None,
    data: Path | str | None = None,
    split: str = "test",
    trust: bool = False,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """The audit of a `.tflite`, `.onnx`, `.mlpackage` or `.mlmodel`, of edgeskin or another tool.

    It runs in a process of its own, with limits: a damaged file can make native
    code crash, or ask for more memory than there is.

    Args:
        reference: The run that the file was made from: it is run on images of
            `data`, to see how near its values come to the end of float16.
        trust: Run the code that the reference names, whoever wrote it.

    Returns:
        A document: `file`, `format`, `size_bytes`, `metadata` of edgeskin (or
        why there is none), and the keys of `document.document`.

    Raises:
        InvalidArtifact: Missing, truncated, not a model, or not what its
            manifest names.
        NotTrusted: The reference names a factory that needs `trust`.
        InvalidData: One of `reference` and `data` without the other.
        MissingPackage: The format's own package is not installed.
    """
    path = Path(artifact)
    if (reference is None) != (data is None):
        raise InvalidData("the values inside need both, --reference RUN and --data DIR")
    _check_kind(path)
    check_manifest(path)
    found = apart(path)
    if reference is not None and data is not None:
        from edgeskin.converters.audit.float16 import measure

        found["float16"] = measure(
            path, reference, data, split=split, trust=trust, progress=progress
        )
    return found


def audit(path: Path) -> dict[str, Any]:
    """The document of `inspect`, in this process: for files that edgeskin has just made."""
    _check_kind(path)
    reader = READERS[path.suffix]
    with reader.opened() as module:
        network = module.read(path)
        _check_names(network, path)
        placement = module.place(path, network)
    found = {
        "file": path.name,
        "format": reader.format,
        "size_bytes": size_bytes(path),
        "metadata": _metadata(path),
        **document(network, placement),
    }
    found["images"] += _image(path, found["inputs"])
    return found


def _check_kind(path: Path) -> None:
    if path.suffix not in READERS:
        raise InvalidArtifact(f"{path} is none of {', '.join(READERS)}")
    if not path.exists():
        raise InvalidArtifact(f"{path} is missing")
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
