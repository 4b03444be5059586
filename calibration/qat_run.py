"""`edgeskin qat`: a run becomes a program that was trained with its quantization."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from edgeskin.calibration.from_run import calibrate, calibration_set
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.calibration.qat_recipe import QatRecipe
from edgeskin.calibration.record import QatRecord, Score
from edgeskin.data.held_out import without_a_tenth
from edgeskin.data.manifest import Dataset, ImageData, open_data
from edgeskin.errors import InvalidData, InvalidRun, NotBetter
from edgeskin.files import check_writable, folder, sha256
from edgeskin.models.run import Run, load_run
from edgeskin.progress import Progress, silent
from edgeskin.spec import Spec
from edgeskin.tasks import objective_of
from edgeskin.training.train import trainable_labels, training_images

if TYPE_CHECKING:
    from edgeskin.calibration.program import Program
    from edgeskin.calibration.qat import Best, QatTrainer

_OF_THE_RUN = ("rotation_deg", "zoom", "color_jitter", "balanced", "loss_options")


def qat(
    run: Path | str,
    data: ImageData | Path | str,
    out: Path | str,
    options: CalibrationOptions = CalibrationOptions(),
    *,
    recipe: QatRecipe | None = None,
    program: Path | str | None = None,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> Program:
    """Train a run's program on the train split of `data` and save the best epoch.

    Each epoch is judged by the loss of training on the val split; where there is
    none, on a tenth of the train split that is then not trained on. A network of a
    task of your own needs no labels: it learns from the float network's outputs, and
    from the labels that there are. Checkpoints go
    to `OUT.checkpoint/` and are removed at the end; the same call after a kill goes
    on from the last whole epoch.

    Args:
        recipe: Settings; those of `qat_recipe(run)` if left out.
        program: A calibrated program of this run to start from; else the run is
            calibrated first, by `options`.
        trust: Run the code that the run names, whoever wrote it.
        progress: Called with (what, done, total) as the work proceeds.

    Raises:
        NotBetter: No epoch has a lower loss than the calibrated program; nothing is written.
        InvalidRun: The program is not of this run, or the checkpoint not of this training.
        InvalidData: The folder cannot be used, or a train image is a test image too.
        NotTrusted: The run names a factory that needs `trust`.
        CannotWrite: `out` exists and `force` is False.
    """
    run, out = Path(run), Path(out)
    check_writable(out, force=force)
    data = open_data(data)
    loaded = load_run(run, trust=trust)
    recipe = recipe or qat_recipe(run)
    train, held_out = _splits(loaded.spec, data, options.samples, recipe.seed)
    checkpoint = out.with_name(out.name + ".checkpoint")
    place = Path(program) if program else checkpoint / "start.pt2"
    with folder(out.parent):  # a new one is removed again if nothing is written
        if program is None and not place.is_file():
            calibrate(run, data, place, options, trust=trust, progress=progress)
        start = _start(place, loaded, run)
        if program is None:
            _check_start(start, place, options)
        trainer = _trainer(loaded, start, sha256(place), train, held_out, recipe, progress)
        before = trainer.judge(trainer.network)
        progress(f"qat, the calibrated program has loss {before}", 0, recipe.epochs)
        trainer.fit(
            checkpoint / "last.pt",
            lambda epoch, loss: progress(
                _progress(loss, trainer.best.scores[-1]), epoch, recipe.epochs
            ),
        )
        record = _record(start, recipe, trainer, before, held_out)
        if not trainer.best.score.beats(before):
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise NotBetter(_not_better(before, trainer.best, held_out), record.to_json())
        made = _save(out, trainer, start, record, force=force)
        shutil.rmtree(checkpoint, ignore_errors=True)
        return made


def qat_recipe(run: Path, path: Path | None = None, **overrides: Any) -> QatRecipe:
    """The settings in `path` over those that the task, and the run's own training, used."""
    settings = objective_of(Spec.load(run)).RECIPE
    defaults = {key: value for key, value in settings.items() if key in QatRecipe.model_fields}
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        used = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["recipe"]
        defaults |= {key: used[key] for key in _OF_THE_RUN if key in used}
    return QatRecipe.load(path, defaults, **overrides)


