"""What a model is worth on labelled images: task metrics per head, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.postprocess import Outputs, decisions, grade_of
from edgeskin.spec import ClassificationHead, DistributionHead, RegressionHead, Spec
from edgeskin.statistics import Estimate, Metric, estimate, paired_change

Truth = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Measure:
    """One metric of one head: `predicted` says what it compares with the truth."""

    name: str
    unit: str
    higher_is_better: bool
    metric: Metric
    truth: NDArray[Any]
    predicted: str


def measures(spec: Spec, truth: Truth) -> list[Measure]:
    """All metrics that the labels at hand allow, in the order of the heads."""
    found: list[Measure] = []
    for head in spec.heads:
        name = head.name
        if isinstance(head, ClassificationHead):
            if (grades := _annotated_or_counted(spec, head, truth)) is not None:
                found += _of_decisions(name, name, grades)
            continue
        if name not in truth:
            continue
        labels = truth[name]
        if isinstance(head, DistributionHead | RegressionHead):
            found.append(Measure(f"{name}_mae", head.unit, False, metrics.mae, labels, name))
            found.append(Measure(f"{name}_rmse", head.unit, False, metrics.rmse, labels, name))
            if isinstance(head, DistributionHead) and head.ranges is not None:
                grades = _grades(spec, head, truth)
                found += _of_decisions(f"{name}_grade", f"{name}_grade", grades)
    return found


def predicted_values(spec: Spec, decoded: Outputs) -> dict[str, NDArray[Any]]:
    """What the measures compare: decisions, values, and grades of distributions."""
    decided = decisions(spec, decoded)
    values: dict[str, NDArray[Any]] = {}
    for head in spec.heads:
        if isinstance(head, ClassificationHead):
            values[head.name] = decided[head.name]
        elif isinstance(head, DistributionHead | RegressionHead):
            values[head.name] = decoded[head.name][:, 0]
            if head.name in decided:
                values[f"{head.name}_grade"] = decided[head.name]
    return values


def evaluate(spec: Spec, decoded: Outputs, truth: Truth) -> dict[str, Any]:
    """Metrics with 95 % intervals, and the per-class table of every deciding head."""
    values = predicted_values(spec, decoded)
    document: dict[str, Any] = {"images": len(next(iter(truth.values())))}
    for m in measures(spec, truth):
        result = estimate(m.metric, m.truth, values[m.predicted])
        document[m.name] = {"unit": m.unit, **result.as_dict()}
        if m.name.endswith("_accuracy") and not m.name.endswith("balanced_accuracy"):
            table = metrics.per_class(m.truth, values[m.predicted], _classes(spec, m.predicted))
            document[f"{m.predicted}_per_class"] = {
                **table,
                **{f"mean_{key}": float(np.mean(column)) for key, column in table.items()},
            }
    return document


def compare(
    spec: Spec, reference: Outputs, candidate: Outputs, truth: Truth
) -> dict[str, dict[str, Any]]:
    """Each metric of both models and the paired change, candidate minus reference."""
    ours, theirs = predicted_values(spec, reference), predicted_values(spec, candidate)
    document: dict[str, dict[str, Any]] = {}
    for m in measures(spec, truth):
        change: Estimate = paired_change(m.metric, m.truth, ours[m.predicted], theirs[m.predicted])
        document[m.name] = {
            "unit": m.unit,
            "higher_is_better": m.higher_is_better,
            "reference": m.metric(m.truth, ours[m.predicted]),
            "candidate": m.metric(m.truth, theirs[m.predicted]),
            "change": change.as_dict(),
        }
    return document


def _of_decisions(name: str, predicted: str, labels: NDArray[Any]) -> list[Measure]:
    return [
        Measure(f"{name}_accuracy", "ratio", True, metrics.accuracy, labels, predicted),
        Measure(
            f"{name}_balanced_accuracy", "ratio", True, metrics.balanced_accuracy, labels, predicted
        ),
    ]


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
            found = _annotated_or_counted(spec, other, truth)
            if found is not None:
                return found
    return grade_of(truth[head.name], head.ranges)


def _classes(spec: Spec, predicted: str) -> int:
    for head in spec.heads:
        if isinstance(head, ClassificationHead) and head.name == predicted:
            return len(head.labels)
        if isinstance(head, DistributionHead) and f"{head.name}_grade" == predicted:
            assert head.ranges is not None
            return len(head.ranges.labels)
    raise AssertionError(predicted)
