"""What a data source holds, and the manifest that says so in one table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from edgeskin.data.dataset import Dataset, Origin, SourceImage
from edgeskin.data.listing import FILE, GROUP, SPLIT, Row
from edgeskin.data.manifest import EVERY, ImageData
from edgeskin.document import Document
from edgeskin.errors import InvalidData, InvalidImage
from edgeskin.files import atomic
from edgeskin.progress import Progress, silent

Count = dict[str, int]


class ImageSizes(Document):
    """Shorter edges of the images, in pixels."""

    smallest: int
    median: int
    largest: int


class DataSummary(Document):
    """A data source as edgeskin reads it.

    Attributes:
        layout: What was found.
        rule: How images came into splits, where the source does not say.
        splits: Images by split.
        classes: By label column and split, images by class.
        group_column: The column that names the person; null where none does.
        groups: How many there are.
        groups_in_several_splits: Those that are trained on and tested on.
        sizes: Null where no image can be read.
        unreadable: By name, why.
        duplicates: Names of images with the same bytes, in more than one split.
    """

    version: int = 1
    data: str
    layout: str
    rule: str | None
    images: int
    splits: Count
    classes: dict[str, dict[str, Count]]
    group_column: str | None
    groups: int
    groups_in_several_splits: tuple[str, ...]
    sizes: ImageSizes | None
    unreadable: dict[str, str]
    duplicates: tuple[tuple[str, ...], ...]


def summarize(data: ImageData, progress: Progress = silent) -> DataSummary:
    """Count a source's images by split and class, and look into every file.

    Raises:
        InvalidData: The source cannot be read; single images that cannot are in the summary.
    """
    rows, group = data.splits.rows, data.splits.group_column
    listing = data.listing
    everything = Dataset(listing.folder, EVERY, rows, Origin(listing, data.options))
    seen = _look(everything.images, progress)
    edges = [min(look.size) for look in seen if look.size is not None]
    return DataSummary(
        data=everything.name,
        layout=listing.layout,
        rule=data.splits.rule,
        images=len(rows),
        splits=dict(Counter(row[SPLIT] for row in rows)),
        classes={name: _by_split(rows, name) for name in _class_columns(data)},
        group_column=group,
        groups=len({row[group] for row in rows}) if group else 0,
        groups_in_several_splits=tuple(_in_several((r[group], r[SPLIT]) for r in rows))
        if group
        else (),
        sizes=_sizes(edges) if edges else None,
        unreadable={look.name: look.problem for look in seen if look.problem is not None},
        duplicates=tuple(_duplicates(rows, seen)),
    )


def write_manifest(data: ImageData, out: Path, *, force: bool = False) -> bool:
    """Write the rows of a source with their splits as `manifest.csv`.

    Returns:
        Whether it can be passed as `--data`, with `--image-dir` where it lies elsewhere: images
        and masks are files.

    Raises:
        CannotWrite: `out` exists and `force` is False.
    """
    group = data.splits.group_column
    rows = [
        row | ({GROUP: row[group]} if group and GROUP not in row else {})
        for row in data.splits.rows
    ]
    names = list(dict.fromkeys([FILE, SPLIT, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic(out, force=force) as fresh:
        fresh.write_text(text.getvalue(), encoding="utf-8")
    listing = data.listing
    return not listing.embedded and not listing.drawn


@dataclass(frozen=True)
class _Look:
    """A file that was looked into: its size and hash, or why it has none."""

    name: str
    size: tuple[int, int] | None
    sha256: str | None
    problem: str | None


def _look(images: Sequence[SourceImage], progress: Progress) -> list[_Look]:
    def one(image: SourceImage) -> _Look:
        try:
            return _Look(image.name, image.upright_size(), image.sha256(), None)
        except (InvalidImage, InvalidData) as error:
            return _Look(image.name, None, None, str(error))

    seen = []
    with ThreadPoolExecutor() as pool:
        for done, look in enumerate(pool.map(one, images), 1):
            seen.append(look)
            progress("looking into files", done, len(images))
    return seen


def _sizes(edges: Sequence[int]) -> ImageSizes:
    return ImageSizes(smallest=min(edges), median=round(median(edges)), largest=max(edges))


def _class_columns(data: ImageData) -> list[str]:
    named = [text.partition("=")[2] or text for text in data.options.label_columns]
    label = data.listing.label
    return list(dict.fromkeys([*named, *([label] if label else [])]))


def _by_split(rows: Sequence[Row], column: str) -> dict[str, Count]:
    splits = dict.fromkeys(row[SPLIT] for row in rows)
    return {s: dict(Counter(r[column] for r in rows if r[SPLIT] == s)) for s in splits}


def _in_several(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Of (what, split) those in more than one split."""
    splits: dict[str, set[str]] = {}
    for what, split in pairs:
        splits.setdefault(what, set()).add(split)
    return [what for what, where in splits.items() if what and len(where) > 1]


def _duplicates(rows: Sequence[Row], seen: Sequence[_Look]) -> Iterable[tuple[str, ...]]:
    same: dict[str, list[int]] = {}
    for index, look in enumerate(seen):
        if look.sha256 is not None:
            same.setdefault(look.sha256, []).append(index)
    for places in same.values():
        if len({rows[i][SPLIT] for i in places}) > 1:
            yield tuple(seen[i].name for i in places)
