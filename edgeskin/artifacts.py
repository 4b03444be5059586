"""Converted models on disk: what each carries inside, and the manifest beside them.

Every artifact holds its spec, so that one file is enough to use it: a TFLite
file in its associated file `edgeskin.json`, an ONNX file in `metadata_props`, a
Core ML package in its user-defined metadata. Reading them needs no runtime and
no converter: a zip directory and a few protobuf fields are all there is to it.
"""

from __future__ import annotations

import json
import mmap
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from edgeskin.errors import InvalidArtifact
from edgeskin.files import locked, sha256, write_json
from edgeskin.mlpackage import Package
from edgeskin.spec import ClassificationHead, SegmentationHead, Spec
from edgeskin.version import __version__

Io = Literal["app", "tensor"]
Precision = Literal["fp32", "fp16", "int8"]
MANIFEST = "manifest.json"
TFLITE_ENTRY = "edgeskin.json"


@dataclass(frozen=True)
class Metadata:
    """What an artifact says about itself."""

    spec: Spec
    io: Io
    precision: Precision
    edgeskin_version: str = __version__
    weights_sha256: str = ""
    """Of the trained float weights, so that a file can be told from that of another epoch."""

    def entries(self) -> dict[str, str]:
        """The same as text keys and values, the form that ONNX and Core ML store."""
        return {
            "edgeskin.version": self.edgeskin_version,
            "edgeskin.io": self.io,
            "edgeskin.precision": self.precision,
            "edgeskin.spec": self.spec.to_json(),
            "edgeskin.labels": json.dumps(labels(self.spec), ensure_ascii=False),
            "edgeskin.license": self.spec.license,
            "edgeskin.weights_sha256": self.weights_sha256,
        }

    @classmethod
    def from_entries(cls, entries: Mapping[str, str], *, where: str) -> Metadata:
        """
        Raises:
            InvalidArtifact: An entry is missing, or the labels are not those of the spec.
            InvalidSpec: The spec is broken.
        """
        missing = [
            name for name in ("spec", "io", "precision") if f"edgeskin.{name}" not in entries
        ]
        if missing:
            raise InvalidArtifact(
                f"{where} carries no edgeskin {missing[0]}: it was converted by another tool, "
                "or its metadata was stripped. Convert it with edgeskin convert."
            )
        spec = Spec.from_json(entries["edgeskin.spec"], where=f"the spec inside {where}")
        if "edgeskin.labels" in entries:
            _check_labels(entries["edgeskin.labels"], spec, where)
        return cls(
            spec,
            cast(Io, entries["edgeskin.io"]),
            cast(Precision, entries["edgeskin.precision"]),
            entries.get("edgeskin.version", "unknown"),
            entries.get("edgeskin.weights_sha256", ""),
        )


@dataclass(frozen=True)
class Artifact:
    """One converted model: the file, and its entry in the manifest."""

    path: Path
    target: str
    precision: str
    io: str
    sha256: str
    size_bytes: int
    conversion_s: float
    parity: dict[str, Any]
    speed: dict[str, Any] | None = None
    """Of an INT8 file, against float: see `converters.speed`; None where nobody asked."""
    warnings: tuple[str, ...] = ()
    """What calibration found doubtful in the program that an INT8 file was made from."""
    audit: dict[str, Any] | None = None
    """What the file holds, in short: see `converters.audit.document.summary`."""
    portable: bool = False
    """Made for other processors than this machine's CPU: see docs/decisions/0021."""


def labels(spec: Spec) -> dict[str, tuple[str, ...]]:
    """Labels by output name, for the heads that have some."""
    return {
        head.name: head.labels
        for head in spec.heads
        if isinstance(head, ClassificationHead | SegmentationHead)
    }


