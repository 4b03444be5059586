"""Images in groups: by a column of their source, by bounds on its numbers, or by skin tone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgeskin.data.apparent_tone import Skin, tones
from edgeskin.data.dataset import Dataset
from edgeskin.data.listing import FILE, Row
from edgeskin.data.skin_tone import TONE_NAMES
from edgeskin.errors import InvalidData
from edgeskin.progress import Progress, silent
from edgeskin.subgroups import ALLOWED_POINTS, NOT_STATED, Grouping

SKIN_TONE = "skin_tone"
LOW, HIGH = "_low", "_high"
"""Of the columns with the ends of an interval, behind the name of the column of numbers."""


@dataclass(frozen=True)
class GroupOptions:
    """What to group images by, and where their skin is.

    Attributes:
        by: Columns of the data source, `COLUMN:BOUND,BOUND` for a column of numbers, or
            `skin_tone`, for which `skin_model` or `skin_mask` says which pixels are skin.
        skin_model: A run or artifact with a segmentation head that has a label "skin".
        skin_mask: A column of masks, of skin where their level is above 0.
        allowed_points: By how much the gap between groups may grow, in points of a ratio.
    """

    by: Sequence[str] = ()
    skin_model: Path | str | None = None
    skin_mask: str | None = None
    allowed_points: float = ALLOWED_POINTS

    def __post_init__(self) -> None:
        sources = [x for x in (self.skin_model, self.skin_mask) if x is not None]
        if sources and SKIN_TONE not in self.by:
            raise InvalidData(
                f"{sources[0]} says where skin is, and nothing asks for it: add --by {SKIN_TONE}"
            )
        if len(sources) == 2:
            raise InvalidData(
                f"skin is said to be where {self.skin_model} finds it and where {self.skin_mask} "
                "has it: leave --skin-model or --skin-mask out"
            )
        if twice := next((by for i, by in enumerate(self.by) if by in self.by[:i]), None):
            raise InvalidData(f"--by {twice} is given twice")


def group_images(
    data: Dataset,
    options: GroupOptions,
    *,
    trust: bool = False,
    progress: Progress = silent,
) -> dict[str, Grouping]:
    """The groups of a split's images, by each of `options.by`.

    Raises:
        InvalidData: No such column, a cell that is no number, bounds that do not rise, or skin
            tone without a word on where skin is.
        UnknownName: The skin model has no head with a label "skin".
        NotTrusted: The skin model names code that needs `trust`.
    """
    columns = {by: _parse(by, data) for by in options.by}  # all, before one of them takes time
    skin = Skin(options.skin_model, options.skin_mask, trust)
    if measured := _is_measured(data, skin) and SKIN_TONE in columns:
        skin.check(data)
    return {
        by: Grouping.of(tones(data, skin, progress), skin.rule, TONE_NAMES)
        if measured and by == SKIN_TONE
        else _by_column(data, column, bounds)
        for by, (column, bounds) in columns.items()
    }


def _is_measured(data: Dataset, skin: Skin) -> bool:
    """A column that somebody called skin_tone is taken where nothing says which pixels are skin."""
    return skin.known or SKIN_TONE not in data.rows[0]


def _parse(by: str, data: Dataset) -> tuple[str, tuple[float, ...]]:
    """(column, bounds) of `COLUMN` or `COLUMN:BOUND,BOUND`."""
    column, colon, text = by.rpartition(":")
    if by in data.rows[0] or not colon:
        column, colon = by, ""
    if by != SKIN_TONE and column not in data.rows[0]:
        raise InvalidData(
            f"{data.where} has no column '{column}' to group by; it has "
            f"{', '.join(data.rows[0])}, and {SKIN_TONE} can be measured"
        )
    return column, _bounds(by, text) if colon else ()


def _bounds(by: str, text: str) -> tuple[float, ...]:
    try:
        bounds = tuple(float(bound) for bound in text.split(","))
    except ValueError:
        bounds = ()
    if not bounds or not np.isfinite(bounds).all() or list(bounds) != sorted(set(bounds)):
        raise InvalidData(f"--by {by}: bounds are rising numbers, as in --by age:30,50")
    return bounds


def _by_column(data: Dataset, column: str, bounds: tuple[float, ...]) -> Grouping:
    if bounds:
        return _by_bounds(data, column, bounds)
    cells = (_cell(row, column) for row in data.rows)
    return Grouping.of((cell or NOT_STATED for cell in cells), f"column {column}")


def _by_bounds(data: Dataset, column: str, bounds: tuple[float, ...]) -> Grouping:
    """A value that is a bound belongs to the group below it."""
    inner = (f"over {a:g} to {b:g}" for a, b in pairwise(bounds))
    names = (f"up to {bounds[0]:g}", *inner, f"over {bounds[-1]:g}")
    values = [_number(data, row, column) for row in data.rows]
    labels = (NOT_STATED if v is None else names[np.searchsorted(bounds, v)] for v in values)
    rule = f"column {column} cut at {', '.join(f'{bound:g}' for bound in bounds)}"
    if column + LOW in data.rows[0]:
        rule += f"; where it is empty, the middle of {column}{LOW} and {column}{HIGH}"
    return Grouping.of(labels, rule, names)


def _number(data: Dataset, row: Row, column: str) -> float | None:
    """The cell, or the middle of its interval; None where both are empty."""
    names = (column,) if _cell(row, column) else (column + LOW, column + HIGH)
    cells = [_cell(row, name) for name in names]
    if not all(cells):
        return None
    try:
        value = float(np.mean([float(cell) for cell in cells]))
        if np.isfinite(value):
            return value
    except ValueError:
        pass
    raise InvalidData(
        f"{data.where}: {row[FILE]} has {' and '.join(names)} '{' and '.join(cells)}', expected a "
        "number to cut by bounds, or an empty cell"
    )


def _cell(row: Row, column: str) -> str:
    """The text of a cell; "" where nothing is known, which pandas writes as nan."""
    text = (row.get(column) or "").strip()
    return "" if text.lower() == "nan" else text
