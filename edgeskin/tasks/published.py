"""Figures that others published of such systems, to stand beside ours; never of the same data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Figure = float | tuple[float, float]
"""A value, or the least and the most where a range was reported."""


@dataclass(frozen=True)
class Published:
    """What the authors of a system reported of one network.

    Attributes:
        metrics: By name; ratios from 0 to 1, other units in the name.
        data: What they measured on.
        doi: Of their paper, as in https://doi.org/DOI; None where it is not known for certain.
    """

    network: str
    metrics: Mapping[str, Figure]
    data: str
    doi: str | None = None

    def figures(self) -> Iterator[tuple[str, str]]:
        """The metrics by name, each as text."""
        for name, figure in self.metrics.items():
            ends = figure if isinstance(figure, tuple) else (figure,)
            yield name, " to ".join(f"{end:g}" for end in ends)


_DUTCH = ("2,679 middle-aged and elderly Dutch participants", "10.1111/jdv.20365")
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
        Published("ResNet", {"accuracy": (0.6678, 0.6712), "MAE, lesions": 5.20}, "ACNE04"),
        Published("ViT", {"accuracy": 0.5342, "MAE, lesions": 6.64}, "ACNE04"),
    ),
    "acne_presence": (
        Published(
            "skin segmentation, then a classifier",
            {"F1": 0.6084},
            "FFHQ, annotated anew",
            "10.2147/CCID.S360450",
        ),
    ),
    "perceived_age": (
        Published("deep feature transfer", {"MAE, years": 2.84}, *_DUTCH),
        Published("self-supervised learning", {"MAE, years": 2.39}, *_DUTCH),
    ),
    "skin_lesions": (
        Published(
            "crops by DeepLabv3+, then a classifier; about",
            {"SE": 0.9, "SP": 0.9},
            "ordinary photos, atopic dermatitis against malignant disease and complications",
            "10.1016/j.jdermsci.2023.01.005",
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
