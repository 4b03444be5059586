"""A data folder: `manifest.csv` with one row an image, and the images it names.

Columns: `file` (relative path), `split` (train, val, test), a column a label,
and whatever else (source, licence). A head finds its labels in the column of
its own name: a class index or label name for a softmax classification; any number of
them, divided by `|`, for a sigmoid one (an empty cell: none); a number for a
distribution or a regression. Segmentations, embeddings and tensors have no labels.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidData
from edgeskin.files import inside, sha256
from edgeskin.images import decode
from edgeskin.preprocess import preprocess
from edgeskin.progress import Progress, silent
from edgeskin.spec import (
    LABELLED,
    ClassificationHead,
    DistributionHead,
    InputSpec,
    RegressionHead,
    Spec,
)
from edgeskin.trusted import config_file, folders

Labelled = ClassificationHead | DistributionHead | RegressionHead
BETWEEN_LABELS = "|"
"""In a cell of a sigmoid classification."""


@dataclass(frozen=True)
class Dataset:
    """The rows of one split of a data folder."""

    folder: Path
    split: str
    rows: tuple[dict[str, str], ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def paths(self) -> list[Path]:
        return [self.folder / row["file"] for row in self.rows]

    @property
    def licenses(self) -> list[str]:
        """The distinct licences of the images, in order of appearance."""
        return list(dict.fromkeys(row["license"] for row in self.rows if row.get("license")))

    def take(self, count: int, seed: int = 0) -> Dataset:
        """At most `count` rows, drawn without replacement, in manifest order."""
        if count >= len(self.rows):
            return self
        chosen = np.random.default_rng(seed).choice(len(self.rows), count, replace=False)
        return Dataset(self.folder, self.split, tuple(self.rows[i] for i in sorted(chosen)))

    def pixels(self, spec: InputSpec, progress: Progress = silent) -> NDArray[np.uint8]:
        """Every image decoded and preprocessed: uint8 (N, height, width, 3), RGB."""

        def one(path: Path) -> NDArray[np.uint8]:
            return preprocess(decode(path), spec)

        out = np.empty((len(self), spec.height, spec.width, 3), np.uint8)
        with ThreadPoolExecutor() as pool:
            for i, image in enumerate(pool.map(one, self.paths)):
                out[i] = image
                progress("reading images", i + 1, len(self))
        return out

    def truth(self, spec: Spec) -> dict[str, NDArray[Any]]:
        """Labels by head, for the heads whose column the manifest has.

        Returns:
            Class indices, int64 (N,); of sigmoid heads 0 or 1, int64 (N, C); else
            values, float64 (N,).

        Raises:
            InvalidData: An empty or unknown label, with its line; or no column
                of any head at all, where a head could have one.
        """
        found = self.labels(spec)
        if not found and any(isinstance(head, LABELLED) for head in spec.heads):
            wanted = ", ".join(head.name for head in spec.heads if isinstance(head, LABELLED))
            raise InvalidData(
                f"{self.folder / 'manifest.csv'} has no label column for the model's heads "
                f"({wanted}); its columns are {', '.join(self.rows[0])}"
            )
        return found

    def labels(self, spec: Spec) -> dict[str, NDArray[Any]]:
        """What `truth` returns, empty where the manifest has no column of any head.

        Raises:
            InvalidData: An empty or unknown label, with its line.
        """
        return {
            head.name: self._column(head)
            for head in spec.heads
            if isinstance(head, LABELLED) and head.name in self.rows[0]
        }

    def digests(self) -> dict[Path, str]:
        """SHA-256 of each image file, as hex."""
        return {path: sha256(path) for path in self.paths}

    def _column(self, head: Labelled) -> NDArray[Any]:
        match head:
            case ClassificationHead(activation="sigmoid"):
                chosen = [self._classes(head, row) for row in self.rows]
                has = [[index in row for index in range(len(head.labels))] for row in chosen]
                return np.array(has, np.int64)
            case ClassificationHead():
                return np.array([self._class(head, row) for row in self.rows], np.int64)
        return np.array([self._value(head, row) for row in self.rows], np.float64)

    def _class(self, head: ClassificationHead, row: dict[str, str]) -> int:
        index = class_index(head, cell(head, row))
        if index is None:
            raise self._unknown(head, row, _classes_of(head))
        return index

    def _classes(self, head: ClassificationHead, row: dict[str, str]) -> set[int]:
        chosen = {class_index(head, text) for text in cells(head, row)}
        if None in chosen:
            raise self._unknown(head, row, f"{_classes_of(head)}, divided by {BETWEEN_LABELS}")
        return {index for index in chosen if index is not None}

    def _value(self, head: DistributionHead | RegressionHead, row: dict[str, str]) -> float:
        least = head.first if isinstance(head, DistributionHead) else -np.inf
        try:
            if (value := _finite(cell(head, row))) >= least:
                return value
        except ValueError:
            pass
        expected = "a number" if least == -np.inf else f"a number from {least:g} on"
        raise self._unknown(head, row, expected)

    def _unknown(self, head: Labelled, row: dict[str, str], expected: str) -> InvalidData:
        return InvalidData(
            f"{self.folder / 'manifest.csv'}: {row['file']} has {head.name} "
            f"'{cell(head, row)}', expected {expected}"
        )


def cell(head: Labelled, row: dict[str, str]) -> str:
    """What a row of the manifest holds in the head's column."""
    return (row[head.name] or "").strip()


