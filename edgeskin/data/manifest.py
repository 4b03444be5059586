"""A data folder: `manifest.csv` with one row an image, and the images it names.

Columns: `file` (relative path), `split` (train, val, test), a column a label,
and whatever else (source, licence). A head finds its labels in the column of
its own name: class indices or label names for a classification, numbers for a
distribution or a regression.
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
    ClassificationHead,
    DistributionHead,
    Head,
    InputSpec,
    SegmentationHead,
    Spec,
)
from edgeskin.trusted import config_file, folders


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

        Raises:
            InvalidData: An empty or unknown label, with its line; or no column
                of any head at all.
        """
        found = {
            head.name: self._column(head)
            for head in spec.heads
            if not isinstance(head, SegmentationHead) and head.name in self.rows[0]
        }
        if not found and not all(isinstance(head, SegmentationHead) for head in spec.heads):
            wanted = ", ".join(head.name for head in spec.heads)
            raise InvalidData(
                f"{self.folder / 'manifest.csv'} has no label column for the model's heads "
                f"({wanted}); its columns are {', '.join(self.rows[0])}"
            )
        return found

    def digests(self) -> dict[Path, str]:
        """SHA-256 of each image file, as hex."""
        return {path: sha256(path) for path in self.paths}

    def _column(self, head: Head) -> NDArray[Any]:
        values = [self._label(head, row) for row in self.rows]
        return np.array(values, np.int64 if isinstance(head, ClassificationHead) else np.float64)

    def _label(self, head: Head, row: dict[str, str]) -> float:
        text = (row[head.name] or "").strip()
        if isinstance(head, ClassificationHead):
            if text in head.labels:
                return head.labels.index(text)
            if text.isdigit() and int(text) < len(head.labels):
                return int(text)
            expected = f"one of {', '.join(head.labels)} or 0..{len(head.labels) - 1}"
        else:
            least = head.first if isinstance(head, DistributionHead) else -np.inf
            try:
                if (value := _finite(text)) >= least:
                    return value
            except ValueError:
                pass
            expected = "a number" if least == -np.inf else f"a number from {least:g} on"
        raise InvalidData(
            f"{self.folder / 'manifest.csv'}: {row['file']} has {head.name} '{text}', "
            f"expected {expected}"
        )


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
