"""Agreement between a float model and its converted twin, and task metrics.

Agreement functions take `(reference, candidate)` in that order, return one
Python float, and carry their unit in their name (`_db`, `_ratio`). Task metrics
take `(truth, predicted)`. numpy only: the benchmark harness imports this file
without torch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import ShapeMismatch


def sqnr_db(reference: NDArray[Any], candidate: NDArray[Any]) -> float:
    """Signal-to-quantization-noise ratio, in decibels; higher is better.

        10 * log10( sum(reference**2) / sum((reference - candidate)**2) )

    Args:
        reference: Float model output, any shape.
        candidate: Dequantized output of the converted model, same shape.

    Returns:
        `inf` for identical inputs, `-inf` for an all-zero reference, `nan` if
        either holds a NaN (never scrubbed). About 6.02 dB per bit for a
        full-scale uniform signal (Bennett, BSTJ 27, 1948).

    Raises:
        ShapeMismatch: Shapes differ; nothing is broadcast.

    >>> ones = np.ones(4, np.float32)
    >>> round(sqnr_db(ones, 0.9 * ones), 3)
    20.0
    """
    reference, candidate = _pair(reference, candidate)
    return decibels(float(np.sum(reference**2)), float(np.sum((reference - candidate) ** 2)))


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise), of two powers; `inf`, `-inf` and `nan` as in `sqnr_db`."""
    if math.isnan(signal) or math.isnan(noise):
        return math.nan
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal / noise > 0.0 else -math.inf


def cosine_ratio(reference: NDArray[Any], candidate: NDArray[Any]) -> float:
    """Cosine of the angle between the two as flat vectors; 1 is best, `nan` for a zero vector."""
    reference, candidate = _pair(reference, candidate)
    norms = float(np.linalg.norm(reference) * np.linalg.norm(candidate))
    return float(np.sum(reference * candidate)) / norms if norms > 0.0 else math.nan


def max_difference(reference: NDArray[Any], candidate: NDArray[Any]) -> float:
    """The largest absolute difference, in the unit of the values."""
    reference, candidate = _pair(reference, candidate)
    return float(np.max(np.abs(reference - candidate)))


def equal_ratio(reference: NDArray[Any], candidate: NDArray[Any]) -> float:
    """The share of equal entries (decisions, pixels), 0 to 1."""
    reference, candidate = _pair(reference, candidate)
    return float(np.mean(reference == candidate))


