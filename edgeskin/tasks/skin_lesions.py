"""Skin and lesion areas of an ordinary photo, from which usable crops are cut.

The first stage of the pipeline `lesion_crops`. A region is worth classifying where more than 80 %
is skin and more than 10 % lesion; the rule stands in the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from edgeskin.spec import Head, SegmentationHead, Spec
from edgeskin.tasks.losses import mask_loss

LABELS = ("other", "skin", "lesion")
TRAINS_ON = ("regions",)
METRIC = "lesion_dice"
RECIPE: Mapping[str, Any] = {
    "size": 256,
    "resize": "letterbox",
    "rotation_deg": 180.0,
    "zoom": 0.5,
    "color_jitter": 0.2,
}
INTENDED_USE = "Research: where a photo shows skin and lesions, to select regions for a classifier."
LIMITS = (
    "Finds lesions that look like those of its training data: dermatoscopic images alone teach it "
    "no wide photos. Not validated on photos of patients, nor across skin tones."
)


def heads() -> tuple[Head, ...]:
    return (SegmentationHead(name="regions", labels=LABELS),)


def loss(spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor]) -> Tensor:
    """`mask_loss` of logits (N, 3, H, W) against masks (N, H, W) of 0, 1, 2 and -1."""
    return mask_loss(raw[0].float(), truth["regions"])
