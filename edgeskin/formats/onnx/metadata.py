"""What edgeskin stores in an ONNX file: ModelProto.metadata_props."""

from __future__ import annotations

from pathlib import Path

from edgeskin.formats.protobuf import string_map


def entries(path: Path) -> dict[str, str]:
    """ModelProto.metadata_props, field 14: repeated {1: key, 2: value}."""
    return string_map(path, path, (14,))