def _check_labels(text: str, spec: Spec, where: str) -> None:
    """The labels that apps read, in their own entry or file, are those of the spec."""
    try:
        said = {name: tuple(names) for name, names in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidArtifact(f"the labels inside {where} are damaged: {error}") from error
    for name, names in labels(spec).items():
        if name in said and said[name] != names:
            raise InvalidArtifact(
                f"{where} has two orders of labels for '{name}': {', '.join(names)} in its spec, "
                f"{', '.join(said[name])} beside it. It was changed; convert it again."
            )


def read_metadata(path: Path) -> Metadata:
    """What `path`, a `.tflite`, `.onnx` or `.mlpackage`, says about itself.

    Raises:
        InvalidArtifact: Missing, truncated, of an unknown type, or not made by edgeskin.
        InvalidSpec: The spec inside is of a newer edgeskin.
    """
    path = Path(path)
    readers = {".tflite": _tflite_entries, ".onnx": _onnx_entries, ".mlpackage": _coreml_entries}
    if path.suffix not in readers:
        raise InvalidArtifact(f"{path} is none of {', '.join(readers)}")
    if not path.exists():
        raise InvalidArtifact(f"{path} is missing")
    return Metadata.from_entries(readers[path.suffix](path), where=str(path))


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of `folder/manifest.json` by file name; empty where there is none of ours."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_bytes())
        if isinstance(document, dict) and "artifacts" not in document:
            return {}  # another program's, a web app's for instance
        artifacts: dict[str, dict[str, Any]] = dict(document["artifacts"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArtifact(
            f"{path} is damaged: {error}. Remove it and convert again."
        ) from error
    if document.get("version") != 1:
        raise InvalidArtifact(f"{path} has version {document.get('version')}; upgrade edgeskin")
    return artifacts


def check_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest entry of `path`, after comparing its hash; None where nothing names it.

    Raises:
        InvalidArtifact: The manifest beside it names another hash.
    """
    path = Path(path)
    entry = read_manifest(path.parent).get(path.name)
    if entry is None:
        return None
    actual = sha256(path)
    if actual != entry.get("sha256"):
        raise InvalidArtifact(
            f"{path} is not the file its manifest names: sha256 {actual[:16]}... against "
            f"{str(entry.get('sha256'))[:16]}... It was changed or replaced; convert it again."
        )
    return entry


def record(path: Path, document: Mapping[str, Any]) -> None:
    """Keep what was verified in the manifest entry of `path`; nowhere if nothing names it.

    One document a data set and split, `verification["DATA/SPLIT"]`: what one
    set showed does not replace what another did.
    """
    path = Path(path)
    with locked(path.parent):
        entries = read_manifest(path.parent)
        if path.name in entries:
            kept = entries[path.name].setdefault("verification", {})
            kept[f"{document['data']}/{document['split']}"] = dict(document)
            write_manifest(path.parent, entries)


def write_manifest(folder: Path, entries: Mapping[str, Any]) -> None:
    """Replace `folder/manifest.json`, its entries in the order of their names."""
    write_json(folder / MANIFEST, {"version": 1, "artifacts": dict(sorted(entries.items()))})


def _tflite_entries(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        if file.read(8)[4:] != b"TFL3":
            raise InvalidArtifact(f"{path} is not a TFLite file")
    try:
        with zipfile.ZipFile(path) as packed:
            document = json.loads(packed.read(TFLITE_ENTRY))
            if not isinstance(document, dict):
                raise ValueError(f"a {type(document).__name__}")
            document["edgeskin.labels"] = {
                **json.loads(document.get("edgeskin.labels", "{}")),
                **_label_files(packed),
            }
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        raise InvalidArtifact(
            f"{path} carries no whole {TFLITE_ENTRY}: it is truncated, or converted by "
            "another tool. Convert it with edgeskin convert."
        ) from error
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in document.items()}


def _label_files(packed: zipfile.ZipFile) -> dict[str, list[str]]:
    """By output: what apps read that know TFLite Metadata but not edgeskin."""
    names = [name for name in packed.namelist() if name.endswith(".txt")]
    return {name.removesuffix(".txt"): packed.read(name).decode().splitlines() for name in names}


def _onnx_entries(path: Path) -> dict[str, str]:
    """ModelProto.metadata_props, field 14: repeated {1: key, 2: value}."""
    return _string_map(path, path, (14,))


def _coreml_entries(path: Path) -> dict[str, str]:
    """Model.description (2) .metadata (100) .userDefined (100): a map of strings."""
    return _string_map(path, Package.open(path).model_file, (2, 100, 100))


def _string_map(path: Path, file: Path, fields: tuple[int, ...]) -> dict[str, str]:
    if not file.is_file() or file.stat().st_size == 0:
        raise InvalidArtifact(f"{path} is not a whole model: {file.name} is missing or empty")
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            pairs = [dict(_fields(pair)) for pair in _descend(data, fields)]
            return {pair[1].decode(): pair.get(2, b"").decode() for pair in pairs}
        except (IndexError, KeyError, ValueError) as error:
            raise InvalidArtifact(
                f"{path} is truncated or not a {path.suffix} model: {error}"
            ) from error


def _descend(data: bytes | mmap.mmap, fields: tuple[int, ...]) -> Iterator[bytes]:
    """The messages at the end of a path of field numbers."""
    for _, value in _fields(data, wanted=fields[0]):
        yield from _descend(value, fields[1:]) if fields[1:] else [value]


def _fields(data: bytes | mmap.mmap, wanted: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Length-delimited fields of one protobuf message; numbers are stepped over."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError(f"field {number} ends {at + size - len(data)} bytes past the end")
            if wanted in (None, number):
                yield number, bytes(data[at : at + size])
            at += size
        elif wire == 0:
            _, at = _varint(data, at)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")


def _varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
