"""Quantization-aware training: the loop of `edgeskin.training` on a program's own graph."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin import metrics
from edgeskin.calibration.fake_quant import FixedRange, MovingRange, Weight
from edgeskin.calibration.qat_recipe import QatRecipe
from edgeskin.calibration.record import Score
from edgeskin.data.manifest import Dataset
from edgeskin.errors import InvalidData
from edgeskin.evaluation import RATIO, Measure, measures, predicted_values
from edgeskin.models.app_model import AppModel, decode
from edgeskin.postprocess import decisions
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    Head,
    SegmentationHead,
    Spec,
)
from edgeskin.tasks import Objective
from edgeskin.tasks.any_heads import relative_error
from edgeskin.training.loop import ParameterGroup, Trainer, class_head

BATCH = 16
Heads = tuple[Tensor, ...]


class Judge:
    """Scores networks on held-out images, `teacher` being the float network."""

    def __init__(
        self,
        spec: Spec,
        task: Objective,
        recipe: QatRecipe,
        held_out: Dataset,
        teacher: nn.Module,
    ):
        self.spec, self.task, self.recipe = spec, task, recipe
        self.labels = held_out.truth(spec)
        self.truth = {name: torch.from_numpy(values) for name, values in self.labels.items()}
        self.pixels = torch.from_numpy(held_out.pixels(spec.input))
        self.normalize = AppModel(nn.Identity(), spec).normalize
        self.teacher_raw = self._run(teacher)
        self.measure = _deciding(spec, task, self.labels, self._values(self.teacher_raw))
        self._check_recipe()

    def _check_recipe(self) -> None:
        """Refuse a recipe that needs labels which are not at hand."""
        if self.recipe.distill == 0 and not self.labels:
            raise InvalidData(
                "the manifest has no labels, and distill is 0: there is nothing to learn from. "
                "Set distill above 0, or add a label column."
            )
        if self.recipe.balanced:
            class_head(self.spec, self.truth)

    def __call__(self, network: nn.Module) -> Score:
        """Score a network of normalised float32 (N, 3, H, W), which is left in eval mode."""
        raw = self._run(network)
        predicted = self.measure.predicted_by(self._values(raw))
        return Score(self.measure.metric(self.measure.truth, predicted), self._loss(raw))

    def _values(self, raw: Heads) -> dict[str, NDArray[Any]]:
        """What metrics compare: what labels are compared with, decisions, decoded outputs."""
        names = self.spec.output_names("app")
        decoded = {
            name: values.numpy() for name, values in zip(names, decode(self.spec, raw), strict=True)
        }
        return {**decoded, **decisions(self.spec, decoded), **predicted_values(self.spec, decoded)}

    @torch.no_grad()
    def _run(self, network: nn.Module) -> Heads:
        network.eval()
        parts = [network(self.normalize(pixels)) for pixels in self.pixels.split(BATCH)]
        return tuple(torch.cat(head) for head in zip(*parts, strict=True))

    def _loss(self, raw: Heads) -> float:
        """The loss of training; of a balanced recipe, the mean of the losses of the classes."""
        if not self.recipe.balanced:
            return self._loss_of(raw, torch.arange(len(self.pixels)))
        classes = self.truth[class_head(self.spec, self.truth)]
        losses = [self._loss_of(raw, (classes == c).nonzero()[:, 0]) for c in classes.unique()]
        return sum(losses) / len(losses)

    def _loss_of(self, raw: Heads, chosen: Tensor) -> float:
        truth = {name: values[chosen] for name, values in self.truth.items()}
        student = tuple(head[chosen] for head in raw)
        teacher = tuple(head[chosen] for head in self.teacher_raw)
        by_labels = self.task.loss(self.spec, student, truth, **self.recipe.loss_options)
        by_teacher = distillation(self.spec, student, teacher, self.recipe.temperature)
        return float((1 - self.recipe.distill) * by_labels + self.recipe.distill * by_teacher)


def _deciding(
    spec: Spec,
    task: Objective,
    labels: Mapping[str, NDArray[Any]],
    teacher: Mapping[str, NDArray[Any]],
) -> Measure:
    """The first metric of the task's kind that the labels allow.

    Where a task needs no labels and there are none, it is agreement with `teacher`, the values
    of the float network, in the first head: the share of equal decisions, or the cosine.
    """
    for measure in measures(spec, labels):
        if measure.name.endswith(task.METRIC):
            return measure
    if task.TRAINS_ON:
        raise InvalidData(f"the labels at hand do not give the {task.METRIC} that decides for QAT")
    name = spec.heads[0].name
    if np.issubdtype(teacher[name].dtype, np.integer):
        kind, metric = "equal_decisions", metrics.equal_ratio
    else:
        kind, metric = "cosine", metrics.cosine_ratio
    return Measure(f"{name}_{kind}", RATIO, metric, teacher[name], name)


class BestState(TypedDict):
    """`Best` in a checkpoint; a score is (metric, loss)."""

    scores: list[tuple[float, float]]
    weights: dict[str, Tensor]


class Best:
    """The best state so far, and the scores of all; goes into checkpoints."""

    def __init__(self) -> None:
        self.scores: list[Score] = []
        self.weights: dict[str, Tensor] = {}

    def offer(self, network: nn.Module, score: Score) -> None:
        if all(score.beats(other) for other in self.scores):
            self.weights = {name: value.clone() for name, value in network.state_dict().items()}
        self.scores.append(score)

    @property
    def score(self) -> Score:
        """The score of the best epoch; of equal ones, the first."""
        return functools.reduce(lambda best, s: s if s.beats(best) else best, self.scores)

    @property
    def epoch(self) -> int:
        """The best epoch, counted from 1."""
        return 1 + self.scores.index(self.score)

    def state_dict(self) -> BestState:
        return {
            "scores": [(score.metric, score.loss) for score in self.scores],
            "weights": self.weights,
        }

    def load_state_dict(self, state: BestState) -> None:
        self.scores = [Score(*pair) for pair in state["scores"]]
        self.weights = state["weights"]


@dataclass(kw_only=True)
class QatTrainer(Trainer):
    """Trains a graph made by `trainable`, and keeps the best of its epochs.

    `teacher` is the float network in eval mode; `start` identifies the program.
    """

    recipe: QatRecipe
    teacher: nn.Module
    judge: Judge
    start: str
    best: Best = field(default_factory=Best, init=False)

    def __post_init__(self) -> None:
        self.teacher.to(memory_format=torch.channels_last)
        super().__post_init__()

    def parameter_groups(self) -> list[ParameterGroup]:
        scales = [p for name, p in self.network.named_parameters() if name.endswith(".growth")]
        others = [p for name, p in self.network.named_parameters() if not name.endswith(".growth")]
        groups: list[ParameterGroup] = [{"params": [p for p in others if p.requires_grad]}]
        if scales:
            groups.append({"params": scales, "lr": self.recipe.range_rate, "weight_decay": 0.0})
        return groups

    def loss(self, x: Tensor, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor]) -> Tensor:
        share = self.recipe.distill
        loss = torch.zeros(())
        if share < 1:
            loss = (1 - share) * super().loss(x, raw, truth)
        if share > 0:
            with torch.no_grad():
                teacher = self.teacher(x)
            loss = loss + share * distillation(self.spec, raw, teacher, self.recipe.temperature)
        return loss

    def step(self, chosen: Tensor, generator: torch.Generator) -> float:
        done = self.schedule.last_epoch  # the scheduler counts steps
        if done >= self.recipe.freeze_share * self.recipe.epochs * self.steps:
            for module in self.network.modules():
                if isinstance(module, FixedRange | Weight):
                    module.freeze()
        loss = super().step(chosen, generator)
        for module in self.network.modules():
            if isinstance(module, MovingRange):
                module.move()
        return loss

    def epoch_done(self) -> None:
        self.best.offer(self.averaged, self.judge(self.averaged))

    def state(self) -> dict[str, object]:
        return super().state() | {"best": self.best}

    def identity(self) -> str:
        return f" {self.start}"


def distillation(
    spec: Spec, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], temperature: float
) -> Tensor:
    """How far the heads are from the float network's, the mean over the heads.

    For logits of classes T^2 KL(softmax(teacher / T) || softmax(student / T)) in nats, mean over
    the batch and the pixels (Hinton et al., "Distilling the knowledge in a neural network", 2015;
    T^2 keeps the gradients' size); of sigmoid heads the same divergence of each label by itself,
    their mean. For values, embeddings and tensors the squared difference over the float
    network's mean square.
    """
    losses = [
        _distance(head, ours.float(), theirs.float(), temperature)
        for head, ours, theirs in zip(spec.heads, student, teacher, strict=True)
    ]
    return torch.stack(losses).mean()


def _distance(head: Head, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    match head:
        case ClassificationHead(activation="sigmoid") | SegmentationHead(activation="sigmoid"):
            return temperature**2 * _bernoulli(student / temperature, teacher / temperature)
        case ClassificationHead() | DistributionHead() | SegmentationHead():
            target = (teacher / temperature).softmax(1)
            predicted = (student / temperature).log_softmax(1)
            divergence = F.kl_div(predicted, target, reduction="none").sum(1)
            return temperature**2 * divergence.mean()
    return relative_error(student, teacher)


def _bernoulli(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean KL(sigmoid(teacher) || sigmoid(student)) in nats: cross-entropy without entropy."""
    target = teacher.sigmoid()
    crossed = F.binary_cross_entropy_with_logits(student, target)
    return crossed - F.binary_cross_entropy_with_logits(teacher, target)
