"""Names and TFLite Metadata inside a `.tflite` file.

TFLite Metadata is a flatbuffer, `ModelMetadata`, in a buffer that the model
lists as `TFLITE_METADATA`, and a zip archive of associated files behind the
model. The package that used to write it is gone, so its table is built here, by
the published schema (metadata_schema.fbs 1.1.0, identifier `M001`).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeskin.artifacts import Metadata, labels
from edgeskin.formats.tflite.flatbuffer import Graph
from edgeskin.formats.tflite.metadata import ENTRY

_DESCRIPTION, _AXIS_LABELS = 1, 2  # AssociatedFileType
_Slots = dict[int, "int | str | Sequence[int] | None"]


def finish(
    model: bytes, metadata: Metadata, inputs: Sequence[str], outputs: Sequence[str]
) -> bytes:
    """Name the tensors of the first subgraph, embed the metadata, append the files."""
    graph = Graph(model)
    body = graph.body
    for index, name in zip([*body.inputs, *body.outputs], [*inputs, *outputs], strict=True):
        body.tensors[index].name = name
    _embed(graph.model, "TFLITE_METADATA", _model_metadata(metadata, inputs, outputs))
    return attach(graph.pack(), metadata)


def attach(model: bytes, metadata: Metadata) -> bytes:
    """A model that has its embedded metadata already, with the files appended."""
    return model + _archive(_files(metadata))


def _embed(model: schema.ModelT, name: str, content: bytes) -> None:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def _files(metadata: Metadata) -> dict[str, str]:
    """Associated files: everything as one JSON document, and labels, one a line."""
    document = {**metadata.entries(), "edgeskin.spec": metadata.spec.model_dump(mode="json")}
    files = {ENTRY: json.dumps(document, indent=1, ensure_ascii=False)}
    for output, names in labels(metadata.spec).items():
        files[f"{output}.txt"] = "\n".join(names) + "\n"
    return files


def _archive(files: dict[str, str]) -> bytes:
    """A zip with a fixed date, so that one conversion gives the same bytes each time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


def _model_metadata(metadata: Metadata, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    spec = metadata.spec
    b = flatbuffers.Builder(1024)
    labelled = labels(spec)
    tensors_in = [
        _table(b, {0: name, 1: "RGB pixels" if metadata.io == "app" else "normalised"})
        for name in inputs
    ]
    tensors_out = []
    for name in outputs:
        files = [_file(b, f"{name}.txt", _AXIS_LABELS)] if name in labelled else []
        tensors_out.append(_table(b, {0: name, 6: files}))
    subgraph = _table(b, {2: tensors_in, 3: tensors_out})
    model = _table(
        b,
        {
            0: spec.name,
            1: spec.intended_use,
            2: metadata.edgeskin_version,
            3: [subgraph],
            5: spec.license,
            6: [_file(b, ENTRY, _DESCRIPTION)],
            7: "1.0.0",
        },
    )
    b.Finish(model, file_identifier=b"M001")
    return bytes(b.Output())


def _file(b: flatbuffers.Builder, name: str, kind: int) -> int:
    return _table(b, {0: name, 2: kind})


def _table(b: flatbuffers.Builder, slots: _Slots) -> int:
    """A flatbuffers table: text, a vector of tables, or a byte at each slot number."""
    ready = {slot: _offset(b, value) for slot, value in slots.items()}
    b.StartObject(max(ready) + 1)
    for slot, value in ready.items():
        if isinstance(slots[slot], int):
            b.PrependInt8Slot(slot, value, 0)
        elif value:
            b.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(b.EndObject())


def _offset(b: flatbuffers.Builder, value: int | str | Sequence[int] | None) -> int:
    if isinstance(value, str):
        return int(b.CreateString(value)) if value else 0
    if isinstance(value, int):
        return value
    return _vector(b, value) if value else 0


def _vector(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())
