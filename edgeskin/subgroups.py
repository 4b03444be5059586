"""What a conversion changes in each group of images: severities, ages, skin tones.

A mean may hold while one group loses. So the metrics stand by group, the worst group beside the
mean, and the gap between the best and the worst group of the float model beside that of its twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edgeskin.document import Document
from edgeskin.estimate import Estimate
from edgeskin.evaluation import (
    RATIO,
    Measure,
    MetricChange,
    MetricKind,
    Truth,
    compare,
    measures,
    predicted_values,
)
from edgeskin.metrics import accuracy
from edgeskin.postprocess import Outputs, rows_of
from edgeskin.spec import Spec
from edgeskin.statistics import Paired, gap_growth, unseen_share

SMALLEST_GROUP = 10
"""Images below which nothing is said of a group: there, a bootstrap interval of 95 % holds the
truth less than 90 % of the time, P(|t| < 1.96 sqrt((n - 1) / n)) with n - 1 degrees of freedom
for the mean of n normal values."""

ALLOWED_POINTS = 1.0
"""By how much a gap between groups may grow, in points of a ratio, where nobody says otherwise."""

NOT_STATED, NO_SKIN, NO_COLOUR = "not stated", "no skin found", "no colour"
UNKNOWN = (NOT_STATED, NO_SKIN, NO_COLOUR)
"""Images whose group nobody knows: counted and measured, but no group that others are held to."""

ANSWERED = "answered"
"""The metric of pipelines that is a share of all images: no other is of those without an answer."""

TOO_FEW: Final = "too few to say"
Verdict = Literal["held", "grew", "too few to say"]
Compare = Callable[[Spec, Outputs, Outputs, Truth], dict[str, MetricChange]]


@dataclass(frozen=True)
class Grouping:
    """Which group each image is in: `labels`, one an image; `names` has the groups in order.

    `rule` says how it was decided.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    rule: str

    @classmethod
    def of(cls, labels: Iterable[str], rule: str, names: Sequence[str] = ()) -> Self:
        """With `names`, which may have no image, first; then numbers by size or words by letter."""
        labels = tuple(labels)
        others = set(labels) - {*names, *UNKNOWN}
        try:
            ordered = sorted(others, key=float)
        except ValueError:
            ordered = sorted(others)
        unknown = (name for name in UNKNOWN if name in labels and name not in names)
        return cls((*names, *ordered, *unknown), labels, rule)

    def members(self, name: str) -> NDArray[np.intp]:
        """The indices of the images of a group."""
        return np.flatnonzero(np.array(self.labels, object) == name)


class GroupChange(Document):
    """The metrics of both models on the images of one group.

    `too_few` is whether there are less than SMALLEST_GROUP of them; `metrics` are left out then,
    and so is one that fewer of its images have labels for.
    """

    images: int
    too_few: bool
    metrics: dict[str, MetricChange] | None = None

    def labelled(self, metric: str) -> int:
        """The images with a label of a metric, which may be fewer than `images`."""
        change = (self.metrics or {}).get(metric)
        return self.images if change is None else change.labelled(self.images)


class GroupGap(Document):
    """The best and the worst group of one model, and the `gap` between them, in the metric's unit.

    A group is named, and is the first of equal ones. The gap is that of the groups' costs
    (`MetricKind.cost`): of coverage, of their distances from its nominal value.
    """

    best: str
    worst: str
    gap: float


class GapChange(MetricKind):
    """How far the groups are apart in one metric, of both models, in `unit`.

    Attributes:
        groups: Those that are compared: SMALLEST_GROUP images at least, and not `UNKNOWN`.
        growth: The candidate's gap less the reference's, with its 95 % interval (images resampled
            within groups, the same for both models).
        allowed: What `verdict` holds the growth against, in `unit`; null where no metric of that
            unit has a limit.
        verdict: "held" where all of the interval is at most `allowed`, "grew" where all of it is
            more, and else "too few to say". Where no resample differs, the interval is empty and
            proves little: up to 3 / n of the images may still change (Hanley and Lippman-Hand,
            JAMA 249, 1983), which `allowed` must hold too, of the smallest group.
    """

    groups: tuple[str, ...]
    reference: GroupGap
    candidate: GroupGap
    growth: Estimate
    allowed: float | None
    verdict: Verdict | None = None


