"""`edgeskin qat`: a run becomes a program that was trained with its quantization."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Exclude, Force, Json, Trust, calibration, takes_data


@takes_data
def qat(
    run: Annotated[Path, typer.Argument(help="A run: the folder that `train` made.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The program: a .pt2 file to make.")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the train split.")] = None,
    program: Annotated[
        Path | None, typer.Option(help="Calibrated program of this run to start from.")
    ] = None,
    scheme: Annotated[str, typer.Option(help="Which tensors become integers: w8a8.")] = "w8a8",
    method: Annotated[str, typer.Option(help="How calibration finds ranges.")] = "mse",
    samples: Annotated[int, typer.Option(help="Images of the train split to calibrate on.")] = 256,
    exclude: Exclude = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    ranges: Annotated[
        str | None, typer.Option(help="How ranges go on: learned or moving (averages).")
    ] = None,
    distill: Annotated[
        float | None, typer.Option(help="Weight of the float model's answers, 0 to 1.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Settings: a name of `edgeskin models`, or a TOML file.")
    ] = None,
    force: Force = False,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Train a quantized run; exit 1 if that beats the calibrated program in no epoch."""
    from edgeskin.calibration.qat_run import qat as train
    from edgeskin.calibration.qat_run import qat_recipe
    from edgeskin.errors import NotBetter
    from edgeskin.training.recipe import find_recipe

    path = None if recipe is None else find_recipe(recipe)
    settings = qat_recipe(run, path, epochs=epochs, seed=seed, ranges=ranges, distill=distill)
    try:
        with console.progress() as progress:
            made = train(
                run,
                data,
                out,
                calibration(scheme, method, samples, exclude),
                recipe=settings,
                program=program,
                force=force,
                trust=trust,
                progress=progress,
            )
    except NotBetter as error:
        if json:
            console.emit(error.record)
        console.error(str(error))
        raise typer.Exit(1) from error
    if json and made.calibration.qat:
        console.emit(made.calibration.qat.to_json())
    else:
        print(out)
