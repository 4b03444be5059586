"""A source's graph as the network of a run: one kind of image in, raw heads out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeskin.sources.graph_outputs import Activation
from edgeskin.sources.guess_heads import GuessedHead
from edgeskin.sources.image_input import ImageInput
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    RegressionHead,
    SegmentationHead,
)

GREY = (0.299, 0.587, 0.114)
"""Red, green and blue in grey: ITU-R BT.601, as Pillow's mode "L"."""


class Adapted(nn.Module):
    """A network of normalised float32 (1, 3, H, W) around one with a layout of its own.

    A grey network gets the weighted sum of the three colours, which is the grey of the
    normalised image where mean and deviation are the same for all of them.
    """

    grey: Tensor

    def __init__(self, network: nn.Module, image: ImageInput, heads: Sequence[GuessedHead]):
        super().__init__()
        self.network = network
        self.image = image
        self.heads = tuple(heads)
        self.register_buffer("grey", torch.tensor(GREY).reshape(1, 3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(self.taken(x))
        return tuple(_raw(out, guess) for out, guess in zip(outputs, self.heads, strict=True))

    def taken(self, x: Tensor) -> Tensor:
        """What the source's own network takes for an image."""
        if self.image.channels == 1:
            x = torch.nn.functional.conv2d(x, self.grey)
        return x.permute(0, 2, 3, 1) if self.image.layout == "NHWC" else x


def _raw(out: Tensor, guess: GuessedHead) -> Tensor:
    """An output in the shape of its raw head."""
    out = out if out.is_floating_point() else out.float()
    match guess.head:
        case SegmentationHead():
            return out.permute(0, 3, 1, 2) if guess.channels_last else out
        case ClassificationHead(labels=labels):
            return out.reshape(1, len(labels))
        case EmbeddingHead(size=size) | DistributionHead(size=size):
            return out.reshape(1, size)
        case RegressionHead():
            return out.reshape(1, 1)
    return out.reshape(1, *guess.head.shape)


@dataclass(frozen=True)
class Restored:
    """How a raw head becomes the source's output again, for the comparison of the two."""

    guess: GuessedHead
    activation: Activation | None
    shape: tuple[int, ...]

    def __call__(self, raw: Tensor) -> NDArray[np.floating]:
        if self.activation == "softmax":
            raw = raw.softmax(1)
        elif self.activation == "sigmoid":
            raw = raw.sigmoid()
        if self.guess.channels_last:
            raw = raw.permute(0, 2, 3, 1)
        values: NDArray[np.floating] = raw.reshape(self.shape).numpy()
        return values
