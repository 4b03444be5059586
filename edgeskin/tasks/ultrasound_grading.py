"""Grade of an ultrasound image; trained on breast ultrasound, a stand-in.

The published system grades skin ageing in high-frequency ultrasound of the face. No open set of
such images could be had: the classes here are those of BUSI, breast ultrasound (Al-Dhabyani et
al., Data in Brief 28, 2020). No claim about skin may rest on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from edgeskin.spec import ClassificationHead, Head, Spec
from edgeskin.tasks.published import Published

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
    "Research on quantizing attention and layer normalisation; trained on breast ultrasound. Not a "
    "medical device; it makes no diagnosis."
)
LIMITS = "Breast ultrasound of one hospital, a stand-in: it says nothing about skin ageing."
PUBLISHED = (
    Published(
        "EfficientNetV2 with hierarchy, double attention and multi-scale path dropout",
        {"accuracy": 0.8766, "precision": 0.8827, "recall": 0.8766, "F1": 0.8780, "SP": 0.9794},
        "facial high-frequency ultrasound, ages 25 to 55",
    ),
)


def heads() -> tuple[Head, ...]:
    return (ClassificationHead(name="label", labels=LABELS),)


def loss(
    spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor], *, smoothing: float = 0.1
) -> Tensor:
    """Cross-entropy of logits (N, 3), mean over the batch, in nats.

    Args:
        truth: `label`, (N,), class indices.
        smoothing: Share of each label spread evenly over all classes.
    """
    return F.cross_entropy(raw[0].float(), truth["label"], label_smoothing=smoothing)
