"""Where the labels of a head stand in the rows of a data source.

A head finds them in the column that was named for it, or in that of its own name; the only head
of classes of a model also in the source's column of classes. Where there is none of these, but a
column for each of its labels, with 0 or 1 in it, a head of classes takes those. A distribution's
label may be an interval, in two columns that end in `_low` and `_high`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeskin.data.data_options import DataOptions
from edgeskin.data.listing import BETWEEN_LABELS, FILE, Listing, Row
from edgeskin.errors import InvalidData
from edgeskin.spec import (
    LABELLED,
    ClassificationHead,
    DistributionHead,
    RegressionHead,
    Spec,
)

Labelled = ClassificationHead | DistributionHead | RegressionHead
_FLAGS: Mapping[str, bool] = {"0": False, "0.0": False, "1": True, "1.0": True}


@dataclass(frozen=True)
class LabelColumn:
    """A head's column, or its columns of 0 and 1, one a label.

    Attributes:
        name: For messages, too.
        where: The file that has it, for messages.
        one_hot: The names of its columns where they are several, those of the labels.
        intervals: Whether NAME_low and NAME_high stand beside it, for rows without a value.
    """

    name: str
    where: Path
    one_hot: tuple[str, ...] = ()
    intervals: bool = False

    def cell(self, row: Row) -> str:
        """The label as text, of several those with a 1, divided by `BETWEEN_LABELS`.

        Raises:
            InvalidData: One of several columns has neither 0 nor 1.
        """
        if not self.one_hot:
            return _text(row, self.name)
        return BETWEEN_LABELS.join(label for label in self.one_hot if self._flag(row, label))

    def _flag(self, row: Row, label: str) -> bool:
        text = _text(row, label)
        if text not in _FLAGS:
            raise InvalidData(f"{self.where}: {row[FILE]} has {label} '{text}', expected 0 or 1")
        return _FLAGS[text]


def label_columns(
    spec: Spec, row: Row, where: Path, listing: Listing | None, options: DataOptions
) -> Iterator[tuple[Labelled, LabelColumn]]:
    """The heads that have labels, with their columns; `row` is the first one of the file `where`.

    Raises:
        InvalidData: A column was named without a head, and the model has several.
    """
    heads = [head for head in spec.heads if isinstance(head, LABELLED)]
    for head in heads:
        alone = len(heads) == 1
        column = options.column_of(head.name, alone=alone)
        if column is None and head.name in row:
            column = head.name
        intervals = isinstance(head, DistributionHead) and _has_ends(column or head.name, row)
        if column is None and intervals:
            column = head.name
        if column is None and alone and isinstance(head, ClassificationHead) and listing:
            column = listing.label
        if column is not None:
            name = _of_all_classes(head, column, listing)
            yield head, LabelColumn(name, where, intervals=intervals)
        elif isinstance(head, ClassificationHead) and _is_one_hot(head, row, listing):
            yield head, LabelColumn(", ".join(head.labels), where, head.labels)


def _has_ends(name: str, row: Row) -> bool:
    return f"{name}_low" in row and f"{name}_high" in row


def _of_all_classes(head: Labelled, column: str, listing: Listing | None) -> str:
    """For the column of one class that of all of them, where the head takes any number."""
    if listing is None or listing.labels is None or column != listing.label:
        return column
    is_sigmoid = isinstance(head, ClassificationHead) and head.activation == "sigmoid"
    return listing.labels if is_sigmoid else column


def _is_one_hot(head: ClassificationHead, row: Row, listing: Listing | None) -> bool:
    """Whether each label is a column of 0 and 1: as in the first row, so in all."""
    if listing is not None and listing.labels is not None:  # there, such columns count
        return False
    return all(_text(row, label) in _FLAGS for label in head.labels)


def _text(row: Row, column: str) -> str:
    return (row.get(column) or "").strip()
