"""What a model is worth on labelled images: task metrics per head, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.figures import Evaluation, MetricEstimate, PerClass
from edgeskin.figures import MetricChange as MetricChange
from edgeskin.figures import MetricKind as MetricKind
from edgeskin.figures import PairedTest as PairedTest
from edgeskin.masks import resized
from edgeskin.postprocess import Outputs, decisions, grade_of, intervals, support
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    RegressionHead,
    SegmentationHead,
    Spec,
)
from edgeskin.statistics import Metric, estimate, paired_change

Truth = Mapping[str, NDArray[Any]]
Overlap = Callable[[NDArray[Any]], NDArray[np.float64]]


SHARE = 0.8
"""Of the mass of a distribution, what its interval holds."""
RATIO = MetricKind(unit="ratio", higher_is_better=True)
COVERAGE = MetricKind(unit="ratio", higher_is_better=None, nominal=SHARE)


@dataclass(frozen=True)
class Measure:
    """One metric of one head: `predicted` says what it compares with the truth."""

    name: str
    kind: MetricKind
    metric: Metric
    truth: NDArray[Any]
    predicted: str
    overlap: Overlap | None = None
    """Of masks: how far each image's two masks agree, which `metric` then takes."""
    rows: NDArray[np.intp] | None = None
    """Which images `truth` is of, where others have no such label."""

    def predicted_by(self, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """What `metric` takes beside the truth, one value an image, of `predicted_values`."""
        predicted = values[self.predicted]
        predicted = predicted if self.rows is None else predicted[self.rows]
        return predicted if self.overlap is None else self.overlap(predicted)

    def change(self, reference: NDArray[Any], candidate: NDArray[Any]) -> MetricChange:
        """The metric of two models, of what `predicted_by` gave of each."""
        return MetricChange(
            **dict(self.kind),
            reference=self.metric(self.truth, reference),
            candidate=self.metric(self.truth, candidate),
            change=paired_change(self.metric, self.truth, reference, candidate),
            images=len(self.truth),
        )


def _per_class(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> PerClass:
    """Of class indices (N,), or of labels that are 0 or 1, (N, C)."""
    if truth.ndim == 2:
        table = metrics.per_label(truth, predicted)
    else:
        table = metrics.per_class(truth, predicted, classes)
    means = {f"mean_{name}": float(np.mean(column)) for name, column in table.items()}
    return PerClass.model_validate({**table, **means})


def measures(spec: Spec, truth: Truth) -> list[Measure]:
    """All metrics that the labels at hand allow, in the order of the heads."""
    allowed: list[Measure] = []
    for head in spec.heads:
        name = head.name
        if isinstance(head, ClassificationHead) and head.activation == "sigmoid":
            allowed += _of_labels(name, truth[name]) if name in truth else []
            continue
        if isinstance(head, ClassificationHead):
            if (grades := _annotated_or_counted(spec, head, truth)) is not None:
                allowed += _of_decisions(name, name, grades)
                allowed += _of_two_classes(head, grades)
            continue
        if name not in truth:
            continue
        labels = truth[name]
        if isinstance(head, SegmentationHead):
            allowed += _of_masks(head, labels)
        if labels.ndim == 2 and isinstance(head, DistributionHead):
            allowed += _of_intervals(head, labels)
        elif isinstance(head, DistributionHead | RegressionHead):
            allowed += _of_errors(head, labels)
            if isinstance(head, DistributionHead) and head.ranges is not None:
                grades = _grades(spec, head, truth)
                allowed += _of_decisions(f"{name}_grade", f"{name}_grade", grades)
    return allowed


def predicted_values(spec: Spec, decoded: Outputs) -> dict[str, NDArray[Any]]:
    """What the measures compare: decisions, values, grades of distributions, scores of labels."""
    decided = decisions(spec, decoded)
    values: dict[str, NDArray[Any]] = {}
    for head in spec.heads:
        if isinstance(head, ClassificationHead | SegmentationHead):
            values[head.name] = decided[head.name]
            if head.activation == "sigmoid":
                values[f"{head.name}_scores"] = decoded[head.name]
            elif _is_of_two(head):
                values[f"{head.name}_scores"] = decoded[head.name][:, 1]
        elif isinstance(head, DistributionHead | RegressionHead):
            values[head.name] = decoded[head.name][:, 0]
            if head.name in decided:
                values[f"{head.name}_grade"] = decided[head.name]
            if isinstance(head, DistributionHead):
                mass = decoded[f"{head.name}_distribution"]
                values[f"{head.name}_interval"] = intervals(mass, support(head), SHARE)
    return values


def evaluate(spec: Spec, decoded: Outputs, truth: Truth) -> Evaluation:
    """Metrics with 95 % intervals, and the per-class table of every deciding head."""
    values = predicted_values(spec, decoded)
    allowed = measures(spec, truth)
    estimates = {m.name: estimate(m.metric, m.truth, m.predicted_by(values)) for m in allowed}
    return Evaluation(
        images=len(next(iter(decoded.values()))),
        metrics={
            m.name: MetricEstimate(unit=m.kind.unit, **dict(estimates[m.name])) for m in allowed
        },
        per_class={
            m.predicted: _per_class(m.truth, values[m.predicted], _classes(spec, m.predicted))
            for m in allowed
            if m.metric in (metrics.accuracy, metrics.label_accuracy)
        },
    )


def compare(
    spec: Spec, reference: Outputs, candidate: Outputs, truth: Truth
) -> dict[str, MetricChange]:
    """Each metric of both models, by its name, and the paired change."""
    before, after = predicted_values(spec, reference), predicted_values(spec, candidate)
    return {
        m.name: m.change(m.predicted_by(before), m.predicted_by(after))
        for m in measures(spec, truth)
    }


def worst_drop(metrics: Mapping[str, MetricChange]) -> float:
    """The largest loss over all ratio metrics, in points (0 if none got worse)."""
    ratios = [m for m in metrics.values() if m.unit == "ratio"]
    return float(np.max([0.0, *(m.loss * 100.0 for m in ratios)]))  # NaN stays NaN


def worst_mae_rise(metrics: Mapping[str, MetricChange]) -> float:
    """The largest rise of a mean absolute error, in its unit (0 if none rose)."""
    errors = [m for name, m in metrics.items() if name.endswith("_mae")]
    return float(np.max([0.0, *(m.loss for m in errors)]))


def _of_decisions(name: str, predicted: str, labels: NDArray[Any]) -> list[Measure]:
    return [
        Measure(f"{name}_accuracy", RATIO, metrics.accuracy, labels, predicted),
        Measure(f"{name}_balanced_accuracy", RATIO, metrics.balanced_accuracy, labels, predicted),
    ]


def _of_errors(
    head: DistributionHead | RegressionHead,
    values: NDArray[Any],
    rows: NDArray[np.intp] | None = None,
) -> list[Measure]:
    """How far predicted values lie from the true ones, (N,)."""
    kind, name = MetricKind(unit=head.unit, higher_is_better=False), head.name
    return [
        Measure(f"{name}_mae", kind, metrics.mae, values, name, rows=rows),
        Measure(f"{name}_rmse", kind, metrics.rmse, values, name, rows=rows),
    ]


def _is_of_two(head: ClassificationHead | SegmentationHead) -> bool:
    return isinstance(head, ClassificationHead) and len(head.labels) == 2


def _of_two_classes(head: ClassificationHead, labels: NDArray[Any]) -> list[Measure]:
    """Of a decision between two classes: the ranking by the second one, and its F1."""
    name = head.name
    if not _is_of_two(head) or len(np.unique(labels)) < 2:
        return []
    return [
        Measure(f"{name}_auroc", RATIO, metrics.auroc, labels, f"{name}_scores"),
        Measure(f"{name}_f1", RATIO, metrics.f1, labels, name),
    ]


def _of_intervals(head: DistributionHead, labels: NDArray[Any]) -> list[Measure]:
    """Of labels that are exact or intervals, (N, 2)."""
    name, is_exact = head.name, labels[:, 0] == labels[:, 1]
    exact, wide = np.flatnonzero(is_exact), np.flatnonzero(~is_exact)
    predicted, percent = f"{name}_interval", round(100 * SHARE)
    found = []
    if len(exact):
        values, covered = labels[exact, 0], f"{name}_coverage_{percent}"
        found += _of_errors(head, values, exact)
        found.append(Measure(covered, COVERAGE, metrics.coverage, values, predicted, rows=exact))
    if len(wide):
        hit, inside = metrics.interval_hit, metrics.interval_coverage
        spans, covered = labels[wide], f"{name}_interval_coverage_{percent}"
        found.append(Measure(f"{name}_hit", RATIO, hit, spans, name, rows=wide))
        found.append(Measure(covered, COVERAGE, inside, spans, predicted, rows=wide))
    return found


def _of_labels(name: str, labels: NDArray[Any]) -> list[Measure]:
    """Of labels (N, C) that do not exclude each other: right decisions at 0.5, and the ranking."""
    measure = Measure(f"{name}_accuracy", RATIO, metrics.label_accuracy, labels, name)
    some = labels.any(axis=0) & ~labels.all(axis=0)
    if not some.any():  # no label is there in some images and not in others
        return [measure]
    scores = f"{name}_scores"
    return [measure, Measure(f"{name}_mean_auroc", RATIO, metrics.mean_auroc, labels, scores)]


def _of_masks(head: SegmentationHead, truth: NDArray[Any]) -> list[Measure]:
    """Dice and IoU of each label, means over the images that show it or are said to."""
    softmax = head.activation == "softmax"
    found: list[Measure] = []
    for index, label in enumerate(head.labels):
        if softmax and len(head.labels) == 2 and index == 0:
            continue  # the background of the other
        for kind, overlap in (("dice", metrics.dice), ("iou", metrics.iou)):
            per_image = partial(_overlap_of_label, overlap, truth, index, softmax=softmax)
            name = f"{head.name}_{label}_{kind}"
            images = np.arange(len(truth))
            found.append(Measure(name, RATIO, metrics.mean_overlap, images, head.name, per_image))
    return found


def _overlap_of_label(
    overlap: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]],
    truth: NDArray[Any],
    index: int,
    predicted: NDArray[Any],
    *,
    softmax: bool,
) -> NDArray[np.float64]:
    """The overlap of a label per image, the truth at the size of the model's output."""
    known = resized(truth, *predicted.shape[1:3])
    if not softmax:
        return overlap(known[..., index], predicted[..., index])
    inside = np.where(known < 0, -1, known == index)
    return overlap(inside, (predicted == index).astype(np.int64))


