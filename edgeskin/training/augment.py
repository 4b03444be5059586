"""Training augmentation: rotation, crop, flip and colour, from one seeded generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from edgeskin.training.recipe import Recipe


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """uint8 (N, 3, S, S) to float32 pixels 0..255, (N, 3, size, size)."""
    batch = torch.stack([_geometry(image, recipe, generator) for image in images]).float()
    return _color(batch, recipe.color_jitter, generator).clamp(0.0, 255.0)


def _geometry(image: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    angle, top, left, flip = torch.rand(4, generator=generator).tolist()
    degrees = (2.0 * angle - 1.0) * recipe.rotation_deg
    image = transform.rotate(image, degrees, interpolation=InterpolationMode.BILINEAR)
    room = image.shape[-1] - recipe.size
    y, x = round(top * room), round(left * room)
    image = image[:, y : y + recipe.size, x : x + recipe.size]
    return image.flip(-1) if flip < 0.5 else image


def _color(batch: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """A gain common to the channels and an offset for each, both uniform within +-strength."""
    n = batch.shape[0]
    gain = 1.0 + strength * (2.0 * torch.rand(n, 1, 1, 1, generator=generator) - 1.0)
    offset = 127.5 * strength * (2.0 * torch.rand(n, 3, 1, 1, generator=generator) - 1.0)
    return batch * gain + offset