def accuracy(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Share of right decisions, 0 to 1."""
    return equal_ratio(truth, predicted)


def mae(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Mean absolute error, in the unit of the values."""
    truth, predicted = _pair(truth, predicted)
    return float(np.mean(np.abs(truth - predicted)))


def rmse(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Root of the mean squared error, in the unit of the values."""
    truth, predicted = _pair(truth, predicted)
    return math.sqrt(float(np.mean((truth - predicted) ** 2)))


def interval_hit(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The share of predictions (N,) inside their intervals (N, 2), both ends included.

    Predictions are rounded first: 29.4 lies within 20 to 29.
    """
    rounded = np.rint(predicted)
    return float(np.mean((truth[:, 0] <= rounded) & (rounded <= truth[:, 1])))


def coverage(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The share of values (N,) inside the predicted intervals (N, 2).

    Of intervals that are to hold 80 % it should be 0.8: below, the model is too sure of itself.
    """
    return float(np.mean((predicted[:, 0] <= truth) & (truth <= predicted[:, 1])))


def interval_coverage(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The mean share of annotated intervals (N, 2) that lies inside the predicted ones (N, 2).

    What `coverage` is expected to be if every whole number of an annotated interval is as likely;
    both ends of both belong to them: of 20 to 29, 25 to 40 holds 5 in 10.
    """
    low = np.maximum(truth[:, 0], predicted[:, 0])
    high = np.minimum(truth[:, 1], predicted[:, 1])
    inside = np.maximum(high - low + 1.0, 0.0)
    return float(np.mean(inside / (truth[:, 1] - truth[:, 0] + 1.0)))


def f1(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """F1 of class 1 of two: 2 TP / (2 TP + FP + FN), 0 to 1; `nan` where neither has it."""
    hit = float(np.sum((truth == 1) & (predicted == 1)))
    either = float(np.sum(truth == 1) + np.sum(predicted == 1))
    return 2.0 * hit / either if either else math.nan


def dice(truth: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """Dice coefficient of each image's mask: 2 |A and B| / (|A| + |B|), 0 to 1.

    Args:
        truth: 1 inside, 0 outside, -1 where nobody annotated: (N, H, W). Such pixels do not count.
        predicted: 1 and 0, same shape.

    Returns:
        (N,); nan of an image in which neither mask has a pixel (Dice, Ecology 26, 1945).
    """
    both, either = _overlap(truth, predicted)
    with np.errstate(invalid="ignore"):
        return 2.0 * both / (both + either)


def iou(truth: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of each image's mask, as `dice`; the index of Jaccard."""
    both, either = _overlap(truth, predicted)
    with np.errstate(invalid="ignore"):
        return both / either


def mean_overlap(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Mean of `predicted`, the overlap of each image, over those that have one; `nan` for none."""
    has_one = ~np.isnan(predicted)
    return float(np.mean(predicted[has_one])) if has_one.any() else math.nan


def _overlap(
    truth: NDArray[Any], predicted: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels in both masks and in either, of each image."""
    if truth.shape != predicted.shape:
        raise ShapeMismatch(f"masks are {truth.shape}, predicted ones {predicted.shape}")
    known, inside, called = truth >= 0, truth == 1, predicted == 1
    both = (inside & called).sum(axis=(1, 2)).astype(np.float64)
    either = ((inside | called) & known).sum(axis=(1, 2)).astype(np.float64)
    return both, either


def confusion(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): row is the true class, column the predicted one."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth.astype(np.int64), predicted.astype(np.int64)), 1)
    return counts


def per_class(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> dict[str, list[float]]:
    """Precision, sensitivity (SE), specificity (SP) and Youden index (YI), one value a class.

    precision = TP / (TP + FP), SE = TP / (TP + FN), SP = TN / (TN + FP),
    YI = SE + SP - 1 (Youden, Cancer 3, 1950). A ratio without cases is `nan`.
    """
    counts = confusion(truth, predicted, classes)
    hit = np.diag(counts).astype(np.float64)
    true, called, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, sensitivity = hit / called, hit / true
        specificity = (total - true - called + hit) / (total - true)
    return {
        "precision": precision.tolist(),
        "SE": sensitivity.tolist(),
        "SP": specificity.tolist(),
        "YI": (sensitivity + specificity - 1.0).tolist(),
    }


def label_accuracy(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Share of right decisions of many labels an image, both 0 or 1, (N, C): 0 to 1."""
    return equal_ratio(truth, predicted)


def mean_auroc(truth: NDArray[Any], scores: NDArray[Any]) -> float:
    """Mean over labels of the area under the ROC curve, 0 to 1; 0.5 is chance.

    The area is the share of pairs of an image with the label and one without in which the first
    has the larger score, ties counting half (Hanley and McNeil, Radiology 143, 1982).

    Args:
        truth: 0 or 1, (N, C).
        scores: Larger for a label that is likelier there, (N, C).

    Returns:
        The mean of the labels that some images have and others have not; 0.5 if there is none,
        since nothing is known then.
    """
    truth, scores = _pair(truth, scores)
    areas = [auroc(t, s) for t, s in zip(truth.T, scores.T, strict=True) if 0 < t.sum() < len(t)]
    return float(np.mean(areas)) if areas else 0.5


def auroc(truth: NDArray[Any], scores: NDArray[Any]) -> float:
    """Of one label, (N,), as in `mean_auroc`; `nan` if all images, or none, have it."""
    has = np.asarray(truth) > 0.5
    ordered = np.sort(scores[~has])
    with_it = scores[has]
    if not len(ordered) or not len(with_it):
        return math.nan
    lower = np.searchsorted(ordered, with_it, side="left")
    not_higher = np.searchsorted(ordered, with_it, side="right")
    return float(np.mean(lower + not_higher)) / (2 * len(ordered))


def per_label(truth: NDArray[Any], predicted: NDArray[Any]) -> dict[str, list[float]]:
    """`per_class` of labels that do not exclude each other, 0 or 1, (N, C): one value a label."""
    tables = [
        per_class(t, p, 2)
        for t, p in zip(np.asarray(truth).T, np.asarray(predicted).T, strict=True)
    ]
    return {name: [table[name][1] for table in tables] for name in tables[0]}


def balanced_accuracy(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Mean sensitivity over the classes that occur in `truth`, 0 to 1."""
    hits = truth == predicted
    return float(np.mean([np.mean(hits[truth == value]) for value in np.unique(truth)]))


def _pair(
    reference: NDArray[Any], candidate: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if reference.shape != candidate.shape:
        raise ShapeMismatch(
            f"reference is {reference.shape}, candidate is {candidate.shape}. "
            "If one is NCHW and the other NHWC, transpose one first."
        )
    return reference.astype(np.float64), candidate.astype(np.float64)
