"""Test packs: images, labels and the float model's outputs, made once and run on many devices.

A pack is a folder:

    pack.json        the spec, where each image lies, its labels and groups, a hash of every file
    shard-000.bin    RGB pixels, one image after the other, rows tight; what travels to a device
    reference.npz    decoded outputs of the float model, a row an image; stays here

Images have numbers for names. What is kept of a data folder is the label columns, the columns
asked for as groups, and the SHA-256 of each file, by which its owner can find it again.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, JsonValue, ValidationError

from edgeskin.document import Document
from edgeskin.errors import InvalidData, InvalidPack
from edgeskin.files import atomic, inside, sha256
from edgeskin.postprocess import Outputs
from edgeskin.predictor import Predictor
from edgeskin.preprocess import preprocess
from edgeskin.progress import Progress, silent
from edgeskin.spec import ClassificationHead, DistributionHead, Head, Spec, first_problem
from edgeskin.subgroups import Grouping

if TYPE_CHECKING:
    from edgeskin.data.manifest import Dataset

VERSION = 1
PACK, REFERENCE = "pack.json", "reference.npz"
SHARD_BYTES = 64 << 20
MAX_SIDE = 32768  # ES_MAX_SIDE of the native core
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


@dataclass(frozen=True)
class Item:
    """One image: RGB uint8 (height, width, 3) at `offset` bytes of a shard."""

    shard: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    width: Side
    height: Side
    source_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @property
    def end(self) -> int:
        """The byte of the shard behind the image."""
        return self.offset + self.width * self.height * 3


Labels = dict[str, tuple[int | float, ...] | tuple[tuple[int | float, ...], ...]]
"""Labels by head, a number or a row an image; `truth_of` says of which head a row may be."""


class PackDocument(Document):
    """pack.json.

    `labels` and `groups` have a value an image, in the order of `items`. `group_names` has the
    groups in their order and `group_rules` how they came about, where that is known; `sha256` is
    that of each other file of the folder.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    version: int
    data: str
    split: str
    data_rule: str | None = None
    spec: dict[str, JsonValue]
    ready: bool
    items: tuple[Item, ...] = Field(min_length=1)
    labels: Labels
    groups: dict[str, tuple[str, ...]]
    group_names: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    group_rules: dict[str, str] = Field(default_factory=dict)
    sha256: dict[str, str]

    def groupings(self) -> dict[str, Grouping]:
        """The groups, by what they are made by."""
        return {
            by: Grouping.of(
                labels, self.group_rules.get(by, f"column {by}"), self.group_names.get(by, ())
            )
            for by, labels in self.groups.items()
        }


@dataclass(frozen=True, eq=False)
class Pack:
    """A pack on disk; pixels are read when asked for.

    Attributes:
        ready: The pixels have the model's size already; else the device resizes them.
        truth: Labels by head, as `evaluation` takes them.
        groups: By what the images are grouped by.
        reference: The float model's decoded outputs, N images along the first axis.
        sha256: Of pack.json, which holds the hashes of all else: the pack's identity.
    """

    folder: Path
    spec: Spec
    ready: bool
    items: tuple[Item, ...]
    shards: tuple[str, ...]
    truth: dict[str, NDArray[Any]]
    groups: dict[str, Grouping]
    reference: dict[str, NDArray[Any]]
    sha256: str

    def __len__(self) -> int:
        return len(self.items)

    def members(self, shard: int) -> list[int]:
        """Which images lie in a shard, in its order."""
        return [i for i, item in enumerate(self.items) if item.shard == shard]

    def image(self, index: int) -> NDArray[np.uint8]:
        """One image's pixels, uint8 (H, W, 3), RGB."""
        item = self.items[index]
        shape = (item.height, item.width, 3)
        path = self.folder / self.shards[item.shard]
        flat = np.fromfile(path, np.uint8, int(np.prod(shape)), offset=item.offset)
        return flat.reshape(shape)


@dataclass(frozen=True, eq=False)
class Entry:
    """An image for a pack: RGB uint8 (H, W, 3) as stored, its file's hash, outputs with N = 1."""

    image: NDArray[np.uint8]
    source_sha256: str
    outputs: Outputs


@dataclass(frozen=True, eq=False)
class Subject:
    """What a pack is of: names for records, the model, and labels and groups by image."""

    data: str
    split: str
    data_rule: str | None
    spec: Spec
    ready: bool
    truth: Mapping[str, NDArray[Any]]
    groups: Mapping[str, Grouping]


