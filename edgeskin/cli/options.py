"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from edgeskin.calibration.options import CalibrationOptions

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Data = Annotated[
    Path, typer.Option("--data", help="Folder with manifest.csv and the images it names.")
]
Split = Annotated[str, typer.Option(help="Split of the data folder: train, val or test.")]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Layers to leave in float: a pattern as 'blocks.0.*'; may be repeated."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run the code that a run names, whoever wrote it.")
]
SshConfig = Annotated[
    Path | None, typer.Option("--ssh-config", help="Instead of ~/.ssh/config (ssh -F).")
]


def calibration(
    scheme: str, method: str, samples: int, exclude: list[str] | None
) -> CalibrationOptions:
    """The words of the command line as options; what is unknown is refused where it is used."""
    from edgeskin.calibration.options import CalibrationOptions

    return CalibrationOptions(cast(Any, scheme), cast(Any, method), samples, tuple(exclude or ()))
