"""Converted models on disk: what each carries inside, and the manifest beside them.

Every artifact holds its spec, so that one file is enough to use it: a TFLite
file in its associated file `edgeskin.json`, an ONNX file in `metadata_props`, a
Core ML package in its user-defined metadata. Reading them needs no runtime and
no converter: a zip directory and a few protobuf fields are all there is to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from edgeskin.conversion import CpuCost, SelfCheck, SourceRecord, Speed, Tried
from edgeskin.destinations import is_portable
from edgeskin.document import Document, PartialDocument
from edgeskin.errors import InvalidArtifact, InvalidResult
from edgeskin.files import locked, sha256, size_bytes, write_json
from edgeskin.formats import format_of
from edgeskin.formats.model_audit import AuditSummary
from edgeskin.spec import ClassificationHead, SegmentationHead, Spec
from edgeskin.version import __version__

Io = Literal["app", "tensor"]
Precision = Literal["fp32", "fp16", "int8"]
Target = Literal["tflite", "coreml", "onnx"]
MANIFEST = "manifest.json"


class Compiled(Document):
    """What a file was compiled for, ahead of time: nothing else runs it.

    Attributes:
        chip: By its maker's name, such as "SM8750".
        sdk: Version of Qualcomm's AI runtime (QAIRT); an older one on the phone may refuse it.
        source_sha256: Of the file that it was compiled from.
    """

    chip: str
    sdk: str
    source_sha256: str


@dataclass(frozen=True)
class Metadata:
    """What an artifact says about itself."""

    spec: Spec
    io: Io
    precision: Precision
    edgeskin_version: str = __version__
    weights_sha256: str = ""
    """Of the trained float weights, so that a file can be told from that of another epoch."""
    compiled: Compiled | None = None

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
            **({"edgeskin.compiled": json.dumps(self.compiled.to_json())} if self.compiled else {}),
        }

    @classmethod
    def from_entries(cls, entries: Mapping[str, str], *, where: str) -> Metadata:
        """The metadata in the entries of an artifact.

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
            _compiled(entries.get("edgeskin.compiled"), where),
        )


def _compiled(text: str | None, where: str) -> Compiled | None:
    try:
        return None if text is None else Compiled.from_json(text, where=where)
    except InvalidResult as error:
        raise InvalidArtifact(f"what {where} was compiled for is damaged: {error}") from error


class ManifestEntry(PartialDocument):
    """What `manifest.json` says of one file.

    Attributes:
        conversion_s: Wall time in seconds, without what went into `speed`.
        scales: Of an INT8 file, where its scales come from; None of a float one.
        tools: Versions by package.
        parity: The file beside its source, on synthetic images.
        speed: Of an INT8 file, beside float; None where nobody asked.
        cpu_cost: Of a file for a CPU and others, beside one for the CPU alone; None likewise.
        warnings: What calibration found doubtful in the program of an INT8 file.
        audit: What the file holds, in short.
        destinations: Where it is to run, as `edgeskin convert --for` names it.
        tried: By destination, what its compiler made of the file.
        compiled: What it was compiled for, ahead of time.
        verification: By "DATA/SPLIT", what `edgeskin verify` gave there.
    """

    sha256: str
    target: str = ""
    precision: str = ""
    io: str = ""
    size_bytes: int = 0
    conversion_s: float | None = None
    source: SourceRecord | None = None
    scales: dict[str, Any] | None = None
    tools: dict[str, str] | None = None
    parity: SelfCheck | None = None
    speed: Speed | None = None
    cpu_cost: CpuCost | None = None
    warnings: tuple[str, ...] = ()
    audit: AuditSummary | None = None
    destinations: tuple[str, ...] = ()
    tried: dict[str, Tried] | None = None
    compiled: Compiled | None = None
    verification: dict[str, dict[str, Any]] | None = None

    @property
    def portable(self) -> bool:
        """Made for other processors than CPUs too: docs/decisions/0021."""
        return is_portable(self.destinations)

    def verified(self, evidence: Evidence) -> ManifestEntry:
        """The entry with what `edgeskin verify` gave; other data sets' stay."""
        name = f"{evidence.data}/{evidence.split}"
        kept = {**(self.verification or {}), name: evidence.to_json()}
        return self.model_copy(update={"verification": kept})


class Artifact(ManifestEntry):
    """One converted model: its entry in the manifest, and where it lies."""

    path: Path

    def entry(self) -> ManifestEntry:
        """What the manifest says of it; where it lies is nobody's business."""
        known = self.model_fields_set - {"path"}
        return ManifestEntry(**{key: value for key, value in self if key in known})


