"""A model file read, placed on its runtime and described, in this process."""

from __future__ import annotations

from pathlib import Path

from edgeskin.artifacts import Metadata, read_metadata
from edgeskin.converters.audit.describe import describe
from edgeskin.errors import InvalidArtifact, InvalidSpec
from edgeskin.formats import format_of
from edgeskin.formats.model_audit import Audit
from edgeskin.formats.network import COMPILED, Network, OffFastPath, Placement, check


def audit(path: Path) -> Audit:
    """The audit of a model file, in this process: for files that edgeskin has just made.

    Raises:
        InvalidArtifact: Missing, truncated, or not a model.
        MissingPackage: The format's own package is not installed.
    """
    return examine(path)[0]


def examine(path: Path, network: Network | None = None) -> tuple[Audit, Network]:
    """The audit of a file, and the network that it was read as, or is known to be."""
    check_kind(path)
    file_type = format_of(path, to_read=True)
    with file_type.part("reader") as module:
        network = network or module.read(path)
        _check_names(network, path)
        placement = _compiled(network) if network.is_compiled else module.place(path, network)
    return describe(path, file_type, _metadata(path), network, placement), network


def _compiled(network: Network) -> Placement:
    """Of a file that an accelerator runs: what is not of its own is left to the CPU."""
    left = [op for op in network.operators if op.type not in COMPILED]
    off = tuple(OffFastPath(op.type, op.name, "left to the CPU") for op in left)
    return Placement("the accelerator that it is compiled for", off)


def check_kind(path: Path) -> None:
    """Raise InvalidArtifact where `path` is not called, or not shaped, like a model."""
    format_of(path, to_read=True)
    if path.is_dir() != (path.suffix == ".mlpackage"):
        kind = "folder" if path.is_dir() else "file"
        raise InvalidArtifact(f"{path} is a {kind}, which a {path.suffix} model never is")


def _check_names(network: Network, path: Path) -> None:
    try:
        check(network)
    except ValueError as error:
        raise InvalidArtifact(f"{path} is no model that can be run: {error}") from error


def _metadata(path: Path) -> Metadata | str:
    try:
        return read_metadata(path)
    except (InvalidArtifact, InvalidSpec) as error:
        return str(error)
