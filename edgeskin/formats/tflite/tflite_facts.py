"""What a TFLite file says about itself: TFLite Metadata, its runtime, image settings.

The tables of TFLite Metadata are read by the published schema
(metadata_schema.fbs 1.5.0, identifier `M001`): no package reads them any more.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

from flatbuffers import number_types
from flatbuffers.table import Table

from edgeskin.formats.network import Facts

_COLOURS = {1: "RGB", 2: "GRAYSCALE"}
_IMAGE, _NORMALIZATION = 2, 1  # of the unions ContentProperties and ProcessUnitOptions
_UNREADABLE = (struct.error, IndexError, ValueError, TypeError, OverflowError)


def facts(model: Any, kinds: Sequence[str], content: bytes, inputs: Sequence[str]) -> Facts:
    """What the file says about itself.

    `kinds` are the names of its operator codes, `inputs` those of the main subgraph.
    """
    metadata = {_text(entry.name): _data(model, entry, content) for entry in model.metadata or ()}
    runtime = metadata.pop("min_runtime_version", b"").rstrip(b"\0").decode(errors="replace")
    versions = {k: int(c.version) for k, c in zip(kinds, model.operatorCodes or (), strict=True)}
    described, images = _metadata(metadata.get("TFLITE_METADATA", b""), inputs)
    entries = {"description": _text(model.description), **described}
    entries |= {f"entry {name}": f"{len(data)} bytes" for name, data in metadata.items()}
    entries |= {f"file {name}": f"{size} bytes" for name, size in _files(content)}
    return Facts(
        deployment={
            "schema_version": int(model.version),
            "needs": f"TensorFlow Lite {runtime}, or LiteRT" if runtime else None,
            "operator_versions": versions,
        },
        images=images,
        metadata={key: value for key, value in entries.items() if value},
        beside=tuple(
            f"subgraph {_text(graph.name) or index}: {len(graph.operators or ())} operators"
            for index, graph in enumerate(model.subgraphs[1:], 1)
        ),
    )


def _text(value: Any) -> str:
    return bytes(value or b"").decode(errors="replace")


def _data(model: Any, entry: Any, content: bytes) -> bytes:
    buffer = model.buffers[entry.buffer]
    if buffer.offset > 1:
        return content[buffer.offset : buffer.offset + buffer.size]
    return b"" if buffer.data is None else bytes(buffer.data)


def _files(content: bytes) -> list[tuple[str, int]]:
    """Files associated with the model: a zip archive behind it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            return [(info.filename, info.file_size) for info in packed.infolist()]
    except (zipfile.BadZipFile, ValueError, OverflowError):
        return []


def _metadata(
    data: bytes, inputs: Sequence[str]
) -> tuple[dict[str, str], tuple[dict[str, Any], ...]]:
    """Name, version, author and licence; image settings of the inputs."""
    if data[4:8] != b"M001":
        return {}, ()
    try:
        root = _Record(data, struct.unpack_from("<I", data)[0])
        entries = {"name": root.text(0), "about": root.text(1), "version": root.text(2)}
        entries |= {"author": root.text(4), "license": root.text(5)}
        graphs = root.records(3)
        tensors = graphs[0].records(2) if graphs else []
        images = [_image(tensor, name) for tensor, name in zip(tensors, inputs, strict=False)]
    except _UNREADABLE as error:
        return {"TFLITE_METADATA": f"unreadable: {error}"}, ()
    return entries, tuple(image for image in images if len(image) > 2)


def _image(tensor: _Record, name: str) -> dict[str, Any]:
    """Colour, mean and std as far as they are said; pixels are (x - mean) / std."""
    settings: dict[str, Any] = {"input": tensor.text(0) or name, "said_by": "TFLite Metadata"}
    content = tensor.record(3)
    if content and content.byte(0) == _IMAGE and (properties := content.record(1)):
        settings["colour"] = _COLOURS.get(properties.byte(0), "unknown")
    for unit in tensor.records(4):
        if unit.byte(0) == _NORMALIZATION and (options := unit.record(1)):
            settings |= {"mean": options.floats(0), "std": options.floats(1)}
    return settings


class _Record:
    """A flatbuffers table, its fields read by slot number."""

    def __init__(self, data: bytes, at: int):
        self.table = Table(data, at)

    def text(self, slot: int) -> str:
        place = self._place(slot)
        return self.table.String(place).decode(errors="replace") if place else ""

    def byte(self, slot: int) -> int:
        place = self._place(slot)
        return int(self.table.Get(number_types.Uint8Flags, place)) if place else 0

    def record(self, slot: int) -> _Record | None:
        place = self._place(slot)
        return _Record(self.table.Bytes, self.table.Indirect(place)) if place else None

    def records(self, slot: int) -> list[_Record]:
        count, start = self._vector(slot)
        return [
            _Record(self.table.Bytes, self.table.Indirect(start + 4 * index))
            for index in range(count)
        ]

    def floats(self, slot: int) -> list[float]:
        count, start = self._vector(slot)
        return list(struct.unpack_from(f"<{count}f", self.table.Bytes, start))

    def _place(self, slot: int) -> int:
        """Where the field is; 0 where it was left out."""
        offset = self.table.Offset(4 + 2 * slot)
        return self.table.Pos + offset if offset else 0

    def _vector(self, slot: int) -> tuple[int, int]:
        """Length, checked against the bytes there are, and start."""
        offset = self.table.Offset(4 + 2 * slot)
        if not offset:
            return 0, 0
        count, start = self.table.VectorLen(offset), self.table.Vector(offset)
        if 4 * count > len(self.table.Bytes) - start:
            raise ValueError(f"a list of {count} does not fit in {len(self.table.Bytes)} bytes")
        return count, start
