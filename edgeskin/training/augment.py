"""Training augmentation: rotation, zoom, crop, flip and colour, from one seeded generator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from edgeskin.data.segmentation_truth import UNKNOWN
from edgeskin.training.recipe import Training


def augment(
    images: Tensor,
    masks: Mapping[str, Tensor],
    size: tuple[int, int],
    recipe: Training,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Images turned, zoomed, cropped and coloured at random, and their masks with them.

    Args:
        images: uint8 (N, 3, H, W).
        masks: By head, int16 (N, H, W) or (N, H, W, labels), -1 where nobody knows.

    Returns:
        float32 pixels 0..255, (N, 3, *size), and the masks cropped alike; what was turned into
        the picture from outside is black, and unknown in the masks.
    """
    moves = [_Move.draw(images.shape[-2:], size, recipe, generator) for _ in images]
    pixels = torch.stack([move.image(image) for move, image in zip(moves, images, strict=True)])
    moved = {
        name: torch.stack([move.mask(mask) for move, mask in zip(moves, planes, strict=True)])
        for name, planes in masks.items()
    }
    return _color(pixels.float(), recipe.color_jitter, generator).clamp(0.0, 255.0), moved


class _Move:
    """Where the pixels of one image go: degrees, enlargement, the crop, and a flip."""

    def __init__(self, angle: float, scale: float, box: tuple[int, int, int, int], flip: bool):
        self.angle, self.scale, self.box, self.flip = angle, scale, box, flip

    @classmethod
    def draw(
        cls,
        shape: tuple[int, ...],
        size: tuple[int, int],
        recipe: Training,
        generator: torch.Generator,
    ) -> _Move:
        height, width = size
        angle, top, left, flip = torch.rand(4, generator=generator).tolist()
        scale = 1.0
        if recipe.zoom:
            scale += recipe.zoom * torch.rand(1, generator=generator).item()
        y, x = round(top * (shape[0] - height)), round(left * (shape[1] - width))
        degrees = (2.0 * angle - 1.0) * recipe.rotation_deg
        return cls(degrees, scale, (y, x, height, width), flip < 0.5)

    def image(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) to (3, height, width)."""
        return self._cut(self._turned(image, InterpolationMode.BILINEAR, 0))

    def mask(self, mask: Tensor) -> Tensor:
        """int16 (H, W) or (H, W, labels), cut to (height, width) or (height, width, labels)."""
        planes = mask[None] if mask.ndim == 2 else mask.permute(2, 0, 1)
        cut = self._cut(self._turned(planes, InterpolationMode.NEAREST, UNKNOWN))
        return cut[0] if mask.ndim == 2 else cut.permute(1, 2, 0)

    def _turned(self, planes: Tensor, filter_: InterpolationMode, outside: int) -> Tensor:
        if self.scale == 1.0:
            return transform.rotate(planes, self.angle, interpolation=filter_, fill=outside)
        return transform.affine(
            planes,
            -self.angle,  # torchvision turns the other way here
            translate=[0.0, 0.0],
            scale=self.scale,
            shear=[0.0, 0.0],
            interpolation=filter_,
            fill=outside,
        )

    def _cut(self, planes: Tensor) -> Tensor:
        y, x, height, width = self.box
        planes = planes[:, y : y + height, x : x + width]
        return planes.flip(-1) if self.flip else planes


def _color(batch: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """A gain common to the channels and an offset for each, both uniform within +-strength."""
    n = batch.shape[0]
    gain = 1.0 + strength * (2.0 * torch.rand(n, 1, 1, 1, generator=generator) - 1.0)
    offset = 127.5 * strength * (2.0 * torch.rand(n, 3, 1, 1, generator=generator) - 1.0)
    return batch * gain + offset