class Subgroups(Document):
    """Task metrics by group; `gaps` has the metrics that two groups or more can be compared in."""

    rule: str
    groups: dict[str, GroupChange]
    gaps: dict[str, GapChange]

    def worst(self, metric: str) -> tuple[str, GroupChange] | None:
        """The group that the candidate is worst at, by name; None where there are no two."""
        if (gap := self.gaps.get(metric)) is None:
            return None
        return gap.candidate.worst, self.groups[gap.candidate.worst]


def by_group(
    spec: Spec,
    reference: Outputs,
    candidate: Outputs,
    truth: Truth,
    grouping: Grouping,
    *,
    allowed_points: float = ALLOWED_POINTS,
    compare: Compare = compare,
) -> Subgroups:
    """What `compare` says of the images of each group, and how far the groups are apart.

    Args:
        reference: Decoded outputs of the float model, N images along the first axis.
        candidate: Of its twin, for the same images.
        allowed_points: Growth of a gap that is allowed, of metrics that are ratios.
    """

    def changes_of(chosen: NDArray[np.intp]) -> _Changes:
        parts = [rows_of(whole, chosen) for whole in (reference, candidate, truth)]
        known = _metrics(spec, *parts)
        changes = compare(spec, *parts)
        return {name: (metric, changes[name]) for name, metric in known.items() if name in changes}

    return _grouped(grouping, changes_of, allowed_points)


def answered_by_groupings(
    reference: NDArray[np.bool_],
    candidate: NDArray[np.bool_],
    groupings: Mapping[str, Grouping],
    allowed_points: float = ALLOWED_POINTS,
) -> dict[str, Subgroups]:
    """The share of images that each of two pipelines answers, by group, as the metric `answered`.

    Args:
        reference: Whether the float pipeline answers each image, (N,).
        candidate: Whether its twin does, of the same images.
    """
    wanted = np.ones(len(reference), np.bool_)

    def changes_of(chosen: NDArray[np.intp]) -> _Changes:
        paired = Paired(wanted[chosen], reference[chosen], candidate[chosen])
        measure = Measure(ANSWERED, RATIO, accuracy, paired.truth, ANSWERED)
        change = measure.change(paired.reference, paired.candidate)
        return {ANSWERED: (_Metric(measure, paired), change)}

    return {by: _grouped(g, changes_of, allowed_points) for by, g in groupings.items()}


def _grouped(
    grouping: Grouping, changes_of: Callable[[NDArray[np.intp]], _Changes], allowed_points: float
) -> Subgroups:
    """What changes in the images of each group, and how far the groups are apart."""
    groups, compared = dict[str, GroupChange](), dict[str, dict[str, _Metric]]()
    for name in grouping.names:
        chosen = grouping.members(name)
        if len(chosen) < SMALLEST_GROUP:
            groups[name] = GroupChange(images=len(chosen), too_few=True)
            continue
        found = changes_of(chosen)
        changes = {metric: change for metric, (_, change) in found.items()}
        groups[name] = GroupChange(images=len(chosen), too_few=False, metrics=changes)
        for metric, (values, _) in found.items() if name not in UNKNOWN else ():
            compared.setdefault(metric, {})[name] = values
    gaps = {metric: _gap(values, allowed_points) for metric, values in compared.items()}
    return Subgroups(
        rule=grouping.rule,
        groups=groups,
        gaps={metric: gap for metric, gap in gaps.items() if gap is not None},
    )


def by_groupings(
    spec: Spec,
    reference: Outputs,
    candidate: Outputs,
    truth: Truth,
    groupings: Mapping[str, Grouping],
    **options: Any,
) -> dict[str, Subgroups]:
    """`by_group` for each of several, with its `options`; a grouping keeps its name."""
    outputs = (spec, reference, candidate, truth)
    return {by: by_group(*outputs, grouping, **options) for by, grouping in groupings.items()}


def part_of(groupings: Mapping[str, Grouping], images: NDArray[np.generic]) -> dict[str, Grouping]:
    """The groupings of some of their images, by indices or by a mask; the groups stay."""
    return {
        by: replace(grouping, labels=tuple(np.array(grouping.labels, object)[images]))
        for by, grouping in groupings.items()
    }


