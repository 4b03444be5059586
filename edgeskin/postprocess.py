"""From a model's outputs to what a person reads: decoding, decisions, predictions.

`decode` is the numpy twin of `edgeskin.models.app_model.decode`, for artifacts
made with `--io tensor`; everything after it works on decoded values only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edgeskin.document import Document
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    Head,
    RangeTable,
    RegressionHead,
    SegmentationHead,
    Spec,
    TensorHead,
)

Outputs = Mapping[str, NDArray[Any]]
EPSILON = 2.0**-14
"""Below which `unit_length` takes a number for 0: the least normal float16."""
MOST_VALUES = 1000
"""Of a tensor in a prediction."""


class ClassPrediction(Document):
    """The most probable label of a softmax classification head, and the probability of each."""

    label: str
    probabilities: dict[str, float]


class LabelsPrediction(Document):
    """The labels of a sigmoid classification head at or above 0.5, and the probability of each.

    `labels` is in the order of the spec, and empty where no label reaches 0.5.
    """

    labels: tuple[str, ...]
    probabilities: dict[str, float]


class DistributionPrediction(Document):
    """The expectation of a distribution head, in `unit`, and its central 80 % interval."""

    value: float
    unit: str
    interval_80: tuple[float, float]
    grade: str | None = None
    """The label that holds most of the mass, of a head with a range table."""


class RegressionPrediction(Document):
    """The value of a regression head, in `unit`."""

    value: float
    unit: str


class SegmentationPrediction(Document):
    """The share of the image, 0 to 1, that each label of a segmentation head covers."""

    area_fraction: dict[str, float]


class EmbeddingPrediction(Document):
    """The vector of an embedding head, its number of values and its Euclidean norm."""

    size: int
    norm: float
    values: tuple[float, ...]


class TensorPrediction(Document):
    """A tensor head's values, in `unit`; `shape` is without the batch.

    `values` are in row-major order, the last axis first to change. More than 1000 are left out:
    of those `min`, `mean` and `max` must do.
    """

    shape: tuple[int, ...]
    unit: str
    min: float
    mean: float
    max: float
    values: tuple[float, ...] | None = None


HeadPrediction = (
    ClassPrediction
    | LabelsPrediction
    | DistributionPrediction
    | RegressionPrediction
    | SegmentationPrediction
    | EmbeddingPrediction
    | TensorPrediction
)


class _Heads(Document):
    heads: dict[str, HeadPrediction]


@dataclass(frozen=True, eq=False)
class Prediction(Mapping[str, HeadPrediction]):
    """What a model says of one image, a prediction a head: `prediction["severity"].label`."""

    heads: Mapping[str, HeadPrediction]

    def __getitem__(self, head: str) -> HeadPrediction:
        return self.heads[head]

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def to_json(self) -> dict[str, Any]:
        """The JSON documents of the heads, by name."""
        return {name: head.to_json() for name, head in self.items()}

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """What `to_json` gave; raises InvalidResult."""
        return cls(_Heads.from_json({"heads": document}, where="the prediction").heads)


def rows_of(values: Outputs, chosen: NDArray[np.generic]) -> dict[str, NDArray[Any]]:
    """Of arrays with an image a row, by name, the rows of some images: an index, or bool (N,)."""
    return {name: rows[chosen] for name, rows in values.items()}


def activation_of(head: Head) -> Literal["softmax", "sigmoid"] | None:
    """What `decode` puts a raw head through; None for one that is a number, or is as it is."""
    match head:
        case ClassificationHead() | SegmentationHead():
            return head.activation
        case DistributionHead():
            return "softmax"
    return None


def decode(spec: Spec, raw: Outputs) -> dict[str, NDArray[np.float32]]:
    """Raw heads, dequantized, to decoded values (names as `spec.output_names("app")`)."""
    decoded: dict[str, NDArray[np.float32]] = {}
    for head in spec.heads:
        x = raw[head.name].astype(np.float32)
        match head:
            case ClassificationHead():
                decoded[head.name] = _activate(x, head.activation)
            case SegmentationHead():
                decoded[head.name] = _activate(x, head.activation).transpose(0, 2, 3, 1)
            case RegressionHead():
                decoded[head.name] = x * np.float32(head.scale) + np.float32(head.offset)
            case DistributionHead():
                probabilities = _activate(x, "softmax")
                expectation = (probabilities * support(head)).sum(axis=1, keepdims=True)
                decoded[head.name] = expectation.astype(np.float32)
                decoded[f"{head.name}_distribution"] = probabilities
            case EmbeddingHead():
                decoded[head.name] = unit_length(x) if head.normalize == "l2" else x
            case TensorHead():
                decoded[head.name] = x
    return decoded


def decisions(spec: Spec, decoded: Outputs) -> dict[str, NDArray[np.int64]]:
    """What the model decides, as class indices, one array a head that decides anything.

    A classification head decides by its largest probability; a distribution
    with a range table by the grade that holds most of its mass; a segmentation
    head per pixel. Sigmoid heads decide each label at 0.5, as 0 or 1: (N, C)
    or (N, H, W, C). Values, embeddings and tensors decide nothing.
    """
    decided: dict[str, NDArray[np.int64]] = {}
    for head in spec.heads:
        x = decoded[head.name]
        match head:
            case ClassificationHead(activation="sigmoid") | SegmentationHead(activation="sigmoid"):
                decided[head.name] = (x >= 0.5).astype(np.int64)
            case ClassificationHead() | SegmentationHead():
                decided[head.name] = x.argmax(axis=1 if x.ndim == 2 else 3)
            case DistributionHead() if head.ranges is not None:
                mass = decoded[f"{head.name}_distribution"] @ range_matrix(head, head.ranges)
                decided[head.name] = mass.argmax(axis=1)
    return decided


def predict(spec: Spec, decoded: Outputs) -> Prediction:
    """One image's decoded outputs (N = 1) as what a person or an app can read."""
    decided = decisions(spec, decoded)
    return Prediction({head.name: _predict(head, decoded, decided) for head in spec.heads})