class Manifest(Document):
    """`manifest.json`: an entry a file, by its name."""

    version: int
    artifacts: dict[str, ManifestEntry]


class Evidence(Document):
    """Base of what is measured of an artifact, a file name, on a split of a data set.

    `data_rule` is how images came into splits where the data do not say, and what was left out.
    """

    version: int = 1
    artifact: str
    data: str
    split: str
    data_rule: str | None = None


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
        stored_labels = {name: tuple(names) for name, names in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidArtifact(f"the labels inside {where} are damaged: {error}") from error
    for name, names in labels(spec).items():
        if name in stored_labels and stored_labels[name] != names:
            raise InvalidArtifact(
                f"{where} has two orders of labels for '{name}': {', '.join(names)} in its spec, "
                f"{', '.join(stored_labels[name])} beside it. It was changed; convert it again."
            )


def read_metadata(path: Path) -> Metadata:
    """What `path`, a `.tflite`, `.onnx` or `.mlpackage`, says about itself.

    Raises:
        InvalidArtifact: Missing, truncated, of an unknown type, or not made by edgeskin.
        InvalidSpec: The spec inside is of a newer edgeskin.
    """
    path = Path(path)
    with format_of(path).part("metadata") as module:
        return Metadata.from_entries(module.entries(path), where=str(path))


def read_manifest(folder: Path) -> dict[str, ManifestEntry]:
    """The entries of `folder/manifest.json` by file name; empty where there is none of ours.

    Raises:
        InvalidArtifact: It is damaged, or of another version.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_bytes())
        if isinstance(document, dict) and "artifacts" not in document:
            return {}  # another program's, a web app's for instance
        if (version := document["version"]) != 1:
            raise InvalidArtifact(f"{path} has version {version}; upgrade edgeskin")
        return Manifest.from_json(document, where="it").artifacts
    except (ValueError, KeyError, TypeError, InvalidResult) as error:
        raise InvalidArtifact(
            f"{path} is damaged: {error}. Remove it and convert again."
        ) from error


def check_manifest(path: Path) -> ManifestEntry | None:
    """The manifest entry of `path`, after comparing its hash; None where nothing names it.

    Raises:
        InvalidArtifact: The manifest beside it names another hash.
    """
    path = Path(path)
    entry = read_manifest(path.parent).get(path.name)
    if entry is None:
        return None
    if (actual := sha256(path)) != entry.sha256:
        raise InvalidArtifact(
            f"{path} is not the file its manifest names: sha256 {actual[:16]}... against "
            f"{entry.sha256[:16]}... It was changed or replaced; convert it again."
        )
    return entry


def record(path: Path, evidence: Evidence) -> None:
    """Keep what was verified in the manifest entry of `path`; nowhere if nothing names it.

    One document a data set and split, `verification["DATA/SPLIT"]`: what one
    set showed does not replace what another did.
    """
    _update(Path(path), lambda entry: entry.verified(evidence))


def record_tried(path: Path, tried: Mapping[str, Tried]) -> None:
    """Keep what destinations' compilers made of `path`, as `record` does."""
    _update(Path(path), lambda entry: entry.model_copy(update={"tried": dict(tried)}))


def record_compiled(path: Path, source: Artifact, destination: str) -> Artifact:
    """The artifact `path` that was compiled from another one, now in the manifest too.

    It keeps where its source comes from, and none of what was measured of the source.
    """
    artifact = Artifact(
        path=path,
        sha256=sha256(path),
        target=source.target,
        precision=source.precision,
        io=source.io,
        size_bytes=size_bytes(path),
        source=source.source,
        scales=source.scales,
        tools=source.tools,
        destinations=(destination,),
        compiled=read_metadata(path).compiled,
    )
    with locked(path.parent):
        entries = read_manifest(path.parent)
        write_manifest(path.parent, {**entries, path.name: artifact.entry()})
    return artifact


def _update(path: Path, change: Callable[[ManifestEntry], ManifestEntry]) -> None:
    if path.name not in read_manifest(path.parent):
        return
    with locked(path.parent):
        entries = read_manifest(path.parent)
        if path.name in entries:
            entries[path.name] = change(entries[path.name])
            write_manifest(path.parent, entries)


def write_manifest(folder: Path, entries: Mapping[str, ManifestEntry]) -> None:
    """Replace `folder/manifest.json`, its entries in the order of their names."""
    manifest = Manifest(version=1, artifacts=dict(sorted(entries.items())))
    write_json(folder / MANIFEST, manifest.to_json())