def cells(head: ClassificationHead, row: dict[str, str]) -> list[str]:
    """The labels in the cell of a sigmoid head; none in an empty one."""
    texts = (text.strip() for text in cell(head, row).split(BETWEEN_LABELS))
    return [text for text in texts if text]


def class_index(head: ClassificationHead, text: str) -> int | None:
    """The index of a label that is given by its name, else by its index; None if unknown."""
    if text in head.labels:
        return head.labels.index(text)
    return int(text) if text.isdigit() and int(text) < len(head.labels) else None


def _classes_of(head: ClassificationHead) -> str:
    return f"one of {', '.join(head.labels)} or 0..{len(head.labels) - 1}"


def load_split(folder: Path | str, split: str) -> Dataset:
    """One split of a data folder, its files checked for existence.

    Raises:
        InvalidData: No folder, manifest, column, row or image; a path that
            leaves the folder; an image listed but missing.
    """
    folder = Path(folder)
    rows = [row for row in read_manifest(folder) if row["split"] == split]
    if not rows:
        raise InvalidData(f"{folder / 'manifest.csv'} lists no image with split '{split}'")
    for row in rows:
        try:
            path = inside(folder, row["file"], beyond=folders())
        except ValueError as error:
            hint = f", or write that folder into {config_file()}" if "link to" in str(error) else ""
            raise InvalidData(f"{folder / 'manifest.csv'}: {error}{hint}") from error
        if not path.is_file():
            raise InvalidData(
                f"{folder / 'manifest.csv'} lists {row['file']}, but there is no such file"
            )
    return Dataset(folder, split, tuple(rows))


def has_split(folder: Path, split: str) -> bool:
    return any(row["split"] == split for row in read_manifest(folder))


def read_manifest(folder: Path) -> Sequence[dict[str, str]]:
    """All rows of `manifest.csv`."""
    path = folder / "manifest.csv"
    if not folder.is_dir():
        raise InvalidData(f"{folder} is not a folder")
    if not path.is_file():
        raise InvalidData(
            f"{folder} has no manifest.csv: one row an image, with columns file, split and labels"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(_checked(csv.DictReader(file), path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidData(f"{path} is not a UTF-8 CSV file: {error}") from error


def _checked(reader: csv.DictReader[str], path: Path) -> Iterator[dict[str, str]]:
    missing = {"file", "split"} - set(reader.fieldnames or ())
    if missing:
        header = "".join(reader.fieldnames or ())
        other = next((sign for sign in ";\t" if sign in header), None)
        hint = f"; its cells are divided by {other!r}, not by a comma: save it with commas"
        raise InvalidData(
            f"{path} lacks the column {', '.join(sorted(missing))}{hint if other else ''}"
        )
    for row in reader:
        if None in row.values() or None in row:
            raise InvalidData(f"{path}, line {reader.line_num}: not as many cells as columns")
        yield row


def _finite(text: str) -> float:
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(text)
    return value