def _predict(head: Head, decoded: Outputs, decided: Outputs) -> HeadPrediction:
    x = np.asarray(decoded[head.name][0], np.float64)
    match head:
        case ClassificationHead():
            probabilities = dict(zip(head.labels, x.tolist(), strict=True))
            if head.activation == "sigmoid":
                chosen = np.flatnonzero(decided[head.name][0])
                labels = tuple(head.labels[i] for i in chosen)
                return LabelsPrediction(labels=labels, probabilities=probabilities)
            label = max(probabilities, key=lambda name: probabilities[name])
            return ClassPrediction(label=label, probabilities=probabilities)
        case DistributionHead():
            mass = np.asarray(decoded[f"{head.name}_distribution"][0], np.float64)
            return DistributionPrediction(
                value=float(x[0]),
                unit=head.unit,
                interval_80=interval(mass, support(head), 0.8),
                grade=None
                if head.ranges is None
                else head.ranges.labels[int(decided[head.name][0])],
            )
        case RegressionHead():
            return RegressionPrediction(value=float(x[0]), unit=head.unit)
        case SegmentationHead():
            return SegmentationPrediction(area_fraction=_areas(head, decided[head.name][0]))
        case EmbeddingHead():
            norm = float(np.linalg.norm(x))
            return EmbeddingPrediction(size=head.size, norm=norm, values=tuple(x.tolist()))
        case TensorHead():
            return TensorPrediction(
                shape=x.shape,
                unit=head.unit,
                min=float(x.min()),
                mean=float(x.mean()),
                max=float(x.max()),
                values=tuple(x.ravel().tolist()) if x.size <= MOST_VALUES else None,
            )


def support(head: DistributionHead) -> NDArray[np.float32]:
    """The values a distribution is over, float32 (size,)."""
    return (head.first + head.step * np.arange(head.size)).astype(np.float32)


def range_matrix(head: DistributionHead, table: RangeTable) -> NDArray[np.float32]:
    """Which grade each value of the support belongs to: a matrix (size, grades) of 0 and 1."""
    grade = grade_of(support(head), table)
    return (grade[:, None] == np.arange(len(table.labels))).astype(np.float32)


def grade_of(values: NDArray[Any], table: RangeTable) -> NDArray[np.int64]:
    """The grade index of each value: the first whose upper bound it does not exceed."""
    return np.searchsorted(np.asarray(table.upper, np.float64), values, side="left")


def interval(
    mass: NDArray[np.floating], values: NDArray[np.floating], share: float
) -> tuple[float, float]:
    """The central interval that holds at least `share` of the mass."""
    cumulative = np.cumsum(mass) / np.sum(mass)
    tail = (1.0 - share) / 2.0
    last = len(values) - 1
    low = min(int(np.searchsorted(cumulative, tail)), last)
    high = min(int(np.searchsorted(cumulative, 1.0 - tail)), last)
    return float(values[low]), float(values[high])


def intervals(
    mass: NDArray[np.floating], values: NDArray[np.floating], share: float
) -> NDArray[np.float64]:
    """`interval` of each distribution (N, size): low and high, (N, 2)."""
    return np.array([interval(row, values, share) for row in mass.astype(np.float64)])


def unit_length(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row of (N, size), divided by its Euclidean norm; a row of zeros stays one.

    A row is first divided by its largest absolute value, so that no square leaves the range of
    float16 files; both divisors are at least `EPSILON`.
    """
    y = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(EPSILON))
    norm = np.sqrt(np.square(y).sum(axis=1, keepdims=True))
    return (y / np.maximum(norm, np.float32(EPSILON))).astype(np.float32)


def _activate(x: NDArray[np.float32], activation: str) -> NDArray[np.float32]:
    if activation == "sigmoid":
        return (1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _areas(head: SegmentationHead, mask: NDArray[np.int64]) -> dict[str, float]:
    if head.activation == "sigmoid":
        return {name: float(mask[..., i].mean()) for i, name in enumerate(head.labels)}
    return {name: float((mask == i).mean()) for i, name in enumerate(head.labels)}
