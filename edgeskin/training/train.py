"""`edgeskin train`: a manifest folder in, a run out."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeskin.data.held_out import without_a_tenth
from edgeskin.data.label_words import label_words
from edgeskin.data.listing import FILE
from edgeskin.data.manifest import Dataset, ImageData, load_split, open_data
from edgeskin.document import Document
from edgeskin.errors import InvalidData, InvalidSpec
from edgeskin.evaluation import evaluate
from edgeskin.figures import Evaluation
from edgeskin.files import check_writable
from edgeskin.models import MEAN, STD
from edgeskin.models.architectures import build, find_arch
from edgeskin.models.pretrained import started_from, weights_license
from edgeskin.models.run import load_run, save_run
from edgeskin.progress import Progress, silent
from edgeskin.runtimes.pytorch import TorchSession, run_all
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    Head,
    InputSpec,
    SegmentationHead,
    Spec,
)
from edgeskin.tasks import Objective, Task, TaskModule, find_task
from edgeskin.training.loop import Trainer
from edgeskin.training.recipe import Recipe, find_recipe, read_recipe
from edgeskin.training.temperature import fit_temperature
from edgeskin.training.transfer import FrozenTrainer, start_from
from edgeskin.version import __version__


class TrainingRecord(Document):
    """What a training was and gave: `metrics.json` of a run.

    `val` and `test` are the evaluations on those splits, where the data have them. `seconds` are
    the wall time of its epochs, in all its processes where it was resumed. `data_rule`
    is how images came into splits where the data do not say, and what was left out. `started_from`
    says which weights were there before the first step. `temperatures` are what the logits of
    distributions were divided by, by head, where the recipe says `fit_temperature`. `fold_sha256`
    is, of a fold of cross-validation, of all that it was made of.
    """

    version: int = 1
    edgeskin_version: str
    recipe: Recipe
    train_images: int
    seconds: float | None = None
    data_rule: str | None = None
    started_from: str = ""
    temperatures: dict[str, float] | None = None
    fold_sha256: str | None = None
    val: Evaluation | None = None
    test: Evaluation | None = None


def train(
    task: str,
    arch: str,
    data: ImageData | Path | str,
    out: Path | str,
    *,
    recipe: Recipe | None = None,
    start: Path | str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> TrainingRecord:
    """Train a network on the train split; measure it on val and test.

    Checkpoints go to `OUT.checkpoint/` and are removed when the run is saved;
    the same call after a kill goes on from the last whole epoch.

    Args:
        start: A run whose backbone the network starts with, from `pretrain` for instance.
        progress: Called with (what, done, total) as the work proceeds.

    Returns:
        What is written to `metrics.json`.

    Raises:
        UnknownName: No such task or network.
        InvalidData: The folder cannot be used, has one class only, or none of a class.
        InvalidRun: The checkpoint is of another training, or `start` of another network.
        TrainingDiverged: The loss is no number any more.
    """
    recipe = recipe or Recipe(**find_task(task).load().RECIPE)
    check_writable(Path(out), force=force)
    train_split, held_out = _splits(open_data(data), recipe)
    return fit(
        task,
        arch,
        train_split,
        held_out,
        Path(out),
        recipe=recipe,
        start=start,
        force=force,
        progress=progress,
    )


def fit(
    task: str,
    arch: str,
    train_split: Dataset,
    held_out: Sequence[Dataset],
    out: Path,
    *,
    recipe: Recipe,
    start: Path | str | None = None,
    fold_sha256: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> TrainingRecord:
    """`train` on one split, measured on others; a temperature is fitted to the first of those."""
    chosen = find_task(task)
    module = chosen.load()
    _check_options(module.loss, recipe.loss_options, "loss_options")
    spec = make_spec(chosen, arch, recipe, train_split, start)
    truth = trainable_labels(spec, module, train_split)
    for dataset in held_out:  # a bad label shows now, not after the last epoch
        dataset.labels(spec)
    network, began_with = _fresh_network(spec, recipe, start)
    trainer = (FrozenTrainer if recipe.frozen else Trainer)(
        spec,
        network,
        module,
        recipe,
        training_images(train_split, spec.input, progress),
        {name: torch.from_numpy(values) for name, values in truth.items()},
        began_with,
    )
    checkpoint = out.with_name(out.name + ".checkpoint") / "last.pt"
    network = trainer.fit(
        checkpoint, lambda epoch, loss: progress(f"training, loss {loss:.3f}", epoch, recipe.epochs)
    )
    fitted = fit_temperature(spec, network, held_out[0]) if recipe.fit_temperature else None
    evaluations = {split.split: measure(spec, network, split) for split in held_out}
    record = TrainingRecord(
        edgeskin_version=__version__,
        recipe=recipe,
        train_images=len(train_split),
        seconds=trainer.seconds,
        data_rule=train_split.rule,
        started_from=began_with,
        temperatures=fitted,
        fold_sha256=fold_sha256,
        val=evaluations.get("val"),
        test=evaluations.get("test"),
    )
    save_run(out, spec, network, record.to_json(), force=force)
    shutil.rmtree(checkpoint.parent, ignore_errors=True)
    return record


def recipe_for(name: str | None, **overrides: Any) -> Recipe:
    """The settings of a recipe over its task's defaults; overrides that are not None win.

    Args:
        name: A recipe that comes with edgeskin, or a TOML file.

    Raises:
        InvalidSpec: The recipe is no recipe, or nothing says which task or network is meant.
        UnknownName: No such recipe or task.
    """
    path = None if name is None else find_recipe(name)
    document = {} if path is None else read_recipe(path)
    for what in ("task", "arch"):
        if not (overrides.get(what) or document.get(what)):
            raise InvalidSpec(
                f"which {what}? Pass --{what}, or a --recipe that names one; "
                "`edgeskin models` lists both"
            )
    task = find_task(str(overrides.get("task") or document["task"]))
    return Recipe.load(path, task.load().RECIPE, **overrides)


def make_spec(
    task: Task, arch: str, recipe: Recipe, dataset: Dataset, start: Path | str | None = None
) -> Spec:
    """The spec of a run: input from the recipe, heads from the task, origin from the data.

    Raises:
        InvalidSpec: `head_options` that the task does not have.
        InvalidData: An empty or unknown label.
    """
    module: TaskModule = task.load()
    _check_options(module.heads, recipe.head_options, "head_options")
    spec = Spec(
        name=f"{task.name}-{arch}",
        task=task.name,
        arch=arch,
        arch_args=recipe.arch_options,
        input=input_of(recipe),
        heads=module.heads(**recipe.head_options),
        license=weights_license(
            find_arch(arch),
            dataset.licenses,
            pretrained=recipe.pretrained,
            start=None if start is None else f"a run ({Spec.load(Path(start)).license})",
        ),
        intended_use=module.INTENDED_USE,
        limits=module.LIMITS,
    )
    return spec.model_copy(update={"training_data": label_words(dataset, spec)})


def input_of(recipe: Recipe) -> InputSpec:
    """The images that a recipe's network takes."""
    return InputSpec(
        height=recipe.size,
        width=recipe.size,
        resize=recipe.resize,
        resize_to=recipe.resize_to if recipe.resize == "shortest_edge" else None,
        mean=MEAN,
        std=STD,
    )


