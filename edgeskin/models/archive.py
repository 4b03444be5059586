"""A `.pt2` archive cut down to what is needed, and to what is safe to load.

`torch.export.load` unpickles several kinds of record and evaluates symbolic
shapes and guards, so a hostile file could run code. `distill` reads an archive
with Python's own zip and JSON parsers, keeps plain tensors, a graph of aten and
quantize operators and one JSON document, and builds a fresh archive from those;
torch only ever sees that. On the way out it takes source paths, object ids and
sample inputs away, so that equal programs give equal bytes. Programs, runs that
hold a graph, and networks that somebody else exported are all read so.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

ROOT = "program/"
DOCUMENT = "extra/edgeskin.json"
GRAPH_RECORD = "models/model.json"
_INPUTS = "data/sample_inputs/model.pt"
_PAYLOADS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_KEPT = {GRAPH_RECORD, DOCUMENT, *_PAYLOADS}
_TENSOR = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
_FIXED = {
    "archive_format": b"pt2",
    "archive_version": b"0",
    "byteorder": b"little",
    ".data/version": b"6\n",
    _INPUTS: b"",  # an empty one is not unpickled
}
_ARITHMETIC = r"_operator\.(getitem|add|sub|mul|floordiv|mod|neg)"  # of sizes
_OPERATOR = re.compile(rf"(torch\.ops\.(aten|quantized_decomposed)\.\w+\.\w+|{_ARITHMETIC})")
_FORBIDDEN = ("torch.ops.aten.from_file",)


def is_exported(path: Path) -> bool:
    """Whether a file is what `torch.export.save` writes, edgeskin's own document inside or not."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return GRAPH_RECORD in {name.partition("/")[2] for name in file.namelist()}


def distill(archive: bytes) -> bytes:
    """A fresh archive of the safe parts of `archive`.

    Raises:
        ValueError, KeyError, zipfile.BadZipFile: Damaged, or holds anything else.
    """
    parts = read_records(archive)
    parts[GRAPH_RECORD] = _plain_graph(parts[GRAPH_RECORD])
    for name in _PAYLOADS:
        if any(entry["use_pickle"] for entry in json.loads(parts[name])["config"].values()):
            raise ValueError(f"{name} asks for pickled objects")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for name in sorted({**parts, **_FIXED}):
            content = _FIXED.get(name, parts.get(name, b""))
            file.writestr(zipfile.ZipInfo(ROOT + name), content)  # the time is always 1980
    return out.getvalue()


def read_records(archive: bytes) -> dict[str, bytes]:
    """The records that a program has, by name; checksums are verified."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        entries = {entry.filename.partition("/")[2]: entry for entry in file.infolist()}
        if len(entries) != len(file.infolist()):
            raise ValueError("it has two records of one name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ValueError("it is compressed")
        kept = {name for name in entries if name in _KEPT or _TENSOR.fullmatch(name)}
        foreign = entries.keys() - kept - _FIXED.keys() - {".data/serialization_id"}
        if foreign:
            raise ValueError(f"it holds {min(foreign)}, which a program never does")
        return {name: file.read(entries[name]) for name in kept}


def is_operator(target: str) -> bool:
    """Whether a graph may call it: operators of torch that compute, and arithmetic of sizes."""
    return _OPERATOR.fullmatch(target) is not None and not target.startswith(_FORBIDDEN)


def _plain_graph(text: bytes) -> bytes:
    """The graph without metadata, guards and ranges; only operators that compute."""
    document = json.loads(text)
    document.update(guards_code=[], range_constraints={})
    for node in document["graph_module"]["graph"]["nodes"]:
        if not is_operator(target := node["target"]):
            raise ValueError(f"it calls {target}")
        node["metadata"] = {}
    plain = json.dumps(document, separators=(",", ":"))
    if '"expr_str"' in plain:
        raise ValueError("its shapes are symbolic")
    return plain.encode()
