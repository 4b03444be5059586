"""Grade of an ultrasound image, by the classes of breast ultrasound, a stand-in.

The published system grades skin ageing in high-frequency ultrasound of the face. No open set of
such images could be had: the classes here are those of BUSI, breast ultrasound (Al-Dhabyani et
al., Data in Brief 28, 2020). No claim about skin may rest on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeskin.spec import ClassificationHead, Head
from edgeskin.tasks.losses import class_loss

LABELS = ("normal", "benign", "malignant")
TRAINS_ON = ("label",)
METRIC = "balanced_accuracy"
RECIPE: Mapping[str, Any] = {
    "balanced": True,
    "rotation_deg": 10.0,
    "zoom": 0.2,
    "color_jitter": 0.2,
}
INTENDED_USE = (
    "Research on quantizing attention and layer normalisation, with classes of breast ultrasound. "
    "Not a medical device; it makes no diagnosis."
)
LIMITS = (
    "Its classes are those of breast ultrasound, a stand-in: they say nothing about skin ageing. "
    "Not validated across scanners and hospitals other than those of its training data."
)
loss = class_loss


def heads() -> tuple[Head, ...]:
    return (ClassificationHead(name="label", labels=LABELS),)