def _check_options(function: Callable[..., Any], given: Mapping[str, Any], where: str) -> None:
    """Raise InvalidSpec for an option of a recipe that a task's function does not take."""
    known = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    ]
    if unknown := [name for name in given if name not in known]:
        there = f"there are {', '.join(known)}" if known else "the task has none"
        raise InvalidSpec(f"recipe: {where}: no option '{unknown[0]}'; {there}")


def measure(spec: Spec, network: nn.Module, dataset: Dataset) -> Evaluation:
    """Task metrics of the float network on a split, with 95 % intervals."""
    session = TorchSession(spec, network)
    decoded = run_all(session, dataset.pixels(spec.input))
    return evaluate(spec, decoded, dataset.truth(spec))


def measure_run(run: Path, data: ImageData | Path | str, split: str) -> Evaluation:
    """`measure` for a run on disk."""
    loaded = load_run(run)
    return measure(loaded.spec, loaded.network, load_split(data, split))


def _fresh_network(spec: Spec, recipe: Recipe, start: Path | str | None) -> tuple[nn.Module, str]:
    """The network before its first step, and the words that say what its weights are."""
    torch.manual_seed(recipe.seed)
    pretrained = recipe.pretrained and start is None
    network = build(spec, pretrained=pretrained)
    if start is not None:
        return network, start_from(network, Path(start))
    return network, started_from(find_arch(spec.arch), pretrained=pretrained)


