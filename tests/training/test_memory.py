"""The arithmetic of a training is the machine's faster one, and its images are there once."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
from samples import acne_spec
from torch import nn

from edgeskin.tasks import lesion_classification
from edgeskin.training.loop import Trainer
from edgeskin.training.memory import precision_here
from edgeskin.training.recipe import Recipe


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, "bf16-mixed"),
        ({"amx_bf16": False, "avx512_bf16": True}, "bf16-mixed"),
        ({"avx2": True}, "32-true"),
        ({"architecture": "aarch64"}, "32-true"),
    ],
)
def test_bfloat16_only_where_the_cpu_multiplies_in_it(
    able: dict[str, object], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert precision_here("auto") == expected
    assert precision_here("bf16-mixed") == "bf16-mixed"
    assert precision_here("32-true") == "32-true"


def test_what_a_training_is_known_by_needs_no_copy_of_its_images() -> None:
    images = torch.zeros(64, 64, 64, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    spec = acne_spec(task="lesion_classification", heads=lesion_classification.heads())
    recipe = Recipe(size=64, resize_to=64, precision="32-true")
    truth = {"label": torch.zeros(64, dtype=torch.long)}
    trainer = Trainer(spec, nn.Conv2d(3, 1, 1), lesion_classification, recipe, images, truth)
    tracemalloc.start()
    try:
        assert trainer._key
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < images.numel() / 4  # two of 64 images at once, and some text
