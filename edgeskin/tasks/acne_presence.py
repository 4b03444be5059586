"""Acne or none, from a high-resolution photo of a face.

The second stage of the pipeline `acne_presence`, which shows it skin alone: so it cannot learn
from what lies around the face.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeskin.spec import ClassificationHead, Head
from edgeskin.tasks.losses import class_loss

LABELS = ("unaffected", "affected")
TRAINS_ON = ("affected",)
METRIC = "balanced_accuracy"
RECIPE: Mapping[str, Any] = {"size": 448, "resize_to": 480, "batch_size": 16, "balanced": True}
INTENDED_USE = (
    "Research on finding acne in face photos. A measurement aid, not a medical device; it makes "
    "no diagnosis."
)
LIMITS = (
    "Tells acne from none of two kinds of photos: where those come from different sources, cameras "
    "and labels go together, and it may tell the sources apart. Not validated across skin tones, "
    "ages, cameras or lighting other than those of its training data."
)
loss = class_loss


def heads() -> tuple[Head, ...]:
    return (ClassificationHead(name="affected", labels=LABELS),)