def training_images(dataset: Dataset, spec: InputSpec, progress: Progress) -> torch.Tensor:
    """All images with the room that a random crop wants, kept in memory: uint8 (N, 3, H, W)."""
    pixels = dataset.pixels(_with_room(spec), progress)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def training_truth(dataset: Dataset, spec: Spec) -> dict[str, NDArray[Any]]:
    """Labels, and masks of the size of `training_images`."""
    return dataset.truth(spec.model_copy(update={"input": _with_room(spec.input)}))


def _with_room(spec: InputSpec) -> InputSpec:
    """The input before the crop that training takes at random."""
    if (edge := spec.resize_to) is None:
        return spec
    return spec.model_copy(update={"height": edge, "width": edge})


def _splits(data: ImageData, recipe: Recipe) -> tuple[Dataset, list[Dataset]]:
    """What is trained on, and what is measured on: val and test, where there are any.

    A temperature is fitted to images that were not trained on: where there is no val split, to
    a tenth of the train split, which then is one.
    """
    train_split = data.split("train")
    held_out = [data.split(split) for split in ("val", "test") if data.has(split)]
    if recipe.fit_temperature and not data.has("val"):
        train_split, val = without_a_tenth(train_split, recipe.seed)
        held_out.insert(0, replace(val, split="val"))
    return train_split, held_out


def trainable_labels(spec: Spec, task: Objective, dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The labels, after making sure that there is something to learn from.

    Raises:
        InvalidData: A label that the task needs is missing, all images have the same, or one lies
            beyond all values of its distribution.
    """
    truth = training_truth(dataset, spec)
    for name in task.TRAINS_ON:
        if name not in truth:
            raise InvalidData(
                f"{dataset.where} has no labels for '{name}', which {spec.task} trains on; its "
                f"columns are {', '.join(dataset.rows[0])}"
            )
    for head in spec.heads:
        if head.name in truth:
            _check_variety(head, truth[head.name], dataset, needed=head.name in task.TRAINS_ON)
            _check_within(head, truth[head.name], dataset)
    return truth


def _check_within(head: Head, labels: NDArray[Any], dataset: Dataset) -> None:
    """Refuse what would be learnt as the last value: a birth year for an age.

    Ranges may be open above ("over 65"), and so may an interval (over 70: 71 to 120).
    """
    if not isinstance(head, DistributionHead) or head.ranges is not None:
        return
    least = labels if labels.ndim == 1 else labels[:, 0]
    last = head.first + head.step * (head.size - 1)
    if (beyond := np.flatnonzero(least > last)).size:
        raise InvalidData(
            f"{dataset.where}: {dataset.rows[beyond[0]][FILE]} has {head.name} "
            f"{least[beyond[0]]:g}, and its values end at {last:g} {head.unit}"
        )


def _check_variety(head: Head, labels: NDArray[Any], dataset: Dataset, *, needed: bool) -> None:
    """Refuse labels that are all the same, and classes that a task trains on without an image."""
    if isinstance(head, SegmentationHead):
        known = labels[labels >= 0]
        if len(np.unique(known)) < 2:
            raise InvalidData(
                f"every train mask of {dataset.where} is empty or full: there is nothing to learn"
            )
        return
    if len(np.unique(labels, axis=0)) == 1:
        row = ", ".join(f"{value:g}" for value in np.ravel(labels[0]))
        raise InvalidData(
            f"every train image of {dataset.where} has {head.name} '{row}': "
            "one class only, there is nothing to learn"
        )
    if needed and isinstance(head, ClassificationHead) and head.activation == "softmax":
        missing = [name for i, name in enumerate(head.labels) if not (labels == i).any()]
        if missing:
            raise InvalidData(
                f"no train image of {dataset.where} has {head.name} '{missing[0]}', one of the "
                f"{len(head.labels)} classes of the task: add some, or another split"
            )
