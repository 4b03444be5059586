"""Diagnosis of a dermatoscopic lesion image: the seven classes of HAM10000.

Tschandl, Rosendahl and Kittler, "The HAM10000 dataset", Sci Data 5, 2018.
The classes are far from equally frequent, so batches draw them equally often
(`balanced` in the recipe) and the measure is balanced accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from edgeskin.spec import ClassificationHead, Head, Spec
from edgeskin.tasks.published import Published

LABELS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
"""Actinic keratosis, basal cell carcinoma, benign keratosis, dermatofibroma, melanoma,
naevus, vascular lesion: the names and the order of the challenge."""

TRAINS_ON = ("label",)
METRIC = "balanced_accuracy"
RECIPE: Mapping[str, Any] = {"balanced": True, "rotation_deg": 180.0}
INTENDED_USE = (
    "Research on lesion classification from dermatoscopic images. Not a medical device; "
    "it makes no diagnosis."
)
LIMITS = (
    "Knows seven classes and calls every image one of them. Not validated on clinical photos, "
    "nor across skin tones and cameras other than those of its training data."
)
PUBLISHED: tuple[Published, ...] = ()


def heads() -> tuple[Head, ...]:
    return (ClassificationHead(name="label", labels=LABELS),)


def loss(
    spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor], *, smoothing: float = 0.1
) -> Tensor:
    """Cross-entropy, mean over the batch, in nats.

    Args:
        raw: Logits (N, 7).
        truth: `label`, (N,), class indices.
        smoothing: Share of each label spread evenly over all classes.
    """
    return F.cross_entropy(raw[0].float(), truth["label"], label_smoothing=smoothing)
