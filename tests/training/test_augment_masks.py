"""Masks go where their images go."""

import pytest
import torch

from edgeskin.training.augment import augment
from edgeskin.training.recipe import Recipe

SIZE = (64, 64)


def squares() -> torch.Tensor:
    """Masks (4, 96, 96) with one rectangle each, not symmetric in any way."""
    masks = torch.zeros(4, 96, 96, dtype=torch.int16)
    for i in range(4):
        masks[i, 20 + 5 * i : 50 + 8 * i, 30:72] = 1
    return masks


@pytest.mark.parametrize("zoom", [0.0, 0.5])
def test_a_mask_moves_with_the_pixels_that_it_is_of(zoom: float) -> None:
    masks = squares()
    images = (255 * masks[:, None]).expand(-1, 3, -1, -1).to(torch.uint8)
    recipe = Recipe(size=64, resize_to=96, rotation_deg=40.0, zoom=zoom, color_jitter=0.0)
    generator = torch.Generator().manual_seed(3)
    pixels, moved = augment(images, {"skin": masks}, SIZE, recipe, generator)
    drawn, inside = pixels[:, 0] > 127.5, moved["skin"] == 1
    # They differ on the rim alone, where one is interpolated and the other is not.
    differing = (drawn != inside).sum(dim=(1, 2))
    rim = 2 * (42 + 54) * (1 + zoom)
    assert inside.any(dim=2).any(dim=1).all()
    assert (differing < 0.35 * rim).all(), differing


def test_what_comes_from_outside_is_unknown() -> None:
    masks = torch.ones(2, 64, 64, 2, dtype=torch.int16)
    images = torch.full((2, 3, 64, 64), 200, dtype=torch.uint8)
    recipe = Recipe(size=64, resize_to=64, rotation_deg=45.0, color_jitter=0.0)
    generator = torch.Generator().manual_seed(1)
    pixels, moved = augment(images, {"labels": masks}, SIZE, recipe, generator)
    assert moved["labels"].shape == (2, 64, 64, 2)
    outside = moved["labels"][..., 0] == -1
    assert outside.any()
    assert (pixels[:, 0][outside] < 200).all()
    assert (moved["labels"][~outside] == 1).all()
