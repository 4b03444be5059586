"""`edgeskin calibrate`: a run and its training images become a quantized program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeskin.calibration.options import CalibrationOptions
from edgeskin.calibration.record import RunIdentity
from edgeskin.calibration.schemes import LEAST_IMAGES, check_method, find_scheme
from edgeskin.data.held_out import without_a_tenth
from edgeskin.data.manifest import Dataset, ImageData, open_data
from edgeskin.errors import InvalidData
from edgeskin.evaluation import Truth, measures
from edgeskin.files import check_writable
from edgeskin.models.run import Run, load_run
from edgeskin.models.run_files import read_trained
from edgeskin.progress import Progress, silent
from edgeskin.spec import Spec

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
        InvalidData: Too few train images, or one of them is a test image too; or metrics are asked
            for and there is no val split, or no labels.
        NotBetter: No program is near enough with half of its multiply-adds in float.
        NotTrusted: The run names a factory that needs `trust`.
        CannotWrite: `out` exists and `force` is False.
    """
    out = Path(out)
    check_writable(out, force=force)
    check_method(options.method, find_scheme(options.scheme))
    data = open_data(data)
    chosen, held_out = _images(data, options)
    loaded = load_run(run, trust=trust)
    truth = _truth(held_out, loaded.spec, options)
    pixels = chosen.pixels(loaded.spec.input)
    from edgeskin.calibration.calibrate import (
        calibrate_network,  # heavy: what is wrong shows before
    )
    from edgeskin.calibration.coverage import cover
    from edgeskin.calibration.program import save_program

    if held_out is None:
        program = calibrate_network(
            loaded.network,
            loaded.spec,
            pixels,
            scheme=options.scheme,
            method=options.method,
            exclude=options.exclude,
            progress=progress,
        )
    else:
        program = _controlled(loaded, pixels, held_out, truth, options, progress)
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


def _images(data: ImageData, options: CalibrationOptions) -> tuple[Dataset, Dataset | None]:
    """The images to calibrate on, and those that parts in float are chosen on, if any are.

    The second are the val split, else a tenth of the train split that is then not calibrated on.
    """
    chosen = calibration_set(data, options.samples)
    if not options.controls_accuracy:
        return chosen, None
    if data.has("val"):
        return chosen, data.split("val")
    if options.limits_metrics:
        raise InvalidData(
            f"{chosen.where} has no val split to measure metrics on: those of train images, which "
            "the network has learnt, hardly move. Add one, or ask for an SQNR: --min-sqnr-db 30."
        )
    train, held_out = without_a_tenth(data.split("train"), seed=0)
    return train.take(options.samples), held_out


def _truth(held_out: Dataset | None, spec: Spec, options: CalibrationOptions) -> Truth:
    """The labels of the metrics that are asked for; none where none are."""
    if held_out is None or not options.limits_metrics:
        return {}
    truth = held_out.truth(spec)
    if not measures(spec, truth):
        raise InvalidData(
            f"{held_out.where} has no labels of a head, so no metric to hold the program to. "
            "Ask for an SQNR: --min-sqnr-db 30."
        )
    return truth


def _controlled(
    run: Run,
    pixels: NDArray[np.uint8],
    held_out: Dataset,
    truth: Truth,
    options: CalibrationOptions,
    progress: Progress,
) -> Program:
    """The program with the parts in float that `options` ask for."""
    from edgeskin.calibration.accuracy_control import HeldOut, control_accuracy
    from edgeskin.calibration.calibrate import Samples, calibrate_graph, check, float_graph

    spec = run.spec
    check(run.network, spec, pixels, options.scheme, options.method)
    reference = float_graph(run.network, spec)

    def calibrated(patterns: Sequence[str]) -> Program:
        return calibrate_graph(
            reference,
            spec,
            pixels,
            scheme=options.scheme,
            method=options.method,
            exclude=(*options.exclude, *patterns),
            progress=progress,
        )

    samples = Samples(spec, held_out.pixels(spec.input))
    images = HeldOut(held_out.split, spec, truth, reference, samples)
    return control_accuracy(calibrated, options, Samples(spec, pixels), images, progress)


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
