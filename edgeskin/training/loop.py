"""The training loop: Adam, a cosine schedule, averaged weights, resumable after any kill.

Every epoch draws its randomness from (seed, epoch) alone and ends with a
checkpoint, so a run that was killed and resumed takes the same steps as one
that was not.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgeskin.errors import InvalidData, InvalidRun, TrainingDiverged
from edgeskin.files import atomic
from edgeskin.models.app_model import AppModel
from edgeskin.spec import ClassificationHead, SegmentationHead, Spec
from edgeskin.tasks import Objective
from edgeskin.training.augment import augment
from edgeskin.training.memory import (
    fast_arithmetic,
    float32_depthwise,
    keep_freed_memory,
    precision_here,
)
from edgeskin.training.recipe import Training

Report = Callable[[int, float], None]
VERSION = 2
"""Of what a checkpoint holds; in version 1, no losses and no seconds."""
ParameterGroup = dict[str, list[nn.Parameter] | float]
"""`params` and what differs for them from the optimizer's settings, as torch takes it."""


@dataclass
class Trainer:
    """One training run in memory. `images` uint8 (N, 3, H, W), `truth` as `Dataset.truth`.

    Masks in `truth` have the size of the images, not of the network's input. `started_from` are
    the words for the weights before the first step: a resumption must start from the same.
    `losses` are the mean losses of the epochs so far, `seconds` their wall time.

    Another kind of training overrides `parameter_groups`, `loss`, `step`, `train_mode`,
    `epoch_done`, `state` and `identity`.
    """

    spec: Spec
    network: nn.Module
    task: Objective
    recipe: Training
    images: Tensor
    truth: Mapping[str, Tensor]
    started_from: str = ""
    losses: list[float] = field(default_factory=list, init=False)
    seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        recipe = self.recipe
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces itself
        self.steps = math.ceil(len(self.images) / recipe.batch_size)
        self.fabric = Fabric(
            accelerator="cpu", devices=1, precision=precision_here(recipe.precision)
        )
        network = self.network.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(
            self.parameter_groups(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        self.model, self.optimizer = self.fabric.setup(network, optimizer)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.network,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average_decay),
            use_buffers=True,
        )
        self.normalizer = AppModel(nn.Identity(), self.spec, "NCHW")
        heads = [head.name for head in self.spec.heads if isinstance(head, SegmentationHead)]
        self.masks = [name for name in heads if name in self.truth]

    def fit(self, checkpoint: Path, report: Report) -> nn.Module:
        """Train what is left to train; returns the averaged network in eval mode."""
        if checkpoint.is_file():
            self._restore(checkpoint)
        keep_freed_memory()
        with fast_arithmetic(), float32_depthwise(self.network, self.averaged):
            while self.epoch < self.recipe.epochs:
                began = time.monotonic()
                loss = self._one_epoch()
                self._check_weights()
                self.losses.append(loss)
                self.epoch_done()
                self.seconds += time.monotonic() - began
                self._save(checkpoint)
                report(self.epoch, loss)
        return self.averaged.eval()

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return len(self.losses)

    @property
    def averaged(self) -> nn.Module:
        """The network with the averages of its weights."""
        module: nn.Module = self.average.module
        return module

    def parameter_groups(self) -> list[ParameterGroup]:
        """What is trained, as the optimizer takes it."""
        return [{"params": list(self.network.parameters())}]

    def loss(self, x: Tensor, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor]) -> Tensor:
        """What is minimised on one batch: normalised pixels, raw heads, labels."""
        return self.task.loss(self.spec, raw, truth, **self.recipe.loss_options)

    def train_mode(self) -> None:
        """Called before each epoch: batch norm and dropout as in training."""
        self.model.train()

    def epoch_done(self) -> None:
        """Called after each epoch, before its checkpoint is written."""

    def state(self) -> dict[str, object]:
        """What a checkpoint holds: objects with a state, or plain values."""
        return {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }

    def identity(self) -> str:
        """What else, besides spec, recipe and data, must not change between kill and resumption."""
        return ""

    def _one_epoch(self) -> float:
        generator = torch.Generator().manual_seed(self.recipe.seed * 100_003 + self.epoch)
        torch.manual_seed(self.recipe.seed * 100_003 + self.epoch)  # dropout and drop path
        self.train_mode()
        order = self._order(generator)
        total = 0.0
        for chosen in order.split(self.recipe.batch_size):
            if len(chosen) == 1:  # batch norm has no variance over one image
                continue
            total += self.step(chosen, generator) * len(chosen)
        return total / len(self.images)

    def _order(self, generator: torch.Generator) -> Tensor:
        """Indices (N,) of an epoch: each image once, or `balanced` draws with replacement."""
        count = len(self.images)
        if not self.recipe.balanced:
            return torch.randperm(count, generator=generator)
        labels = self.truth[class_head(self.spec, self.truth)]
        weights = 1.0 / torch.bincount(labels)[labels]
        return torch.multinomial(weights, count, replacement=True, generator=generator)

    def step(self, chosen: Tensor, generator: torch.Generator) -> float:
        """One step of the optimizer on the images `chosen`; returns their mean loss."""
        size = (self.spec.input.height, self.spec.input.width)
        truth = {name: values[chosen] for name, values in self.truth.items()}
        masks = {name: truth[name] for name in self.masks}
        pixels, moved = augment(self.images[chosen], masks, size, self.recipe, generator)
        x = self.normalizer.normalize(pixels).to(memory_format=torch.channels_last)
        raw = self.model(x)
        return self.descend(self.loss(x, raw, truth | moved))

    def descend(self, loss: Tensor) -> float:
        """The step itself, down the gradient of a loss; returns its value.

        Raises:
            TrainingDiverged: It is no number.
        """
        if not torch.isfinite(loss):
            step = self.schedule.last_epoch + 1  # the scheduler counts steps
            raise self._diverged(f"the loss is {loss.item()} at", step)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return loss.item()

    def _check_weights(self) -> None:
        """Refuse weights that are no numbers: of a finite loss, the gradient may be none.

        Whatever a step left is in the averages ever after, so those are enough to look at.

        Raises:
            TrainingDiverged: A weight is no number.
        """
        if not all(torch.isfinite(weights).all() for weights in self.averaged.parameters()):
            raise self._diverged("a weight is no number after", self.schedule.last_epoch)

    def _diverged(self, what: str, step: int) -> TrainingDiverged:
        kept = f"the checkpoint of epoch {self.epoch} is kept" if self.epoch else "nothing is kept"
        return TrainingDiverged(
            f"{what} step {step} of {self.recipe.epochs * self.steps} (epoch {self.epoch + 1}); "
            f"{kept}. Lower learning_rate, or set precision to 32-true."
        )

    def _rate(self, step: int) -> float:
        """Share of the learning rate at a step: linear warm-up, then half a cosine."""
        last = self.recipe.epochs * self.steps
        warmup = self.recipe.warmup_share * last
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1.0, last - warmup)))

    def _save(self, path: Path) -> None:
        with atomic(path, force=True) as fresh:
            done = {"losses": self.losses, "seconds": self.seconds, "key": self._key}
            self.fabric.save(fresh, self.state() | done)

    def _restore(self, path: Path) -> None:
        try:
            kept = self.fabric.load(path, weights_only=True)
            same = kept["key"] == self._key
            if same:  # another network's state does not fit
                self.fabric.load(path, self.state(), strict=True, weights_only=True)
                self.losses, self.seconds = list(kept["losses"]), kept["seconds"]
        except Exception as error:  # torch raises its own types for damaged files
            raise InvalidRun(
                f"the checkpoint {path} is damaged: {error}. Remove it to start again."
            ) from error
        if not same:
            raise InvalidRun(
                f"{path} belongs to another recipe, network, data set or version of edgeskin. "
                "Remove it, or train with what it was made with."
            )

    @cached_property
    def _key(self) -> str:
        """What must not change between a kill and its resumption."""
        data = hashlib.sha256()
        for image in self.images:  # one by one: all of them as bytes are as large again
            data.update(image.numpy().tobytes())
        for name, values in sorted(self.truth.items()):
            data.update(name.encode() + values.numpy().tobytes())
        settings = f"{VERSION} {self.spec.to_json()} {self.recipe.model_dump_json()}"
        return f"{settings} {self.started_from} {data.hexdigest()}{self.identity()}"


def class_head(spec: Spec, truth: Mapping[str, Tensor]) -> str:
    """The first softmax classification with labels; raises InvalidData where there is none."""
    for head in spec.heads:
        is_class = isinstance(head, ClassificationHead) and head.activation == "softmax"
        if is_class and head.name in truth:
            return head.name
    raise InvalidData("a balanced recipe needs class labels, and the manifest has none")
