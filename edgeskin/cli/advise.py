"""`edgeskin advise`: which of a folder's files to ship to which destination."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json


def advise(
    folder: Annotated[Path, typer.Argument(help="That edgeskin convert wrote.")],
    destinations: Annotated[
        str,
        typer.Option("--for", help="As edgeskin convert --for takes them, divided by commas."),
    ] = "cpu",
    json: Json = False,
) -> None:
    """Say which file to ship to each destination, and why; exit 1 if one has none."""
    from edgeskin.advice import advise as found_for
    from edgeskin.destinations import split_destinations

    found = found_for(folder, split_destinations(destinations))
    if json:
        console.emit([advice.to_json() for advice in found])
    for advice in () if json else found:
        print(f"{advice.destination}: {advice.file or 'no file of this folder'}")
        for line in advice.evidence:
            print(f"  measured: {line}")
        for line in advice.why:
            print(f"  {line}")
    missing = [advice for advice in found if advice.file is None]
    for advice in missing:
        console.error(
            f"{folder} has nothing for {advice.destination}, which wants {advice.wanted[0]}: "
            f"convert --for {advice.destination}"
        )
    if missing:
        raise typer.Exit(1)
