"""`edgeskin train`: a manifest folder in, a run out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeskin.data.manifest import Dataset, ImageData, load_split, open_data
from edgeskin.document import Document
from edgeskin.errors import InvalidData
from edgeskin.evaluation import Evaluation, evaluate
from edgeskin.files import check_writable
from edgeskin.models import MEAN, STD
from edgeskin.models.architectures import build, find_arch
from edgeskin.models.run import load_run, save_run
from edgeskin.progress import Progress, silent
from edgeskin.runtimes.pytorch import TorchSession, run_all
from edgeskin.spec import InputSpec, Spec
from edgeskin.tasks import Objective, Task, TaskModule, find_task
from edgeskin.training.loop import Trainer
from edgeskin.training.recipe import Recipe
from edgeskin.version import __version__


class TrainingRecord(Document):
    """What a training was and gave: `metrics.json` of a run.

    `val` and `test` are the evaluations on those splits, where the data have them. `data_rule`
    is how images came into splits where the data do not say, and what was left out.
    """

    version: int = 1
    edgeskin_version: str
    recipe: Recipe
    train_images: int
    data_rule: str | None = None
    val: Evaluation | None = None
    test: Evaluation | None = None


def train(
    task: str,
    arch: str,
    data: ImageData | Path | str,
    out: Path | str,
    *,
    recipe: Recipe | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> TrainingRecord:
    """Train a network on the train split; measure it on val and test.

    Checkpoints go to `OUT.checkpoint/` and are removed when the run is saved;
    the same call after a kill goes on from the last whole epoch.

    Args:
        progress: Called with (what, done, total) as the work proceeds.

    Returns:
        What is written to `metrics.json`.

    Raises:
        UnknownName: No such task or network.
        InvalidData: The folder cannot be used, or has one class only.
    """
    out = Path(out)
    chosen = find_task(task)
    module = chosen.load()
    recipe = recipe or Recipe(**module.RECIPE)
    check_writable(out, force=force)
    data = open_data(data)
    dataset = data.split("train")
    spec = make_spec(chosen, arch, recipe, dataset)
    truth = trainable_labels(spec, module, dataset)
    held_out = _held_out(spec, data)
    trainer = Trainer(
        spec,
        _fresh_network(spec, recipe),
        module,
        recipe,
        training_images(dataset, spec.input, progress),
        {name: torch.from_numpy(values) for name, values in truth.items()},
    )
    checkpoint = out.with_name(out.name + ".checkpoint") / "last.pt"
    network = trainer.fit(
        checkpoint, lambda epoch, loss: progress(f"training, loss {loss:.3f}", epoch, recipe.epochs)
    )
    evaluations = {split.split: measure(spec, network, split) for split in held_out}
    record = TrainingRecord(
        edgeskin_version=__version__,
        recipe=recipe,
        train_images=len(dataset),
        data_rule=dataset.rule,
        val=evaluations.get("val"),
        test=evaluations.get("test"),
    )
    save_run(out, spec, network, record.to_json(), force=force)
    shutil.rmtree(checkpoint.parent, ignore_errors=True)
    return record


def make_spec(task: Task, arch: str, recipe: Recipe, dataset: Dataset) -> Spec:
    """The spec of a run: input from the recipe, heads from the task, origin from the data."""
    module: TaskModule = task.load()
    find_arch(arch)
    licenses = "; ".join(dataset.licenses) or "no licence stated with the data"
    return Spec(
        name=f"{task.name}-{arch}",
        task=task.name,
        arch=arch,
        input=InputSpec(
            height=recipe.size,
            width=recipe.size,
            resize_to=recipe.resize_to,
            mean=MEAN,
            std=STD,
        ),
        heads=module.heads(**recipe.head_options),
        license=f"Weights follow their training images: {licenses}",
        intended_use=module.INTENDED_USE,
        training_data=f"{len(dataset)} images of {dataset.name}, train split",
        limits=module.LIMITS,
    )


def measure(spec: Spec, network: nn.Module, dataset: Dataset) -> Evaluation:
    """Task metrics of the float network on a split, with 95 % intervals."""
    session = TorchSession(spec, network)
    decoded = run_all(session, dataset.pixels(spec.input))
    return evaluate(spec, decoded, dataset.truth(spec))


def measure_run(run: Path, data: ImageData | Path | str, split: str) -> Evaluation:
    """`measure` for a run on disk."""
    loaded = load_run(run)
    return measure(loaded.spec, loaded.network, load_split(data, split))


def _fresh_network(spec: Spec, recipe: Recipe) -> nn.Module:
    torch.manual_seed(recipe.seed)
    return build(spec, pretrained=recipe.pretrained)


def training_images(dataset: Dataset, spec: InputSpec, progress: Progress) -> torch.Tensor:
    """All images with the room that a random crop wants, kept in memory: uint8 (N, 3, H, W)."""
    if (edge := spec.resize_to) is not None:
        spec = spec.model_copy(update={"height": edge, "width": edge})
    pixels = dataset.pixels(spec, progress)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _held_out(spec: Spec, data: ImageData) -> list[Dataset]:
    """Val and test, where there are any; a bad label shows now, not after the last epoch."""
    found = [data.split(split) for split in ("val", "test") if data.has(split)]
    for dataset in found:
        dataset.labels(spec)
    return found


def trainable_labels(spec: Spec, task: Objective, dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The labels, after making sure that there is something to learn from.

    Raises:
        InvalidData: A label that the task needs is missing, or all images have the same.
    """
    truth = dataset.labels(spec)
    for name in task.TRAINS_ON:
        if name not in truth:
            raise InvalidData(
                f"{dataset.where} has no labels for '{name}', which {spec.task} trains on; its "
                f"columns are {', '.join(dataset.rows[0])}"
            )
    for name, labels in truth.items():
        if len(np.unique(labels, axis=0)) == 1:
            row = ", ".join(f"{value:g}" for value in np.ravel(labels[0]))
            raise InvalidData(
                f"every train image of {dataset.where} has {name} '{row}': "
                "one class only, there is nothing to learn"
            )
    return truth
