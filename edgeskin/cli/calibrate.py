"""`edgeskin calibrate`: a run becomes a quantized program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Exclude, Force, Trust, calibration, takes_data


@takes_data
def calibrate(
    run: Annotated[Path, typer.Argument(help="A run: the folder that `train` or `import` made.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The program: a .pt2 file to make.")],
    scheme: Annotated[
        str, typer.Option(help="Which tensors become integers: w8a8, w8a8_symmetric, w8a16, w8.")
    ] = "w8a8",
    method: Annotated[
        str, typer.Option(help="How ranges are found: mse, percentile, minmax, nncf.")
    ] = "mse",
    samples: Annotated[int, typer.Option(help="Images of the train split to use.")] = 256,
    exclude: Exclude = None,
    force: Force = False,
    trust: Trust = False,
) -> None:
    """Quantize a run to INT8 with images of its train split."""
    from edgeskin.calibration.from_run import calibrate as run_calibration

    with console.progress() as progress:
        program = run_calibration(
            run,
            data,
            out,
            calibration(scheme, method, samples, exclude),
            force=force,
            trust=trust,
            progress=progress,
        )
    for line in program.calibration.warnings:
        console.say(f"edgeskin: {line}")
    print(out)