def _splits(spec: Spec, data: ImageData, samples: int, seed: int) -> tuple[Dataset, Dataset]:
    """The images to train on and those to score on; never a test image."""
    calibration_set(data, samples)  # refuses a train split that holds test images
    train = data.split("train")
    if data.has("val"):
        held_out = data.split("val")
    else:
        train, held_out = without_a_tenth(train, seed)
    if not len(train):
        raise InvalidData(f"{train.where} has too few train images for QAT")
    held_out.truth(spec)  # a bad label shows now
    return train, held_out


def _start(place: Path, loaded: Run, run: Path) -> Program:
    from edgeskin.calibration.program import load_program

    program = load_program(place)
    origin = program.calibration.run
    made_from = origin.sha256 if origin else None
    if made_from != loaded.sha256:
        raise InvalidRun(
            f"{place} was not calibrated from {run}: it names weights {str(made_from)[:12]}, "
            f"the run has {loaded.sha256[:12]}. Calibrate this run, or leave --program out."
        )
    return program


def _check_start(start: Program, place: Path, options: CalibrationOptions) -> None:
    """A program in a checkpoint must be what these settings would calibrate."""
    record = start.calibration
    asked = (options.scheme, options.method, tuple(options.exclude))
    has = (start.scheme, record.method, record.exclude)
    if options.controls_accuracy and record.accuracy_control is not None:
        # what was asked to be in float comes first, what was measured to need it behind
        has = (*has[:2], record.exclude[: len(asked[2])])
    if has != asked:
        raise InvalidRun(
            f"{place} was calibrated by {_settings(*has)}, asked are {_settings(*asked)}. "
            f"Remove {place.parent} to start again."
        )


def _settings(scheme: str, method: str, exclude: Sequence[str]) -> str:
    without = f" without {', '.join(exclude)}" if exclude else ""
    return f"{scheme} and {method}{without}"


def _trainer(
    loaded: Run,
    start: Program,
    start_sha256: str,
    train: Dataset,
    held_out: Dataset,
    recipe: QatRecipe,
    progress: Progress,
) -> QatTrainer:
    from edgeskin.calibration.qat import Judge, QatTrainer
    from edgeskin.calibration.rewrites import flatten
    from edgeskin.calibration.trainable import trainable

    spec, task = loaded.spec, objective_of(loaded.spec)
    truth = trainable_labels(spec, task, train)
    reference = flatten(loaded.network, start.example())
    return QatTrainer(
        spec=spec,
        network=trainable(start, reference, learned=recipe.ranges == "learned"),
        task=task,
        recipe=recipe,
        images=training_images(train, spec.input, progress),
        truth={name: torch.from_numpy(values) for name, values in truth.items()},
        teacher=loaded.network,
        judge=Judge(spec, task, recipe, held_out, loaded.network),
        start=start_sha256,
    )


def _save(
    out: Path, trainer: QatTrainer, start: Program, record: QatRecord, *, force: bool
) -> Program:
    """The best epoch as a program, in memory and in `out`."""
    from edgeskin.calibration.program import save_program
    from edgeskin.calibration.trainable import settled

    trainer.network.load_state_dict(trainer.best.weights)
    made = replace(
        start,
        module=settled(trainer.network, start),
        calibration=start.calibration.model_copy(update={"method": "qat", "qat": record}),
    )
    save_program(out, made, force=force)
    return made


def _record(
    start: Program, recipe: QatRecipe, trainer: QatTrainer, before: Score, held_out: Dataset
) -> QatRecord:
    return QatRecord(
        start_method=start.calibration.method,
        recipe=recipe,
        train_images=len(trainer.images),
        held_out_images=len(held_out),
        held_out_of=held_out.split,
        metric=trainer.judge.measure.name,
        start=before,
        epochs=tuple(trainer.best.scores),
        best_epoch=trainer.best.epoch,
    )


def _progress(loss: float, score: Score) -> str:
    return f"qat, loss {loss:.4f}, held-out {score}"


def _not_better(before: Score, best: Best, held_out: Dataset) -> str:
    return (
        f"QAT ends below the calibrated program on {len(held_out)} held-out images: epoch "
        f"{best.epoch} has loss {best.score}, the program {before}. Nothing was written. Keep the "
        "calibrated program, or change the learning rate or the epochs in --recipe."
    )
