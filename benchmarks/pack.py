"""Test packs: images, labels and the float model's outputs, made once and run on many devices.

A pack is a folder:

    pack.json        the spec, where each image lies, its labels and groups, a hash of every file
    shard-000.bin    RGB pixels, one image after the other, rows tight; what travels to a device
    reference.npz    decoded outputs of the float model, a row an image; stays here

Images have numbers for names. What is kept of a data folder is the label columns, the columns
asked for as groups, and the SHA-256 of each file, by which its owner can find it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidData, InvalidPack
from edgeskin.files import atomic, sha256
from edgeskin.images import decode
from edgeskin.predictor import Predictor
from edgeskin.preprocess import preprocess
from edgeskin.spec import Spec

if TYPE_CHECKING:
    from edgeskin.data.manifest import Dataset

VERSION = 1
PACK, REFERENCE = "pack.json", "reference.npz"
SHARD_BYTES = 64 << 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Item:
    """One image: RGB uint8 (height, width, 3) at `offset` bytes of a shard."""

    shard: int
    offset: int
    width: int
    height: int
    source_sha256: str


@dataclass(frozen=True, eq=False)
class Pack:
    """A pack on disk; pixels are read when asked for.

    Attributes:
        ready: The pixels have the model's size already; else the device resizes them.
        truth: Labels by head, one an image, as `evaluation` takes them.
        groups: By column, each image's group.
        reference: The float model's decoded outputs, N images along the first axis.
        sha256: Of pack.json, which holds the hashes of all else: the pack's identity.
    """

    folder: Path
    spec: Spec
    ready: bool
    items: tuple[Item, ...]
    shards: tuple[str, ...]
    truth: dict[str, NDArray[Any]]
    groups: dict[str, tuple[str, ...]]
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


def make(
    reference: Predictor,
    data: Dataset,
    out: Path,
    *,
    ready: bool = False,
    groups: Sequence[str] = (),
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    progress: Progress | None = None,
) -> Pack:
    """Write a pack of every image of `data`, with what `reference` says of each.

    Args:
        reference: The float model, an opened run.
        data: One split of a data folder.
        out: The pack's folder.
        ready: Store the images as preprocessed (small, but the device's own pre-processing
            is not part of what is measured); else as decoded, at their full size.
        groups: Columns of the manifest to report accuracy by.
        shard_bytes: Start another shard when one is this large.

    Raises:
        InvalidData: A column of `groups` that the manifest does not have, or an unusable label.
        CannotWrite: `out` exists and `force` is False.
    """
    missing = [name for name in groups if name not in data.rows[0]]
    if missing:
        raise InvalidData(
            f"the manifest has no column '{missing[0]}'; it has {', '.join(data.rows[0])}"
        )
    truth = data.truth(reference.spec)
    with atomic(out, force=force) as fresh:
        fresh.mkdir()
        items, outputs = _write_images(reference, data, fresh, ready, shard_bytes, progress)
        np.savez(fresh / REFERENCE, **cast(dict[str, Any], outputs))
        files = sorted(path.name for path in fresh.iterdir())
        document = {
            "version": VERSION,
            "data": data.folder.resolve().name,
            "split": data.split,
            "spec": json.loads(reference.spec.to_json()),
            "ready": ready,
            "items": [asdict(item) for item in items],
            "labels": {name: values.tolist() for name, values in truth.items()},
            "groups": {name: [row[name] for row in data.rows] for name in groups},
            "sha256": {name: sha256(fresh / name) for name in files},
        }
        (fresh / PACK).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return read(out)


def read(folder: Path) -> Pack:
    """Open a pack, every file checked against its hash.

    Raises:
        InvalidPack: Missing, damaged, or of a newer edgeskin.
    """
    path = Path(folder) / PACK
    try:
        document = json.loads(path.read_bytes())
        if document["version"] != VERSION:
            raise InvalidPack(f"{path} has version {document['version']}; upgrade edgeskin")
        _check_files(path.parent, document["sha256"])
        with np.load(path.parent / REFERENCE, allow_pickle=False) as stored:
            reference = {name: stored[name] for name in stored.files}
        return Pack(
            folder=path.parent,
            spec=Spec.from_json(json.dumps(document["spec"]), where=str(path)),
            ready=document["ready"],
            items=tuple(Item(**item) for item in document["items"]),
            shards=tuple(sorted(name for name in document["sha256"] if name != REFERENCE)),
            truth={name: np.array(values) for name, values in document["labels"].items()},
            groups={name: tuple(values) for name, values in document["groups"].items()},
            reference=reference,
            sha256=sha256(path),
        )
    except FileNotFoundError as error:
        raise InvalidPack(
            f"{folder} is no pack: {Path(error.filename or path).name} is missing. "
            "Make one with edgeskin pack."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidPack(
            f"{path} is damaged ({error}). Make it again with edgeskin pack."
        ) from error


def _write_images(
    reference: Predictor,
    data: Dataset,
    folder: Path,
    ready: bool,
    shard_bytes: int,
    progress: Progress | None,
) -> tuple[list[Item], dict[str, NDArray[Any]]]:
    items: list[Item] = []
    outputs = []
    with _Shards(folder, shard_bytes) as shards:
        for done, path in enumerate(data.paths, start=1):
            image = decode(path)
            pixels = preprocess(image, reference.spec.input)
            shard, offset = shards.append(stored := pixels if ready else image)
            height, width = stored.shape[:2]
            items.append(Item(shard, offset, width, height, sha256(path)))
            outputs.append(reference.run(pixels))
            if progress:
                progress(done, len(data))
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
        return (self._folder / f"shard-{self._count - 1:03d}.bin").open("wb")

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _check_files(folder: Path, hashes: dict[str, str]) -> None:
    for name, expected in hashes.items():
        if (actual := sha256(folder / name)) != expected:
            raise InvalidPack(
                f"{folder / name} is not the file that was packed: sha256 {actual[:16]}... "
                f"against {expected[:16]}.... Make the pack again with edgeskin pack."
            )