def _annotated_or_counted(
    spec: Spec, head: ClassificationHead, truth: Truth
) -> NDArray[Any] | None:
    """The true classes: as annotated, else by the range table of a labelled quantity.

    A table belongs to a head that has the same labels. Annotated grades may
    disagree with the count (a doctor looked at the face), so they come first.
    """
    if head.name in truth:
        return truth[head.name]
    for other in spec.heads:
        table = other.ranges if isinstance(other, DistributionHead) else None
        if table is not None and table.labels == head.labels and other.name in truth:
            return grade_of(truth[other.name], table)
    return None


def _grades(spec: Spec, head: DistributionHead, truth: Truth) -> NDArray[Any]:
    """The true grade of a distribution: that of the class head with its labels, else by table."""
    assert head.ranges is not None
    for other in spec.heads:
        if isinstance(other, ClassificationHead) and other.labels == head.ranges.labels:
            if other.activation == "sigmoid":
                continue
            grades = _annotated_or_counted(spec, other, truth)
            if grades is not None:
                return grades
    return grade_of(truth[head.name], head.ranges)


def _classes(spec: Spec, predicted: str) -> int:
    for head in spec.heads:
        if isinstance(head, ClassificationHead) and head.name == predicted:
            return len(head.labels)
        if isinstance(head, DistributionHead) and f"{head.name}_grade" == predicted:
            assert head.ranges is not None
            return len(head.ranges.labels)
    raise AssertionError(predicted)
