"""Cross-validation: as many runs as folds, each measured on the images that it did not see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.held_out import folds, without_a_tenth
from edgeskin.data.manifest import Dataset, ImageData, open_data
from edgeskin.document import Document
from edgeskin.errors import InvalidData, InvalidResult, InvalidRun
from edgeskin.evaluation import evaluate
from edgeskin.figures import Evaluation
from edgeskin.files import check_writable, sha256, write_json
from edgeskin.models.run import load_run
from edgeskin.progress import Progress, silent
from edgeskin.runtimes.pytorch import TorchSession, run_all
from edgeskin.spec import Spec
from edgeskin.tasks import TaskModule, find_task
from edgeskin.training.recipe import Recipe
from edgeskin.training.train import TrainingRecord, fit, make_spec

RESULT, METRICS = "cross_validation.json", "metrics.json"
BINS = 5
"""A quantity is spread over the folds in so many equal shares of the images."""


class FoldSpread(Document):
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
    spread: dict[str, FoldSpread]
    pooled: Evaluation


def cross_validate(
    recipe: Recipe,
    data: ImageData | Path | str,
    out: Path | str,
    count: int,
    *,
    start: Path | str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> CrossValidation:
    """Train OUT/fold-1 to OUT/fold-COUNT, each on the train split less a fold, and measure them.

    Folds that are whole already are kept, so that the same call after a kill goes on.

    Args:
        data: What `open_data` takes or gave; its train split alone is read.
        count: Of folds, at least 2.
        start: As of `train`, for every fold.
        force: Train folds anew that are there of another recipe, start or data.

    Raises:
        InvalidData: The split cannot make so many folds, or has no labels to spread over them.
        InvalidRun: A fold is there of another recipe, start or data.
    """
    out = Path(out)
    check_writable(out / RESULT, force=force)
    dataset = open_data(data).split("train")
    task = find_task(recipe.task)
    spec = make_spec(task, recipe.arch, recipe, dataset, start)
    records, outputs, truth = [], [], []
    parts = folds(dataset, _classes(spec, task.load(), dataset), count, recipe.seed)
    for number, (kept, held) in enumerate(parts, start=1):
        run = out / f"fold-{number}"
        records.append(_fold(recipe, start, kept, held, run, force, progress))
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
    recipe: Recipe,
    start: Path | str | None,
    kept: Dataset,
    held: Dataset,
    run: Path,
    force: bool,
    progress: Progress,
) -> TrainingRecord:
    """The record of a fold's run, trained unless it is there."""
    key = _key(recipe, start, kept, held)
    if (run / METRICS).is_file():
        if (there := _fold_of(run / METRICS, key)) is not None:
            return there
        if not force:
            raise InvalidRun(
                f"{run} is no fold of this recipe, start, data and edgeskin, or is damaged: pass "
                "--force to train it anew, or choose another folder"
            )
    held_out = [held]
    if recipe.fit_temperature:
        kept, tenth = without_a_tenth(kept, recipe.seed)
        held_out = [tenth, held]
    return fit(
        recipe.task,
        recipe.arch,
        kept,
        held_out,
        run,
        recipe=recipe,
        start=start,
        fold_sha256=key,
        force=True,
        progress=progress,
    )


def _fold_of(record: Path, key: str) -> TrainingRecord | None:
    """The record in a file, if it is of this fold."""
    try:
        there = TrainingRecord.from_json(record.read_bytes(), where=record)
    except InvalidResult:
        return None
    return there if there.fold_sha256 == key else None


def _key(recipe: Recipe, start: Path | str | None, kept: Dataset, held: Dataset) -> str:
    """What a fold must have been made of to be kept: its settings, its start, its rows."""
    made = hashlib.sha256(recipe.model_dump_json().encode())
    if start is not None:
        made.update(sha256(Path(start) / "weights.safetensors").encode())
    made.update(json.dumps([kept.rows, held.rows], sort_keys=True).encode())
    return made.hexdigest()


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


def _spread(records: Sequence[TrainingRecord]) -> dict[str, FoldSpread]:
    tests = [record.test for record in records if record.test is not None]
    spread = {}
    for name, first in tests[0].metrics.items():
        values = np.array([t.metrics[name].value for t in tests if name in t.metrics])
        spread[name] = FoldSpread(
            unit=first.unit,
            folds=tuple(values.tolist()),
            mean=float(values.mean()),
            sd=float(values.std(ddof=1)),
        )
    return spread


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
