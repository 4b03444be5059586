"""Facial skin that may carry acne: forehead, cheeks, nose and chin, without eyes, brows and lips.

The first stage of the pipeline `acne_presence`: what the mask leaves out, the classifier does not
see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from edgeskin.spec import Head, SegmentationHead, Spec
from edgeskin.tasks.losses import mask_loss

TRAINS_ON = ("skin",)
METRIC = "dice"
RECIPE: Mapping[str, Any] = {"size": 256, "resize": "letterbox", "zoom": 0.3, "color_jitter": 0.2}
INTENDED_USE = "Research: the facial skin of a photo, to measure on or to look at alone."
LIMITS = (
    "For one frontal face in a photo, neutral or smiling. Not validated on profiles, nor where "
    "beards, glasses, hands or masks cover skin."
)


def heads() -> tuple[Head, ...]:
    return (SegmentationHead(name="skin", labels=("other", "skin")),)


def loss(spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor]) -> Tensor:
    """`mask_loss` of logits (N, 2, H, W) against masks (N, H, W) of 0, 1 and -1."""
    return mask_loss(raw[0].float(), truth["skin"])
