"""Diagnosis of a dermatoscopic lesion image: the seven classes of HAM10000.

Tschandl, Rosendahl and Kittler, "The HAM10000 dataset", Sci Data 5, 2018.
The classes are far from equally frequent, so batches draw them equally often
(`balanced` in the recipe) and the measure is balanced accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeskin.spec import ClassificationHead, Head
from edgeskin.tasks.losses import class_loss

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
loss = class_loss


def heads() -> tuple[Head, ...]:
    return (ClassificationHead(name="label", labels=LABELS),)
