"""The labelled images of one split: pixels, labels and masks as a model's spec wants them.

See `label_columns` for where a head finds its labels. A softmax classification takes a class index
or label name, a sigmoid one any number of them, divided by `|` (an empty cell: none), a
distribution or a regression a number; a distribution without ranges also an interval, in the
columns NAME_low and NAME_high, where NAME is empty. A segmentation head finds its masks in `mask`,
or in the column of its own name. Embeddings and tensors have no labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.data_options import DataOptions
from edgeskin.data.label_columns import LabelColumn, Labelled, label_columns
from edgeskin.data.listing import (
    BETWEEN_LABELS,
    FILE,
    MASK,
    MASKS,
    NO_LABELS,
    Listing,
    ReadBytes,
    Row,
)
from edgeskin.data.segmentation_truth import one_level_a_label, over_the_input, truth_of
from edgeskin.errors import InvalidData, InvalidImage
from edgeskin.files import inside, sha256
from edgeskin.images import decode, decode_levels, upright_size
from edgeskin.preprocess import preprocess
from edgeskin.progress import Progress, silent
from edgeskin.spec import (
    LABELLED,
    ClassificationHead,
    DistributionHead,
    InputSpec,
    RegressionHead,
    SegmentationHead,
    Spec,
)
from edgeskin.trusted import folders


@dataclass(frozen=True)
class SourceImage:
    """An image as it lies on disk: a file, or bytes inside another one."""

    name: str
    place: Path | ReadBytes

    def content(self) -> Path | bytes:
        return self.place if isinstance(self.place, Path) else self.place()

    def decode(self) -> NDArray[np.uint8]:
        """RGB, uint8 (height, width, 3); raises InvalidImage with its name."""
        with _named(self.name):
            return decode(self.content())

    def upright_size(self) -> tuple[int, int]:
        """(height, width) from the header; raises InvalidImage with its name."""
        with _named(self.name):
            return upright_size(self.content())

    def levels(self) -> NDArray[np.uint8]:
        """Of a mask: (height, width); raises InvalidImage with its name."""
        with _named(self.name):
            return decode_levels(self.content())

    def sha256(self) -> str:
        """Of its bytes, as hex."""
        content = self.content()
        return sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put an image's name where the decoder, which has only its bytes, says `<bytes>`."""
    try:
        yield
    except InvalidImage as error:
        if not str(error).startswith("<bytes>"):
            raise
        raise InvalidImage(str(error).replace("<bytes>", name, 1)) from error


