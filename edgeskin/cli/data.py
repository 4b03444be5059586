"""`edgeskin data`: what a data source holds, as edgeskin reads it, and a manifest of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import DataArgument, Force, Json, takes_data

if TYPE_CHECKING:
    from edgeskin.data.manifest import ImageData
    from edgeskin.data.summary import DataSummary

_SHOWN = 5


@takes_data
def data(
    data: DataArgument,
    out: Annotated[
        Path | None, typer.Option(help="The manifest to write: a .csv of files, splits, labels.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show images by split and class, sizes, unreadable files and duplicates across splits."""
    from edgeskin.data.summary import summarize, write_manifest
    from edgeskin.files import check_writable

    if out is not None:
        check_writable(out, force=force)
    with console.progress() as progress:
        summary = summarize(data, progress)
    if json:
        console.emit(summary.to_json())
    else:
        print_summary(summary)
    if out is not None:
        usable = write_manifest(data, out, force=force)
        console.say(_use(data, out) if usable else f"{out} is a record: the images lie in no files")


def _use(data: ImageData, out: Path) -> str:
    """How the manifest is passed on."""
    folder = data.listing.folder
    elsewhere = "" if folder == out.parent.resolve() else f" --image-dir {folder}"
    return f"use it as --data {out}{elsewhere}"


def print_summary(summary: DataSummary) -> None:
    lines = [
        f"{summary.data}: {summary.images} images, {summary.layout}",
        f"splits: {summary.rule or 'as the data say'}",
    ]
    if summary.sizes is not None:
        sizes = summary.sizes
        lines.append(
            f"shorter edge: {sizes.smallest} to {sizes.largest} pixels, median {sizes.median}"
        )
    if summary.group_column is not None:
        lines.append(f"groups: {summary.groups} by {summary.group_column}")
    for line in [*lines, *_faults(summary)]:
        print(console.printable(line))
    columns = ("split", "images")
    console.table("splits", columns, [(s, str(n)) for s, n in summary.splits.items()])
    for name, by_split in summary.classes.items():
        classes = sorted({label for counts in by_split.values() for label in counts})
        rows = [
            (console.printable(c) or "(none)", *(str(n.get(c, 0)) for n in by_split.values()))
            for c in classes[:100]
        ]
        console.table(name, ("class", *by_split), rows)


def _faults(summary: DataSummary) -> Iterator[str]:
    if summary.unreadable:
        first = next(iter(summary.unreadable.values()))
        yield f"{len(summary.unreadable)} cannot be read, the first: {first}"
    if shared := summary.groups_in_several_splits:
        yield f"{len(shared)} groups are in several splits: {', '.join(shared[:_SHOWN])}"
    if summary.duplicates:
        pairs = "; ".join(" = ".join(names) for names in summary.duplicates[:_SHOWN])
        yield f"{len(summary.duplicates)} images are the same in several splits: {pairs}"
