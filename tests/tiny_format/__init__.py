"""A format of its own, small enough to read: what docs/add-a-format.md asks for, and no more.

A `.tiny` file is the length of a JSON object in four bytes, that object (edgeskin's metadata), and
an ONNX model. What reads it unpacks the model and hands it to the ONNX folder.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from edgeskin.errors import InvalidArtifact
from edgeskin.formats import Format

TINY = Format(
    "tiny",
    "Tiny",
    ".tiny",
    folder="tiny_format",
    converter="tiny_format.converter",
    extra="onnx",
    read_extra="run-onnx",
    libraries=("onnxruntime", "onnx"),
    packages=("torch", "onnx", "onnxscript", "onnxruntime"),
    int8_layer_db=40.0,
)


def pack(entries: dict[str, str], model: bytes) -> bytes:
    head = json.dumps(entries).encode()
    return struct.pack("<I", len(head)) + head + model


def unpack(path: Path) -> tuple[dict[str, str], bytes]:
    data = path.read_bytes()
    try:
        (size,) = struct.unpack_from("<I", data)
        return json.loads(data[4 : 4 + size]), data[4 + size :]
    except (struct.error, ValueError) as error:
        raise InvalidArtifact(f"{path} is truncated or not a Tiny file: {error}") from error
