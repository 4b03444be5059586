"""Melanoma or not, of a dermatoscopic image, as in the ISIC 2017 challenge.

Codella et al., "Skin lesion analysis toward melanoma detection", ISBI 2018. The measure is the area
under the ROC curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeskin.spec import ClassificationHead, Head
from edgeskin.tasks.losses import class_loss

LABELS = ("not_melanoma", "melanoma")
TRAINS_ON = ("label",)
METRIC = "auroc"
RECIPE: Mapping[str, Any] = {"balanced": True, "rotation_deg": 180.0, "zoom": 0.3}
INTENDED_USE = (
    "Research on lesion classification from dermatoscopic images. Not a medical device; it makes "
    "no diagnosis."
)
LIMITS = (
    "Calls every image one of two. Not validated on clinical photos, nor across skin tones and "
    "cameras other than those of its training data."
)
loss = class_loss


def heads() -> tuple[Head, ...]:
    return (ClassificationHead(name="label", labels=LABELS),)