def missed_gaps(subgroups: Mapping[str, Subgroups], max_points: float | None) -> Iterator[str]:
    """A line for each gap that grew by more than `max_points` points of a ratio.

    What cannot be checked is a line too: a gate that nothing passed through is no gate.
    """
    if max_points is None:
        return
    for by, parts in subgroups.items():
        gaps = {name: gap for name, gap in parts.gaps.items() if gap.unit == "ratio"}
        if not gaps:
            yield (
                f"the gap between groups by {by} was not checked: no two groups have "
                f"{SMALLEST_GROUP} images each and a ratio to compare"
            )
        for name, gap in gaps.items():
            if not round(100.0 * gap.growth.value, 9) <= max_points:  # 0.81 - 0.80 > 0.01
                yield _missed(by, name, gap, parts, max_points)


def _missed(by: str, name: str, gap: GapChange, parts: Subgroups, max_points: float) -> str:
    worst, growth = parts.groups[gap.candidate.worst], gap.growth
    change = (worst.metrics or {})[name]
    unsure = "" if gap.verdict == "grew" else f" ({TOO_FEW}: the interval reaches below the gate)"
    return (
        f"{name} by {by}: the gap between groups grew by {100 * growth.value:.2f} points "
        f"[{100 * growth.low:+.2f}, {100 * growth.high:+.2f}] to {100 * gap.candidate.gap:.2f}, "
        f"the gate is {max_points:g} points; worst is '{gap.candidate.worst}' "
        f"({worst.labelled(name)} images), {change.reference:.4f} to {change.candidate:.4f}{unsure}"
    )


@dataclass(frozen=True)
class _Metric:
    """A measure on the images of one group, with both models' values."""

    measure: Measure
    paired: Paired

    def cost(self, truth: NDArray[Any], predicted: NDArray[Any]) -> float:
        """The measure's value as a cost."""
        return self.measure.kind.cost(self.measure.metric(truth, predicted))

    def costs(self) -> tuple[float, float]:
        """Reference and candidate."""
        return self.paired.values(self.cost, slice(None))


_Changes = Mapping[str, tuple[_Metric, MetricChange]]
"""The metrics of a group by name, and what changes in them."""


def _metrics(
    spec: Spec, reference: Outputs, candidate: Outputs, truth: Truth
) -> dict[str, _Metric]:
    """Those by name that enough images have labels for."""
    before, after = predicted_values(spec, reference), predicted_values(spec, candidate)
    return {
        m.name: _Metric(m, Paired(m.truth, m.predicted_by(before), m.predicted_by(after)))
        for m in measures(spec, truth)
        if len(m.truth) >= SMALLEST_GROUP
    }


def _gap(metrics: Mapping[str, _Metric], allowed_points: float) -> GapChange | None:
    """Of one metric by group; None of fewer than two groups that the reference has a value of."""
    costs = {name: metric.costs() for name, metric in metrics.items()}
    known = [name for name, (before, _) in costs.items() if not np.isnan(before)]
    if len(known) < 2:
        return None
    first = metrics[known[0]]
    growth = gap_growth(first.cost, [metrics[name].paired for name in known])
    allowed = allowed_points / 100.0 if first.measure.kind.unit == "ratio" else None
    fewest = min(len(metrics[name].paired.truth) for name in known)
    before, after = ({name: costs[name][i] for name in known} for i in (0, 1))
    return GapChange(
        **dict(first.measure.kind),
        groups=tuple(known),
        reference=_group_gap(before),
        candidate=_group_gap(after),
        growth=growth,
        allowed=allowed,
        verdict=None if allowed is None else _verdict(growth, allowed, fewest),
    )


def _group_gap(costs: Mapping[str, float]) -> GroupGap:
    """A group whose value is no number is the worst."""
    best, worst = min(costs, key=costs.__getitem__), max(costs, key=costs.__getitem__)
    nan = next((name for name, cost in costs.items() if np.isnan(cost)), None)
    return GroupGap(best=best, worst=nan or worst, gap=float(np.ptp([*costs.values()])))


def _verdict(growth: Estimate, allowed: float, images: int) -> Verdict:
    if growth.low > allowed:
        return "grew"
    unseen = unseen_share(growth.low, growth.high, images)
    return "held" if growth.high + unseen <= allowed else TOO_FEW
