"""The images of a data source as its reader found them, before splits are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskin.images import SUFFIXES

Row = dict[str, str]
ReadBytes = Callable[[], bytes]


@dataclass(frozen=True)
class DrawnMask:
    """A mask that is drawn from annotations: (height, width) pixels, by category.

    Attributes:
        categories: Of the whole source, drawn here or not.
        draw: True where a category is; only those that the image has.
    """

    height: int
    width: int
    categories: tuple[str, ...]
    draw: Callable[[], Mapping[str, NDArray[np.bool_]]]


SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders and columns call a split, in lower case, and what it is called here."""

FILE, SPLIT, GROUP, MASK = "file", "split", "group", "mask"
MASKS = "|"
"""Between the files of an image that has several masks, which lie over each other."""
PICTURE_OF, CROP = "picture_of", "crop"
"""Of a stage's data: the image that a picture was made of, and where it lies in that."""
NO_LABELS = {FILE, SPLIT, GROUP, MASK, "license", "source", "source_path", "width", "height"}
NO_LABELS |= {PICTURE_OF, CROP}
"""Columns that label no image."""
BETWEEN_LABELS = "|"
"""In a cell with any number of labels."""


@dataclass(frozen=True)
class Listing:
    """All images of a data source.

    Attributes:
        layout: What was found, in words.
        path: The file or folder that says so, for messages.
        folder: What the rows' `file` and `mask` are relative to.
        rows: Text by column: `file` in each, `split` where the source has splits, `mask` where
            there is one.
        label: The column of the class, for a head whose own name is no column.
        labels: In place of `label` for a sigmoid head: the column of all classes of an image,
            divided by `BETWEEN_LABELS`.
        embedded: Bytes by `file` or `mask`, of images that are no files of their own.
        drawn: Masks by `mask`, that are no images at all.
    """

    layout: str
    path: Path
    folder: Path
    rows: tuple[Row, ...]
    label: str | None = None
    embedded: Mapping[str, ReadBytes] = field(default_factory=dict)
    drawn: Mapping[str, DrawnMask] = field(default_factory=dict)
    labels: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.rows[0]) if self.rows else ()


def split_name(text: str) -> str:
    """`valid` and `Validation` are val; what is no known name stays as it is."""
    return SPLITS.get(text.strip().lower(), text.strip())


def images_below(folder: Path) -> list[str]:
    """Paths of all image files below a folder, relative to it, sorted; hidden ones left out."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in _files(folder)
        if path.suffix.lower() in SUFFIXES
    )


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        yield from (Path(place, name) for name in files if not name.startswith("."))
