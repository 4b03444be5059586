"""What edgeskin stores in a Core ML package: its user-defined metadata."""

from __future__ import annotations

from pathlib import Path

from edgeskin.formats.coreml.package import Package
from edgeskin.formats.protobuf import string_map


def entries(path: Path) -> dict[str, str]:
    """Model.description (2) .metadata (100) .userDefined (100): a map of strings."""
    return string_map(path, Package.open(path).model_file, (2, 100, 100))
