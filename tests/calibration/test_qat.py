"""The parts of quantization-aware training: what it minimises, how it judges, what it keeps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import acne_spec
from scipy import special
from torch import Tensor, nn

from edgeskin.calibration.qat import Best, Judge, Score, distillation
from edgeskin.calibration.qat_recipe import QatRecipe
from edgeskin.calibration.qat_run import qat_recipe
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidSpec
from edgeskin.spec import (
    ClassificationHead,
    EmbeddingHead,
    Head,
    RegressionHead,
    SegmentationHead,
    TensorHead,
)
from edgeskin.tasks import find_task


def logits(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_distillation_is_the_softened_divergence_of_the_paper() -> None:
    """Against its definition in float64: T^2 sum p log(p / q), mean over images and heads."""
    heads = (logits(5, 4, seed=0), logits(5, 65, seed=1))
    teacher = (logits(5, 4, seed=2), logits(5, 65, seed=3))
    expected = []
    for ours, theirs in zip(heads, teacher, strict=True):
        p = np.exp(theirs.double().numpy() / 3.0)
        q = np.exp(ours.double().numpy() / 3.0)
        p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
        expected.append(9.0 * (p * np.log(p / q)).sum(1).mean())
    found = distillation(acne_spec(), heads, teacher, temperature=3.0)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(distillation(acne_spec(), teacher, teacher, 3.0)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "head",
    [
        RegressionHead(name="age", unit="years"),
        EmbeddingHead(name="face", size=1, normalize="l2"),
        TensorHead(name="depth", shape=(1,)),
    ],
    ids=lambda head: head.kind,
)
def test_distillation_of_values_is_the_squared_error_over_the_mean_square(head: Head) -> None:
    spec = acne_spec(heads=(head,))
    found = distillation(spec, (torch.tensor([[1.0], [4.0]]),), (torch.tensor([[0.0], [2.0]]),), 2)
    assert float(found) == pytest.approx((1 + 4) / (0 + 4))


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        (ClassificationHead(name="signs", labels=("a", "b"), activation="sigmoid"), (5, 2)),
        (SegmentationHead(name="skin", labels=("a", "b"), activation="sigmoid"), (5, 2, 3, 4)),
        (SegmentationHead(name="skin", labels=("a", "b")), (5, 2, 3, 4)),
    ],
    ids=["labels", "masks", "classes a pixel"],
)
def test_distillation_of_labels_and_pixels_is_the_divergence_of_each(
    head: ClassificationHead | SegmentationHead, shape: tuple[int, ...]
) -> None:
    """Against its definition in float64, with both outcomes of a label written out."""
    student, teacher = logits(*shape, seed=4), logits(*shape, seed=5)
    if head.activation == "sigmoid":
        p, q = (special.expit(x.double().numpy() / 3.0) for x in (teacher, student))
        expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    else:
        p, q = (special.softmax(x.double().numpy() / 3.0, axis=1) for x in (teacher, student))
        expected = (p * np.log(p / q)).sum(axis=1).mean()
    spec = acne_spec(heads=(head,))
    assert float(distillation(spec, (student,), (teacher,), 3.0)) == pytest.approx(
        9.0 * expected, rel=1e-5
    )
    assert float(distillation(spec, (teacher,), (teacher,), 3.0)) == pytest.approx(0.0, abs=1e-6)


class Answers(nn.Module):
    """The logits of seven classes for each image in turn."""

    def __init__(self, answers: Tensor):
        super().__init__()
        self.answers, self.at = answers, 0

    def forward(self, x: Tensor) -> tuple[Tensor]:
        part = self.answers[self.at : self.at + len(x)]
        self.at += len(x)
        return (part,)


def test_a_balanced_recipe_is_judged_with_each_class_counting_the_same(phantom_set: Path) -> None:
    """Seven images of one class and one of another: the metric and the loss see two halves."""
    spec = acne_spec(
        task="lesion_classification",
        heads=(ClassificationHead(name="severity", labels=("a", "b", "c", "d")),),
    )
    task = find_task("lesion_classification").load()
    held_out = load_split(phantom_set, "val")
    rows = tuple({**row, "severity": "a" if i else "b"} for i, row in enumerate(held_out.rows))
    held_out = type(held_out)(held_out.folder, "val", rows)

    class Task:
        METRIC, TRAINS_ON = task.METRIC, ("severity",)

        @staticmethod
        def loss(spec: object, raw: tuple[Tensor], truth: dict[str, Tensor], **_: float) -> Tensor:
            return nn.functional.cross_entropy(raw[0], truth["severity"])

    always_a = torch.tensor([[2.0, 0.0, 0.0, 0.0]]).repeat(8, 1)
    right = -math.log(math.exp(2) / (math.exp(2) + 3))
    wrong = -math.log(1 / (math.exp(2) + 3))
    for balanced, share in ((True, 1 / 2), (False, 1 / 8)):
        judge = Judge(
            spec, Task(), QatRecipe(balanced=balanced, distill=0.0), held_out, Answers(always_a)
        )  # type: ignore[arg-type]
        score = judge(Answers(always_a))
        assert judge.measure.name == "severity_balanced_accuracy"
        assert score.metric == pytest.approx(0.5)
        assert score.loss == pytest.approx(share * wrong + (1 - share) * right, rel=1e-5)


def test_the_best_is_kept_and_survives_a_checkpoint() -> None:
    network, best = nn.Linear(1, 1), Best()
    scores = [Score(0.5, 0.3), Score(0.7, math.nan), Score(0.4, 0.2), Score(0.6, 0.2)]
    for index, score in enumerate(scores):
        nn.init.constant_(network.weight, index)
        best.offer(network, score)
    assert (best.epoch, best.score) == (3, scores[2])
    assert float(best.weights["weight"]) == 2.0
    other = Best()
    other.load_state_dict(best.state_dict())
    assert (other.epoch, other.scores[2]) == (3, scores[2])
    assert float(other.weights["weight"]) == 2.0


def test_settings_come_from_the_task_the_run_the_file_and_the_command(tmp_path: Path) -> None:
    spec = acne_spec(
        task="lesion_classification",
        heads=(ClassificationHead(name="label", labels=("a", "b")),),
    )
    (tmp_path / "spec.json").write_text(spec.to_json())
    assert qat_recipe(tmp_path).balanced
    assert qat_recipe(tmp_path).rotation_deg == 180.0
    used = '{"recipe": {"rotation_deg": 7.5, "loss_options": {"smoothing": 0.2}, "size": 99}}'
    (tmp_path / "metrics.json").write_text(used)
    (tmp_path / "r.toml").write_text("epochs = 5\nranges = 'moving'")
    made = qat_recipe(tmp_path, tmp_path / "r.toml", epochs=None, seed=3)
    assert (made.rotation_deg, made.loss_options) == (7.5, {"smoothing": 0.2})
    assert (made.epochs, made.ranges, made.seed) == (5, "moving", 3)
    with pytest.raises(InvalidSpec, match="recipe: distill: Input should be less than"):
        qat_recipe(tmp_path, distill=1.5)
    (tmp_path / "r.toml").write_text("size = 224")
    with pytest.raises(InvalidSpec, match="recipe: size: Extra inputs"):
        qat_recipe(tmp_path, tmp_path / "r.toml")
