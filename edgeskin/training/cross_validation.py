"""Cross-validation: as many runs as folds, each measured on the images that it did not see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.held_out import folds, without_a_tenth
from edgeskin.data.manifest import Dataset, ImageData, open_data
from edgeskin.document import Document
from edgeskin.errors import InvalidData
from edgeskin.evaluation import Evaluation, evaluate
from edgeskin.files import check_writable, write_json
from edgeskin.models.run import load_run
from edgeskin.progress import Progress, silent
from edgeskin.runtimes.pytorch import TorchSession, run_all
from edgeskin.spec import Spec
from edgeskin.tasks import TaskModule, find_task
from edgeskin.training.recipe import Recipe
from edgeskin.training.train import TrainingRecord, fit, make_spec

RESULT = "cross_validation.json"
BINS = 5
"""A quantity is spread over the folds in so many equal shares of the images."""


class Spread(Document):
    """A metric of each fold, in `unit`; its mean and standard deviation over the folds (N - 1)."""

    unit: str
    folds: tuple[float, ...]
    mean: float
    sd: float


class CrossValidation(Document):
    """`cross_validation.json`: `pooled` is of all images, each by the run that did not see it."""

    version: int = 1
    data: str
    recipe: Recipe
    folds: tuple[TrainingRecord, ...]
    spread: dict[str, Spread]
    pooled: Evaluation


def cross_validate(
    recipe: Recipe,
    data: ImageData | Path | str,
    out: Path | str,
    count: int,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> CrossValidation:
    """Train OUT/fold-1 to OUT/fold-COUNT, each on the train split less a fold, and measure them.

    Folds that are whole already are kept, so that the same call after a kill goes on.

    Raises:
        InvalidData: The split cannot make so many folds, or has no labels to spread over them.
        InvalidRun: A fold is there, made by another recipe.
    """
    out = Path(out)
    check_writable(out / RESULT, force=force)
    dataset = open_data(data).split("train")
    task = find_task(recipe.task)
    spec = make_spec(task, recipe.arch, recipe, dataset)
    records, outputs, truth = [], [], []
    parts = folds(dataset, _classes(spec, task.load(), dataset), count, recipe.seed)
    for number, (kept, held) in enumerate(parts, start=1):
        run = out / f"fold-{number}"
        records.append(_fold(recipe, kept, held, run, progress))
        loaded = load_run(run)
        outputs.append(run_all(TorchSession(loaded.spec, loaded.network), held.pixels(spec.input)))
        truth.append(held.truth(spec))
    result = CrossValidation(
        data=dataset.name,
        recipe=recipe,
        folds=tuple(records),
        spread=_spread(records),
        pooled=evaluate(spec, _joined(outputs), _joined(truth)),
    )
    write_json(out / RESULT, result.to_json())
    return result


def _fold(
    recipe: Recipe, kept: Dataset, held: Dataset, run: Path, progress: Progress
) -> TrainingRecord:
    """The record of a fold's run, trained unless it is there."""
    if (run / "metrics.json").is_file():
        record = TrainingRecord.from_json(json.loads((run / "metrics.json").read_bytes()))
        if record.recipe == recipe:
            return record
    held_out = [held]
    if recipe.fit_temperature:
        kept, tenth = without_a_tenth(kept, recipe.seed)
        held_out = [tenth, held]
    return fit(
        recipe.task, recipe.arch, kept, held_out, run, recipe=recipe, force=True, progress=progress
    )


def _classes(spec: Spec, task: TaskModule, data: Dataset) -> NDArray[np.int64]:
    """What is spread evenly over the folds: classes, or equal shares of a quantity, (N,)."""
    labels = data.labels(spec)
    for values in labels.values():
        if values.dtype == np.int64 and values.ndim == 1:
            return values
    for values in labels.values():
        middle = values.mean(axis=1) if values.ndim == 2 else values
        edges = np.quantile(middle, np.arange(1, BINS) / BINS)
        return np.searchsorted(edges, middle)
    if data.truth(spec):
        return np.zeros(len(data), np.int64)
    raise InvalidData(f"{data.where} has no labels for {', '.join(task.TRAINS_ON)}")


def _spread(records: Sequence[TrainingRecord]) -> dict[str, Spread]:
    tests = [record.test for record in records if record.test is not None]
    spread = {}
    for name, first in tests[0].metrics.items():
        values = np.array([t.metrics[name].value for t in tests if name in t.metrics])
        spread[name] = Spread(
            unit=first.unit,
            folds=tuple(values.tolist()),
            mean=float(values.mean()),
            sd=float(values.std(ddof=1)),
        )
    return spread


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
