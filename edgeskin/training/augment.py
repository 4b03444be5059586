"""Training augmentation: rotation, crop, flip and colour, from one seeded generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from edgeskin.training.recipe import Training


def augment(
    images: Tensor, size: tuple[int, int], recipe: Training, generator: torch.Generator
) -> Tensor:
    """uint8 (N, 3, H, W) to float32 pixels 0..255, (N, 3, *size): cropped at random."""
    turned = [_geometry(image, size, recipe.rotation_deg, generator) for image in images]
    batch = torch.stack(turned).float()
    return _color(batch, recipe.color_jitter, generator).clamp(0.0, 255.0)


def _geometry(
    image: Tensor, size: tuple[int, int], rotation_deg: float, generator: torch.Generator
) -> Tensor:
    height, width = size
    angle, top, left, flip = torch.rand(4, generator=generator).tolist()
    degrees = (2.0 * angle - 1.0) * rotation_deg
    image = transform.rotate(image, degrees, interpolation=InterpolationMode.BILINEAR)
    y = round(top * (image.shape[-2] - height))
    x = round(left * (image.shape[-1] - width))
    image = image[:, y : y + height, x : x + width]
    return image.flip(-1) if flip < 0.5 else image


def _color(batch: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """A gain common to the channels and an offset for each, both uniform within +-strength."""
    n = batch.shape[0]
    gain = 1.0 + strength * (2.0 * torch.rand(n, 1, 1, 1, generator=generator) - 1.0)
    offset = 127.5 * strength * (2.0 * torch.rand(n, 3, 1, 1, generator=generator) - 1.0)
    return batch * gain + offset