def make(
    reference: Predictor,
    data: Dataset,
    out: Path,
    *,
    ready: bool = False,
    groups: Mapping[str, Grouping] | None = None,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    progress: Progress = silent,
) -> Pack:
    """Write a pack of every image of `data`, with what `reference` says of each.

    Args:
        reference: The float model, an opened run.
        data: One split of a data folder.
        out: The pack's folder.
        ready: Store the images as preprocessed (small, but the device's own pre-processing
            is not part of what is measured); else as decoded, at their full size.
        groups: What to report accuracy by, as `data.grouping.group_images` makes them.
        shard_bytes: Start another shard when one is this large.

    Raises:
        InvalidData: An unusable label, or groups of other images.
        CannotWrite: `out` exists and `force` is False.
    """
    groups = groups or {}
    for by, grouping in groups.items():
        if len(grouping.labels) != len(data):
            raise InvalidData(
                f"the groups by {by} are of {len(grouping.labels)} images, {data.where} has "
                f"{len(data)} of split '{data.split}'. Group the images that are packed."
            )
    subject = Subject(
        data=data.name,
        split=data.split,
        data_rule=data.rule_for(reference.spec),
        spec=reference.spec,
        ready=ready,
        truth=data.labels(reference.spec),
        groups=groups,
    )
    with atomic(out, force=force) as fresh:
        fresh.mkdir()
        write(fresh, subject, _entries(reference, data, ready, progress), shard_bytes)
    return read(out)


def write(
    folder: Path, subject: Subject, entries: Iterable[Entry], shard_bytes: int = SHARD_BYTES
) -> None:
    """Fill an empty folder with a pack of `entries`; labels and groups are in their order."""
    items, outputs = _write_images(entries, folder, shard_bytes)
    np.savez(folder / REFERENCE, **cast(Mapping[str, Any], outputs))
    files = sorted(path.name for path in folder.iterdir())
    groups = subject.groups
    document = PackDocument(
        version=VERSION,
        data=subject.data,
        split=subject.split,
        data_rule=subject.data_rule,
        spec=json.loads(subject.spec.to_json()),
        ready=subject.ready,
        items=tuple(items),
        labels={name: plain(values) for name, values in subject.truth.items()},
        groups={by: grouping.labels for by, grouping in groups.items()},
        group_names={by: grouping.names for by, grouping in groups.items()},
        group_rules={by: grouping.rule for by, grouping in groups.items()},
        sha256={name: sha256(folder / name) for name in files},
    )
    (folder / PACK).write_text(json.dumps(document.to_json(), indent=1), encoding="utf-8")


def plain(values: NDArray[Any]) -> tuple[Any, ...]:
    """An array (N,) or (N, C) as pack.json holds it."""
    return tuple(tuple(v) if isinstance(v, list) else v for v in values.tolist())


def read(folder: Path) -> Pack:
    """Open a pack, every file checked against its hash, every image against its shard's size.

    Raises:
        InvalidPack: Missing, damaged, or of a newer edgeskin; or it names files outside `folder`.
    """
    path = Path(folder) / PACK
    try:
        text = path.read_bytes()
        document = _document(text, path)
        shards = _check_files(path.parent, document)
        with np.load(path.parent / REFERENCE, allow_pickle=False) as stored:
            reference = {name: stored[name] for name in stored.files}
        spec = Spec.from_json(json.dumps(document.spec), where=str(path))
        _check_rows(document, spec, reference)
        truth = truth_of(document.labels, spec)
    except FileNotFoundError as error:
        raise InvalidPack(
            f"{folder} is no pack: {Path(error.filename or path).name} is missing. "
            "Make one with edgeskin pack."
        ) from error
    except _DAMAGED as error:
        why = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise InvalidPack(
            f"{path} is damaged ({why}). Make it again with edgeskin pack."
        ) from error
    return Pack(
        folder=path.parent,
        spec=spec,
        ready=document.ready,
        items=document.items,
        shards=shards,
        truth=truth,
        groups=document.groupings(),
        reference=reference,
        sha256=hashlib.sha256(text).hexdigest(),
    )


_DAMAGED = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, MemoryError)


def _document(text: bytes, path: Path) -> PackDocument:
    version = json.loads(text)["version"]
    if version != VERSION:
        raise InvalidPack(f"{path} has version {version}; upgrade edgeskin")
    return PackDocument.model_validate_json(text)