@dataclass(frozen=True)
class Origin:
    """Where a split comes from, and what was decided on the way.

    Attributes:
        rule: How images came into splits where the source does not say; None where it does.
        skipped: Images that cannot be read and were left out, by name.
    """

    listing: Listing
    options: DataOptions = field(default_factory=DataOptions)
    rule: str | None = None
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """The rows of one split of a data source."""

    folder: Path
    split: str
    rows: tuple[Row, ...]
    origin: Origin | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def name(self) -> str:
        """What documents call the data: the folder, or the table where there is one."""
        where = self.where
        return (where if where.is_dir() else where.parent).resolve().name

    @property
    def where(self) -> Path:
        """The file or folder that lists the images, for messages."""
        return self.folder / "manifest.csv" if self.origin is None else self.origin.listing.path

    @property
    def rule(self) -> str | None:
        """What was decided that the data do not say: splits, images left out; for records."""
        if self.origin is None:
            return None
        skipped = self.origin.skipped
        left_out = f"left out, for they cannot be read: {', '.join(skipped)} ({len(skipped)})"
        return "; ".join(filter(None, (self.origin.rule, left_out if skipped else ""))) or None

    @cached_property
    def images(self) -> tuple[SourceImage, ...]:
        """Each row's image, nothing read yet."""
        return tuple(self._image(row[FILE]) for row in self.rows)

    @property
    def paths(self) -> list[Path]:
        """Of images that are files.

        Raises:
            InvalidData: They lie inside other files: use `images`.
        """
        for image in self.images:
            if not isinstance(image.place, Path):
                raise InvalidData(f"{image.name} is no file of its own; read it by Dataset.images")
        return [self.folder / row[FILE] for row in self.rows]

    @property
    def licenses(self) -> list[str]:
        """The distinct licences of the images, in order of appearance."""
        return list(dict.fromkeys(row["license"] for row in self.rows if row.get("license")))

    def take(self, count: int, seed: int = 0) -> Dataset:
        """At most `count` rows, drawn without replacement, in the source's order."""
        if count >= len(self.rows):
            return self
        chosen = np.random.default_rng(seed).choice(len(self.rows), count, replace=False)
        return replace(self, rows=tuple(self.rows[i] for i in sorted(chosen)))

    def pixels(self, spec: InputSpec, progress: Progress = silent) -> NDArray[np.uint8]:
        """Every image decoded and preprocessed: uint8 (N, height, width, 3), RGB."""

        def one(image: SourceImage) -> NDArray[np.uint8]:
            return preprocess(image.decode(), spec)

        out = np.empty((len(self), spec.height, spec.width, 3), np.uint8)
        with ThreadPoolExecutor() as pool:
            for i, image in enumerate(pool.map(one, self.images)):
                out[i] = image
                progress("reading images", i + 1, len(self))
        return out

    def truth(self, spec: Spec) -> dict[str, NDArray[Any]]:
        """Labels and masks by head, for the heads that have any; `unlabelled` says if none has.

        Raises:
            InvalidData: As `labels` and `masks`.
        """
        return self.labels(spec) | self.masks(spec)

    def unlabelled(self, spec: Spec) -> str | None:
        """The remark that no column is the labels or masks of a head, or None.

        Images that come without any column of labels need no such remark, and neither does a
        model whose heads have no labels.
        """
        wanted = [h.name for h in spec.heads if isinstance(h, (*LABELLED, SegmentationHead))]
        columns = [name for name in self.rows[0] if name not in NO_LABELS]
        if not wanted or not columns or any(self._columns(spec)) or self._mask_columns(spec):
            return None
        return (
            f"none of the columns {', '.join(columns)} is of a head ({', '.join(wanted)}), so that "
            "outputs are compared and no metrics: --label-column HEAD=COLUMN names one"
        )

    def rule_for(self, spec: Spec) -> str | None:
        """`rule`, and what `unlabelled` says."""
        return "; ".join(filter(None, (self.rule, self.unlabelled(spec)))) or None

    def labels(self, spec: Spec) -> dict[str, NDArray[Any]]:
        """Labels by head, for the heads whose column the source has.

        Returns:
            Class indices, int64 (N,); of sigmoid heads 0 or 1, int64 (N, C); else values,
            float64 (N,), or (N, 2) where labels are intervals: low and high, equal where exact.

        Raises:
            InvalidData: An empty or unknown label, with its image.
        """
        return {head.name: self._column(head, column) for head, column in self._columns(spec)}

    def class_names(self, spec: Spec) -> dict[str, list[str]]:
        """The classes of all images by name, for the classification heads that have a column."""
        return {
            head.name: [n for row in self.rows for n in _class_names(head, column.cell(row))]
            for head, column in self._columns(spec)
            if isinstance(head, ClassificationHead)
        }

    def masks(self, spec: Spec) -> dict[str, NDArray[np.int16]]:
        """The truth of segmentation heads at the size of the model's input.

        The mask is cut and resized as its image is, by the nearest pixel. See
        `segmentation_truth` for the levels; -1 is not annotated.

        Returns:
            By head, int16 (N, H, W) of label indices for softmax, (N, H, W, labels) for sigmoid.

        Raises:
            InvalidData: A mask is missing, of another shape than its image, or has a level that
                is no label.
            InvalidImage: A mask cannot be read.
        """
        return {
            head.name: self._masks_of(head, column, spec.input)
            for head, column in self._mask_columns(spec)
        }

    def levels(self, index: int, column: str) -> NDArray[np.uint8]:
        """The mask that a column names for an image, at its own size (H, W); above 0 is inside.

        Raises:
            InvalidData: The cell is empty.
            InvalidImage: The mask cannot be read.
        """
        row = self.rows[index]
        return self._levels(_FOREGROUND, row[FILE], row[column])

    def mask_files(self, index: int, column: str) -> list[SourceImage]:
        """The files of that mask, which lie over each other.

        Raises:
            InvalidData: One lies outside the data.
        """
        return [self._mask_file(name) for name in self.rows[index][column].split(MASKS)]

    def digests(self) -> dict[str, str]:
        """SHA-256 of each image file, as hex, by name."""
        return {image.name: image.sha256() for image in self.images}

    def _image(self, name: str) -> SourceImage:
        embedded = {} if self.origin is None else self.origin.listing.embedded
        return SourceImage(name, embedded.get(name) or self.folder / name)

    def _columns(self, spec: Spec) -> Iterator[tuple[Labelled, LabelColumn]]:
        """Heads with their label columns."""
        listing = None if self.origin is None else self.origin.listing
        options = DataOptions() if self.origin is None else self.origin.options
        return label_columns(spec, self.rows[0], self.where, listing, options)

    def _mask_columns(self, spec: Spec) -> list[tuple[SegmentationHead, str]]:
        heads = [head for head in spec.heads if isinstance(head, SegmentationHead)]
        columns = [(head, head.name if head.name in self.rows[0] else MASK) for head in heads]
        return [(head, column) for head, column in columns if column in self.rows[0]]

    def _masks_of(self, head: SegmentationHead, column: str, spec: InputSpec) -> NDArray[np.int16]:
        def one(row: Row) -> NDArray[np.uint8]:
            levels = self._levels(head, row[FILE], row[column])
            return over_the_input(levels, self._image(row[FILE]).upright_size(), row[FILE], spec)

        with ThreadPoolExecutor() as pool:
            masks = list(pool.map(one, self.rows))
        return truth_of(head, masks, [row[FILE] for row in self.rows])

    def _levels(self, head: SegmentationHead, name: str, cell: str) -> NDArray[np.uint8]:
        """A mask's levels; of several masks of an image the highest."""
        drawn = None if self.origin is None else self.origin.listing.drawn.get(cell)
        if drawn is not None:
            return one_level_a_label(head, drawn, name)
        if not cell.strip():
            raise InvalidData(f"{self.where}: {name} has no mask")
        levels = [self._mask_file(file).levels() for file in cell.split(MASKS)]
        if len({plane.shape for plane in levels}) > 1:
            raise InvalidData(f"the masks of {name} are of different sizes")
        return np.maximum.reduce(levels)

    def _mask_file(self, name: str) -> SourceImage:
        image = self._image(name)
        if not isinstance(image.place, Path):
            return image
        try:
            return SourceImage(name, inside(self.folder, name, beyond=folders()))
        except ValueError as error:
            raise InvalidData(f"{self.where}: {error}") from error

    def _column(self, head: Labelled, column: LabelColumn) -> NDArray[Any]:
        match head:
            case ClassificationHead(activation="sigmoid"):
                chosen = [self._classes(head, row, column) for row in self.rows]
                has = [[index in row for index in range(len(head.labels))] for row in chosen]
                return np.array(has, np.int64)
            case ClassificationHead():
                return np.array([self._class(head, row, column) for row in self.rows], np.int64)
            case DistributionHead() if column.intervals:
                ends = np.array([self._interval(head, row, column) for row in self.rows])
                return ends if head.ranges is None else ends[:, 0]
        return np.array([self._value(head, row, column) for row in self.rows], np.float64)

    def _class(self, head: ClassificationHead, row: Row, column: LabelColumn) -> int:
        index = class_index(head, column.cell(row))
        if index is None:
            raise self._unknown(head, row, column, _classes_of(head))
        return index

    def _classes(self, head: ClassificationHead, row: Row, column: LabelColumn) -> set[int]:
        chosen = {class_index(head, text) for text in _several(column.cell(row))}
        if None in chosen:
            expected = f"{_classes_of(head)}, divided by {BETWEEN_LABELS}"
            raise self._unknown(head, row, column, expected)
        return {index for index in chosen if index is not None}

    def _value(
        self, head: DistributionHead | RegressionHead, row: Row, column: LabelColumn
    ) -> float:
        least = _least(head) if isinstance(head, DistributionHead) else -np.inf
        try:
            if (value := _finite(column.cell(row))) >= least:
                return value
        except ValueError:
            pass
        expected = "a number" if least == -np.inf else f"a number from {least:g} on"
        raise self._unknown(head, row, column, expected)

    def _interval(
        self, head: DistributionHead, row: Row, column: LabelColumn
    ) -> tuple[float, float]:
        """A row's exact value, twice, or the two ends of its interval."""
        if (row.get(column.name) or "").strip():
            value = self._value(head, row, column)
            return value, value
        if head.ranges is not None:
            raise InvalidData(
                f"{self.where}: {row[FILE]} has no {column.name}, and '{head.name}' has ranges "
                f"({', '.join(head.ranges.labels)}), of which an interval may meet several: give "
                "its value, or leave the image out"
            )
        ends = [replace(column, name=f"{column.name}_{end}", intervals=False) for end in _ENDS]
        if not any(end.cell(row) for end in ends):
            raise InvalidData(
                f"{self.where}: {row[FILE]} has neither {column.name} nor "
                f"{ends[0].name} and {ends[1].name}"
            )
        low, high = (self._value(head, row, end) for end in ends)
        if low > high:
            raise InvalidData(
                f"{self.where}: {row[FILE]} has {ends[0].name} {low:g} above "
                f"{ends[1].name} {high:g}"
            )
        return low, high

    def _unknown(self, head: Labelled, row: Row, column: LabelColumn, expected: str) -> InvalidData:
        of_head = "" if column.name == head.name else f" for {head.name}"
        return InvalidData(
            f"{self.where}: {row[FILE]} has {column.name} '{column.cell(row)}', "
            f"expected {expected}{of_head}"
        )


