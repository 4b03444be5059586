"""`edgeskin calibrate`: a run becomes a quantized program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Exclude, Force, Trust, calibration, takes_data

if TYPE_CHECKING:
    from edgeskin.calibration.record import AccuracyControl


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
    min_sqnr_db: Annotated[
        float | None,
        typer.Option(
            help="Leave the most sensitive parts in float until held-out images have this SQNR, dB."
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="The same until no ratio metric loses more on the val split, points."),
    ] = None,
    max_mae_rise: Annotated[
        float | None, typer.Option(help="The same until no MAE rises by more there, in its unit.")
    ] = None,
    force: Force = False,
    trust: Trust = False,
) -> None:
    """Quantize a run to INT8 with images of its train split.

    Exit 1 if what was asked for is not met with half of the network in float.
    """
    from edgeskin.calibration.from_run import calibrate as run_calibration
    from edgeskin.errors import NotBetter

    options = calibration(
        scheme, method, samples, exclude,
        min_sqnr_db=min_sqnr_db, max_drop=max_drop, max_mae_rise=max_mae_rise,
    )  # fmt: skip
    try:
        with console.progress() as progress:
            program = run_calibration(
                run, data, out, options, force=force, trust=trust, progress=progress
            )
    except NotBetter as error:
        console.error(str(error))
        raise typer.Exit(1) from error
    if (control := program.calibration.accuracy_control) is not None:
        _say(control)
    for line in program.calibration.warnings:
        console.say(f"edgeskin: {line}")
    print(out)


def _say(control: AccuracyControl) -> None:
    """Every part that was measured, and what was reached."""
    for part in control.parts:
        console.say(
            f"{'float' if part.kept else 'int8':5}  {part.alone_db:6.1f} dB alone in int8  "
            f"{part.multiply_adds:6.1%} of multiply-adds  {part.weights:6.1%} of weights  "
            f"{part.part}"
        )
    share = sum(part.multiply_adds for part in control.kept)
    console.say(
        f"edgeskin: {control.sqnr_db:.1f} dB on {control.images} held-out images of the "
        f"{control.split} split with {len(control.kept)} parts in float ({share:.1%} of the "
        f"multiply-adds), {control.int8_sqnr_db:.1f} dB without"
    )
    for name, metric in control.metrics.items():
        change = metric.change
        console.say(
            f"edgeskin: {name} {metric.reference:.4f} to {metric.candidate:.4f}, "
            f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
        )