def _check_files(folder: Path, document: PackDocument) -> tuple[str, ...]:
    """The shards' names, which `make` gives and no document chooses.

    Raises:
        ValueError: Other files are named, one is a link out of the folder, or an
            image does not lie in its shard.
        InvalidPack: A file is another one than was packed.
    """
    shards = tuple(map(_shard_name, range(len(document.sha256) - 1)))
    if foreign := document.sha256.keys() - {REFERENCE, *shards}:
        raise ValueError(f"it names {min(foreign)!r}; its files are {REFERENCE} and shards")
    for name, expected in document.sha256.items():
        if (actual := sha256(inside(folder, name))) != expected:
            raise InvalidPack(
                f"{folder / name} is not the file that was packed: sha256 {actual[:16]}... "
                f"against {expected[:16]}.... Make the pack again with edgeskin pack."
            )
    order = [item.shard for item in document.items]
    if order != sorted(order) or set(order) != set(range(len(shards))):
        raise ValueError(f"its images are not in the order of its {len(shards)} shards")
    sizes = [(folder / name).stat().st_size for name in shards]
    for index, item in enumerate(document.items):
        if item.end > sizes[item.shard]:
            raise ValueError(
                f"image {index} ends at byte {item.end} of {shards[item.shard]}, "
                f"which has {sizes[item.shard]}"
            )
    return shards


def _check_rows(document: PackDocument, spec: Spec, reference: Mapping[str, NDArray[Any]]) -> None:
    """Refuse labels, groups and reference outputs that do not fit the images and the spec.

    Raises:
        ValueError: Labels, groups or the float model's outputs are not one an image, or the
            outputs are of other heads than the spec's.
    """
    if (names := set(reference)) != set(spec.output_names("app")):
        raise ValueError(f"{REFERENCE} holds {sorted(names)}, the spec has other outputs")
    for column in (document.labels, document.groups, reference):
        for name, values in column.items():
            if len(values) != len(document.items):
                raise ValueError(
                    f"'{name}' has {len(values)} rows for {len(document.items)} images"
                )


def truth_of(labels: Labels, spec: Spec) -> dict[str, NDArray[Any]]:
    """Labels as arrays, (N,) or with a row an image.

    A sigmoid classification has a row of 0 and 1, and a distribution may have one of both ends of
    an interval; all others have one number an image.

    Raises:
        ValueError: They are of no head of the spec, or do not fit theirs.
    """
    heads, truth = {head.name: head for head in spec.heads}, {}
    for name, rows in labels.items():
        if name not in heads:
            raise ValueError(f"it has labels of {name!r}, which is no head of its spec")
        shapes = set(map(np.shape, rows))
        if len(shapes) > 1 or not shapes <= _shapes_of_a_label(heads[name]):
            raise ValueError(f"its labels of '{name}' do not fit that head")
        truth[name] = np.array(rows)
    return truth


def _shapes_of_a_label(head: Head) -> set[tuple[int, ...]]:
    if isinstance(head, ClassificationHead) and head.activation == "sigmoid":
        return {(len(head.labels),)}
    return {(), (2,)} if isinstance(head, DistributionHead) else {()}


def _entries(
    reference: Predictor, data: Dataset, ready: bool, progress: Progress
) -> Iterator[Entry]:
    for done, source in enumerate(data.images, start=1):
        image = source.decode()
        pixels = preprocess(image, reference.spec.input)
        yield Entry(pixels if ready else image, source.sha256(), reference.run(pixels))
        progress("packing", done, len(data))


def _write_images(
    entries: Iterable[Entry], folder: Path, shard_bytes: int
) -> tuple[list[Item], dict[str, NDArray[Any]]]:
    items: list[Item] = []
    outputs = []
    with _Shards(folder, shard_bytes) as shards:
        for entry in entries:
            shard, offset = shards.append(entry.image)
            height, width = entry.image.shape[:2]
            items.append(Item(shard, offset, width, height, entry.source_sha256))
            outputs.append(entry.outputs)
    return items, {name: np.concatenate([row[name] for row in outputs]) for name in outputs[0]}


class _Shards:
    """Appends images to shard-000.bin, shard-001.bin, ..."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._file: BinaryIO | None = None
        self._count = 0

    def append(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """(shard, offset in bytes) of the image."""
        if self._file is None or 0 < self._file.tell() > self._limit - image.nbytes:
            self._file = self._next()
        offset = self._file.tell()
        self._file.write(np.ascontiguousarray(image).tobytes())
        return self._count - 1, offset

    def _next(self) -> BinaryIO:
        self.__exit__()
        self._count += 1
        return (self._folder / _shard_name(self._count - 1)).open("wb")

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _shard_name(index: int) -> str:
    return f"shard-{index:03d}.bin"