_ENDS = ("low", "high")


def _least(head: DistributionHead) -> float:
    """The smallest label: one step below the first value, such as no lesion of 1 to 65.

    It counts as the first value; nothing below 0 does where no value is.
    """
    below = head.first - head.step
    return max(0.0, below) if head.first >= 0 else below


_FOREGROUND = SegmentationHead(name="foreground", labels=("foreground",), activation="sigmoid")


def _several(text: str) -> list[str]:
    """The labels in the cell of a sigmoid head; none in an empty one."""
    return [label.strip() for label in text.split(BETWEEN_LABELS) if label.strip()]


def _classes_of(head: ClassificationHead) -> str:
    return f"one of {', '.join(head.labels)} or 0..{len(head.labels) - 1}"


def class_index(head: ClassificationHead, text: str) -> int | None:
    """The class that a label names, or whose number it is; None for neither."""
    if text in head.labels:
        return head.labels.index(text)
    number = text.removesuffix(".0")
    return int(number) if number.isdigit() and int(number) < len(head.labels) else None


def _class_names(head: ClassificationHead, text: str) -> list[str]:
    """The labels of a cell by name, where it may have their indices."""
    texts = _several(text) if head.activation == "sigmoid" else [text.strip()]
    indices = ((text, class_index(head, text)) for text in texts)
    return [text if index is None else head.labels[index] for text, index in indices]


def _finite(text: str) -> float:
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(text)
    return value
