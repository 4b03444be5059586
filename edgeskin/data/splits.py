"""Splits for data that have none: by a hash, so that more files move no file.

An image's place is a number from 0 to 1 made of the seed and its group, or its path where there
is no group; the first 0.8 are train, the next tenth val, the rest test. A group is whole in one
split: a person whose one photo is trained on and whose other is tested on makes results too good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from edgeskin.data.listing import FILE, GROUP, SPLIT, Row, split_name
from edgeskin.errors import InvalidData

_BOUNDS = (("train", 0.8), ("val", 0.9), ("test", 1.0))
_NAMES_A_PERSON = (
    "person", "person_id", "patient", "patient_id", "subject", "subject_id", "lesion_id", GROUP,
)  # fmt: skip
_RARE = 20
"""Images below which a tenth may well be none."""


@dataclass(frozen=True)
class Split:
    """Rows that each have a `split`, and how they came by it; None where the source says it."""

    rows: tuple[Row, ...]
    rule: str | None
    group_column: str | None


def with_splits(rows: Sequence[Row], group_column: str | None, seed: int) -> Split:
    """Rows as they are where any says its split, else with splits that are made.

    A row that has none where others have one is in no split.

    Raises:
        InvalidData: A row has no group in a column that was named.
    """
    group = group_column or named_group(rows)
    if any(row.get(SPLIT, "").strip() for row in rows):
        named = tuple(row | {SPLIT: split_name(row.get(SPLIT, ""))} for row in rows)
        return Split(named, None, group)
    keys = [group_of(row, group, must=group_column is not None) for row in rows]
    made = tuple(row | {SPLIT: split_of(key, seed)} for row, key in zip(rows, keys, strict=True))
    what = f"'{group}', whole in one split" if group else "path"
    rule = f"80/10/10 by a hash of seed {seed} and each image's {what}: the data have no splits"
    return Split(made, rule, group)


def named_group(rows: Sequence[Row]) -> str | None:
    """The column that says which images belong together, by its name."""
    return next((name for name in _NAMES_A_PERSON if name in rows[0]), None)


def split_of(key: str, seed: int) -> str:
    """The split of a group or path, the same for ever."""
    digest = hashlib.sha256(f"{seed}/{key}".encode("utf-8", "surrogateescape")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return next(name for name, bound in _BOUNDS if place < bound or bound == 1.0)


def few(count: int) -> str:
    """A hint for messages about an empty split of so many images."""
    return " A tenth of so few may be none." if count < _RARE else ""


def group_of(row: Row, group: str | None, *, must: bool = False) -> str:
    """What of an image others have that belong with it: its group, or its file alone.

    Raises:
        InvalidData: It `must` have a group, and has none.
    """
    key = row[group].strip() if group else ""
    if must and not key:
        raise InvalidData(
            f"{row[FILE]} has no '{group}', by which images are kept in one split: fill it, or "
            "name another column with --group-column"
        )
    return key or row[FILE]
