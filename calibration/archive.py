"""A `.pt2` archive cut down to what is needed, and to what is safe to load.

`torch.export.load` unpickles several kinds of record and evaluates symbolic
shapes and guards, so a hostile file could run code. `distill` reads an archive
with Python's own zip and JSON parsers, keeps plain tensors, a graph of aten and
quantize operators and one JSON document, and builds a fresh archive from those;
torch only ever sees that. On the way out it takes source paths, object ids and
sample inputs away, so that equal programs give equal bytes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from edgeskin.calibration.record import CalibrationRecord
from edgeskin.errors import InvalidResult, InvalidRun
from edgeskin.spec import Spec

FORMAT = 1
ROOT = "program/"
DOCUMENT = "extra/edgeskin.json"
_GRAPH = "models/model.json"
_INPUTS = "data/sample_inputs/model.pt"
_PAYLOADS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_KEPT = {_GRAPH, DOCUMENT, *_PAYLOADS}
_TENSOR = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
_FIXED = {
    "archive_format": b"pt2",
    "archive_version": b"0",
    "byteorder": b"little",
    ".data/version": b"6\n",
    _INPUTS: b"",  # an empty one is not unpickled
}
_OPERATOR = re.compile(r"(torch\.ops\.(aten|quantized_decomposed)\.\w+\.\w+|_operator\.getitem)")
_FORBIDDEN = ("torch.ops.aten.from_file",)


@dataclass(frozen=True)
class Header:
    """What a program says of itself beside its graph.

    `calibration` says how the scales were found.
    """

    spec: Spec
    scheme: str
    calibration: CalibrationRecord = field(default_factory=CalibrationRecord)

    def to_json(self) -> str:
        document = {
            "format": FORMAT,
            "spec": self.spec.model_dump(mode="json"),
            "scheme": self.scheme,
            "calibration": self.calibration.to_json(),
        }
        return json.dumps(document)


def read_header(path: Path) -> Header:
    """The header of the program in `path`; its graph, which takes much longer, is not read.

    Raises:
        InvalidRun: Missing, damaged, not a program, or one that a newer edgeskin wrote.
        InvalidSpec: The spec in it does not validate.
    """
    if not path.is_file():
        raise InvalidRun(f"{path} is missing")
    try:
        content = path.read_bytes()
        _refuse_foreign(path, content)
        document = json.loads(_read(content)[DOCUMENT])
        version, scheme, calibration = (document[k] for k in ("format", "scheme", "calibration"))
        spec = json.dumps(document["spec"])
    except InvalidRun:
        raise
    except Exception as error:  # zip and JSON raise types of their own
        raise damaged(path, error) from error
    if version != FORMAT:
        raise InvalidRun(
            f"{path} has format {version}; this edgeskin reads {FORMAT}. Upgrade edgeskin."
        )
    try:
        record = CalibrationRecord.from_json(calibration, where="its calibration")
    except InvalidResult as error:
        raise damaged(path, error) from error
    return Header(Spec.from_json(spec, where=f"the spec in {path}"), scheme, record)


def _refuse_foreign(path: Path, archive: bytes) -> None:
    """An exported network is whole, and yet no program: it has no scales."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        names = {name.partition("/")[2] for name in file.namelist()}
    if _GRAPH in names and DOCUMENT not in names:
        raise InvalidRun(
            f"{path} is a network exported by torch.export, not a program that edgeskin calibrate "
            "wrote. Import its weights as a run (edgeskin import), and calibrate that."
        )


def damaged(path: Path, error: Exception) -> InvalidRun:
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InvalidRun(f"{path} is damaged or not a program of edgeskin ({why}). Calibrate again.")


def distill(archive: bytes) -> bytes:
    """A fresh archive of the safe parts of `archive`.

    Raises:
        ValueError, KeyError, zipfile.BadZipFile: Damaged, or holds anything else.
    """
    parts = _read(archive)
    parts[_GRAPH] = _plain_graph(parts[_GRAPH])
    for name in _PAYLOADS:
        if any(entry["use_pickle"] for entry in json.loads(parts[name])["config"].values()):
            raise ValueError(f"{name} asks for pickled objects")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for name in sorted({**parts, **_FIXED}):
            content = _FIXED.get(name, parts.get(name, b""))
            file.writestr(zipfile.ZipInfo(ROOT + name), content)  # the time is always 1980
    return out.getvalue()


def _read(archive: bytes) -> dict[str, bytes]:
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


def _plain_graph(text: bytes) -> bytes:
    """The graph without metadata, guards and ranges; only operators that compute."""
    document = json.loads(text)
    document.update(guards_code=[], range_constraints={})
    for node in document["graph_module"]["graph"]["nodes"]:
        target = node["target"]
        if not _OPERATOR.fullmatch(target) or target.startswith(_FORBIDDEN):
            raise ValueError(f"it calls {target}")
        node["metadata"] = {}
    plain = json.dumps(document, separators=(",", ":"))
    if '"expr_str"' in plain:
        raise ValueError("its shapes are symbolic")
    return plain.encode()
