"""Balanced drawing, and the lesion task that asks for it."""

import numpy as np
import pytest
import torch
from samples import acne_spec
from scipy import special
from torch import nn

from edgeskin.errors import InvalidData
from edgeskin.spec import DistributionHead
from edgeskin.tasks import find_task, lesion_classification
from edgeskin.tasks.lesion_classification import LABELS, heads
from edgeskin.training.loop import Trainer
from edgeskin.training.recipe import Recipe

SPEC = acne_spec(task="lesion_classification", heads=heads())


def trainer(labels: torch.Tensor, **changes: object) -> Trainer:
    images = torch.zeros(len(labels), 3, 64, 64, dtype=torch.uint8)
    recipe = Recipe(size=64, resize_to=64, precision="32-true", **changes)
    return Trainer(
        SPEC, nn.Conv2d(3, 1, 1), lesion_classification, recipe, images, {"label": labels}
    )


def test_balanced_draws_every_class_equally_often() -> None:
    labels = torch.tensor([0] * 6000 + [1] * 2970 + [2] * 30)
    drawn = labels[trainer(labels, balanced=True)._order(torch.Generator().manual_seed(0))]
    # 3000 expected of 9000 draws, standard deviation sqrt(9000 * 1/3 * 2/3) = 45; four of them.
    assert torch.bincount(drawn).tolist() == pytest.approx([3000] * 3, abs=180)


def test_without_it_every_image_is_drawn_once() -> None:
    order = trainer(torch.zeros(50, dtype=torch.long))._order(torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(50))


def test_balance_needs_class_labels() -> None:
    made = trainer(torch.zeros(4, dtype=torch.long), balanced=True)
    made.truth = {}
    with pytest.raises(InvalidData, match="needs class labels"):
        made._order(torch.Generator())
    assert not any(isinstance(head, DistributionHead) for head in made.spec.heads)


def test_the_lesion_loss_is_smoothed_cross_entropy() -> None:
    raw = np.random.default_rng(1).normal(size=(5, 7))
    truth = np.array([0, 6, 3, 3, 1])
    target = np.full((5, 7), 0.1 / 7)
    target[np.arange(5), truth] += 0.9
    expected = -(target * special.log_softmax(raw, axis=1)).sum(axis=1).mean()
    module = find_task("lesion_classification").load()
    found = module.loss(SPEC, (torch.from_numpy(raw),), {"label": torch.from_numpy(truth)})
    assert found.item() == pytest.approx(expected, rel=1e-6)  # float32 against float64


def test_a_tasks_recipe_gives_way_to_what_was_asked() -> None:
    module = find_task("lesion_classification").load()
    assert Recipe.load(None, module.RECIPE).rotation_deg == 180.0
    assert Recipe.load(None, module.RECIPE, rotation_deg=5.0).rotation_deg == 5.0
    assert len(LABELS) == 7
