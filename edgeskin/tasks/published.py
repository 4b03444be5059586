"""Figures that others published of such systems, to stand beside ours; never of the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """What the authors of a system reported of one network.

    Attributes:
        metrics: By name; ratios from 0 to 1, other units in the name.
        data: What they measured on.
    """

    network: str
    metrics: Mapping[str, float]
    data: str


_DUTCH = "2,679 middle-aged and elderly Dutch participants"
PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "acne": (
        Published(
            "fusion of ResNet and ViT, grade by count",
            {"accuracy": 0.7979, "precision": 0.8076, "SE": 0.7610, "SP": 0.9204, "YI": 0.6813,
             "MAE, lesions": 3.37, "RMSE, lesions": 6.67},
            "ACNE04",
        ),
        Published(
            "fusion of ResNet and ViT, grade by class",
            {"accuracy": 0.8014, "precision": 0.8047, "SE": 0.7620, "SP": 0.9217, "YI": 0.6837},
            "ACNE04",
        ),
        Published("ResNet", {"accuracy": 0.6712, "MAE, lesions": 5.20}, "ACNE04"),
        Published("ViT", {"accuracy": 0.5342, "MAE, lesions": 6.64}, "ACNE04"),
    ),
    "acne_presence": (
        Published("skin segmentation, then a classifier", {"F1": 0.6084}, "FFHQ, annotated anew"),
    ),
    "perceived_age": (
        Published("deep feature transfer", {"MAE, years": 2.84}, _DUTCH),
        Published("self-supervised learning", {"MAE, years": 2.39}, _DUTCH),
    ),
    "skin_lesions": (
        Published(
            "crops by DeepLabv3+, then a classifier",
            {"SE": 0.9, "SP": 0.9},
            "ordinary photos: atopic dermatitis against malignant disease and complications",
        ),
    ),
    "ultrasound_grading": (
        Published(
            "EfficientNetV2 with hierarchy, double attention and multi-scale path dropout",
            {"accuracy": 0.8766, "precision": 0.8827, "recall": 0.8766, "F1": 0.8780,
             "SP": 0.9794},
            "facial high-frequency ultrasound, ages 25 to 55",
        ),
    ),
}  # fmt: skip
"""By task."""
