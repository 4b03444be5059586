"""Melanoma or not, of a dermatoscopic image, as in the ISIC 2017 challenge.

Codella et al., "Skin lesion analysis toward melanoma detection", ISBI 2018. The measure is the area
under the ROC curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from edgeskin.spec import ClassificationHead, Head, Spec
from edgeskin.tasks.published import Published

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
PUBLISHED: tuple[Published, ...] = ()


def heads() -> tuple[Head, ...]:
    return (ClassificationHead(name="label", labels=LABELS),)


def loss(
    spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor], *, smoothing: float = 0.1
) -> Tensor:
    """Cross-entropy of logits (N, 2), mean over the batch, in nats.

    Args:
        truth: `label`, (N,), class indices.
        smoothing: Share of each label spread evenly over all classes.
    """
    return F.cross_entropy(raw[0].float(), truth["label"], label_smoothing=smoothing)
