"""`edgeskin calibrate`: a run and its training images become a quantized program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeskin.calibration.options import CalibrationOptions
from edgeskin.calibration.record import RunIdentity
from edgeskin.calibration.schemes import LEAST_IMAGES, check_method, find_scheme
from edgeskin.data.manifest import Dataset, ImageData, open_data
from edgeskin.errors import InvalidData
from edgeskin.files import check_writable
from edgeskin.models.run import load_run
from edgeskin.models.run_files import read_trained
from edgeskin.progress import Progress, silent

if TYPE_CHECKING:
    from edgeskin.calibration.program import Program


def calibrate(
    run: Path | str,
    data: ImageData | Path | str,
    out: Path | str,
    options: CalibrationOptions = CalibrationOptions(),
    *,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> Program:
    """Calibrate a run on images of the train split of `data` and save the program.

    Args:
        data: What `open_data` takes, or gave.
        trust: Run the code that the run names, whoever wrote it.

    Returns:
        The program; `calibration.warnings` holds what a person should know of it.

    Raises:
        UnknownName: No such scheme or method, or a pattern that matches no layer.
        InvalidData: Too few train images, or one of them is a test image too.
        NotTrusted: The run names a factory that needs `trust`.
        CannotWrite: `out` exists and `force` is False.
    """
    out = Path(out)
    check_writable(out, force=force)
    check_method(options.method, find_scheme(options.scheme))
    data = open_data(data)
    chosen = calibration_set(data, options.samples)
    loaded = load_run(run, trust=trust)
    pixels = chosen.pixels(loaded.spec.input)
    from edgeskin.calibration.calibrate import (
        calibrate_network,  # heavy: what is wrong shows before
    )
    from edgeskin.calibration.coverage import cover
    from edgeskin.calibration.program import save_program

    program = calibrate_network(
        loaded.network,
        loaded.spec,
        pixels,
        scheme=options.scheme,
        method=options.method,
        exclude=options.exclude,
        progress=progress,
    )
    shown = cover(data.split("train"), chosen, pixels, loaded.spec, progress)
    record = program.calibration.model_copy(
        update={
            "coverage": shown,
            "warnings": (*shown.warnings(), *program.calibration.warnings),
            "data_rule": chosen.rule,
            "run": RunIdentity(name=Path(run).name, sha256=loaded.sha256),
            "trained": read_trained(Path(run)),
        }
    )
    program = replace(program, calibration=record)
    save_program(out, program, force=force)
    return program


def calibration_set(data: ImageData, samples: int) -> Dataset:
    """`samples` train images; no train image may also be a test image (compared by hash).

    Raises:
        InvalidData: One is; or `samples` are too few.
    """
    if samples < LEAST_IMAGES:
        raise InvalidData(
            f"cannot calibrate on {samples} images; pass --samples of at least {LEAST_IMAGES}"
        )
    train = data.split("train")
    if data.has("test"):
        held_out = set(data.split("test").digests().values())
        leaked = [name for name, digest in train.digests().items() if digest in held_out]
        if leaked:
            raise InvalidData(
                f"{len(leaked)} train images are test images too, the first is {leaked[0]}. "
                "Results on the test split would mean nothing; mend the splits of "
                f"{train.where}."
            )
    return train.take(samples)
