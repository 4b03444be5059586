"""`edgeskin stage-data`: images as a pipeline's last stage gets them, as a data folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Force, Json, Trust, takes_data


@takes_data
def stage_data(
    source: Annotated[
        Path, typer.Argument(help="A pipeline, or a first stage: an artifact or a run.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="The data folder to write.")],
    rules: Annotated[
        str | None,
        typer.Option(help="Of a first stage: a TOML file, or acne_presence, lesion_crops."),
    ] = None,
    force: Force = False,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Write images as the last stage gets them: to train, calibrate and verify it by itself."""
    from edgeskin.data.stage_data import stage_data as write

    with console.progress() as progress:
        record = write(source, data, out, rules=rules, force=force, trust=trust, progress=progress)
    if json:
        console.emit(record.to_json())
    counts = Counter(image.status for image in record.left_out)
    for status, count in counts.items():
        console.remark(f"left out, '{status}': {count} of {record.images}, named in stage.json")
    if record.masks_left_out is not None:
        console.remark(record.masks_left_out)
    console.say(f"{record.pictures} pictures of {record.images} images: {out}")
