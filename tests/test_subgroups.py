"""Drift by group: outputs written by hand, whose gaps and growth are known."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from samples import acne_spec
from scipy import stats

from edgeskin.estimate import Estimate
from edgeskin.metrics import accuracy
from edgeskin.spec import ClassificationHead, DistributionHead, RegressionHead, SegmentationHead
from edgeskin.statistics import Paired, gap_growth
from edgeskin.subgroups import (
    NO_SKIN,
    NOT_STATED,
    SMALLEST_GROUP,
    GapChange,
    GroupGap,
    Grouping,
    Subgroups,
    _verdict,
    by_group,
    missed_gaps,
)

SPEC = acne_spec(
    heads=(
        ClassificationHead(name="acne", labels=("no", "yes")),
        RegressionHead(name="age", unit="years"),
    )
)
ACCURACY = "acne_accuracy"


def right(shares: dict[str, tuple[int, int]]) -> np.ndarray:
    """By group (right ones, images), the groups one after the other."""
    return np.concatenate([np.arange(n) < k for k, n in shares.values()])


def answers(hits: np.ndarray, error: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """Outputs that are right where `hits` says so, for a truth of class 1 and of 40 years."""
    years = np.broadcast_to(np.asarray(40.0 + error, np.float32), hits.shape)[:, None]
    return {"acne": np.eye(2, dtype=np.float32)[hits.astype(int)], "age": years}


def split(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], **options: Any
) -> Subgroups:
    """The two models on groups of which they are right in so many of so many images."""
    labels = [name for name, (_, n) in before.items() for _ in range(n)]
    truth = {"acne": np.ones(len(labels), np.int64), "age": np.full(len(labels), 40.0)}
    outputs = answers(right(before)), answers(right(after))
    return by_group(SPEC, *outputs, truth, Grouping.of(labels, "by hand"), **options)


def test_gap_and_growth_of_groups_that_are_known() -> None:
    parts = split({"a": (18, 20), "b": (20, 25)}, {"a": (19, 20), "b": (15, 25)})
    gap = parts.gaps[ACCURACY]
    assert gap.groups == ("a", "b")
    for spread, apart in ((gap.reference, 0.9 - 0.8), (gap.candidate, 0.95 - 0.6)):
        assert (spread.best, spread.worst) == ("a", "b")
        assert spread.gap == pytest.approx(apart)
    assert gap.growth.value == pytest.approx(0.35 - 0.1)
    assert gap.growth.low < gap.growth.value < gap.growth.high
    name, worst = parts.worst(ACCURACY)
    assert (name, worst.images, worst.too_few) == ("b", 25, False)
    change = worst.metrics[ACCURACY]
    assert (change.reference, change.candidate) == pytest.approx((0.8, 0.6))
    assert parts.worst("no such metric") is None


def test_the_worst_group_may_be_another_one_afterwards() -> None:
    """All swap places: the mean and the gap hold, and the groups say what happened."""
    gap = split({"a": (9, 10), "b": (5, 10)}, {"a": (5, 10), "b": (9, 10)}).gaps[ACCURACY]
    assert (gap.reference.worst, gap.candidate.worst) == ("b", "a")
    assert gap.growth.value == pytest.approx(0.0)


def test_the_worst_error_is_the_largest() -> None:
    labels, hits = ["young"] * 12 + ["old"] * 12, np.ones(24, bool)
    outputs = answers(hits), answers(hits, np.repeat([1.0, -3.0], 12))
    truth = {"age": np.full(24, 40.0)}
    gap = by_group(SPEC, *outputs, truth, Grouping.of(labels, "by hand")).gaps["age_mae"]
    assert (gap.unit, gap.higher_is_better) == ("years", False)
    assert gap.candidate == GroupGap(best="young", worst="old", gap=2.0)
    # Each image of a group has the same error, so that no resample differs.
    assert gap.growth == Estimate(value=2.0, low=2.0, high=2.0)
    assert (gap.allowed, gap.verdict) == (None, None)


def test_groups_whose_coverage_misses_its_level_by_as_much_on_both_sides_are_alike() -> None:
    """Of ten ages 6 and 10 lie in their intervals: both 0.2 from 0.8; then 8 and 10 do."""
    spec = acne_spec(heads=(DistributionHead(name="age", first=0, size=101, unit="years"),))
    truth = {"age": np.full((20, 2), 40.0)}

    def sure_of(years: np.ndarray) -> dict[str, np.ndarray]:
        mass = np.eye(101, dtype=np.float32)[years]
        return {"age": np.asarray(years, np.float32)[:, None], "age_distribution": mass}

    def outputs(young: int) -> dict[str, np.ndarray]:
        return sure_of(np.where(right({"young": (young, 10), "old": (10, 10)}), 40, 50))

    grouping = Grouping.of(["young"] * 10 + ["old"] * 10, "by hand")
    gap = by_group(spec, outputs(6), outputs(8), truth, grouping).gaps["age_coverage_80"]
    assert (gap.higher_is_better, gap.nominal) == (None, 0.8)
    assert gap.reference.gap == pytest.approx(0.0)
    assert gap.candidate.gap == pytest.approx(0.2)
    assert (gap.candidate.best, gap.candidate.worst) == ("young", "old")
    assert gap.growth.value == pytest.approx(0.2)


def test_the_images_of_a_metric_are_those_with_a_label_of_it() -> None:
    """Of 30 and 24 ages, 12 and 11 are exact: those alone have an error."""
    spec = acne_spec(heads=(DistributionHead(name="age", first=0, size=101, unit="years"),))
    exact = np.concatenate([np.arange(30) < 12, np.arange(24) < 11])
    truth = {"age": np.stack([np.full(54, 40.0), np.where(exact, 40.0, 49.0)], axis=1)}
    mass = np.repeat(np.eye(101, dtype=np.float32)[[41]], 54, axis=0)
    outputs = {"age": np.full((54, 1), 41, np.float32), "age_distribution": mass}
    grouping = Grouping.of(["young"] * 30 + ["old"] * 24, "by hand")
    parts = by_group(spec, outputs, outputs, truth, grouping)
    young = parts.groups["young"]
    assert (young.images, young.labelled("age_mae"), young.labelled("age_hit")) == (30, 12, 18)
    known = Subgroups.from_json(parts.to_json())
    assert known.groups["old"].labelled("age_mae") == 11


def test_the_interval_is_that_of_an_independent_bootstrap() -> None:
    rng = np.random.default_rng(8)
    groups = []
    for n, share in ((60, 0.9), (45, 0.7), (80, 0.8)):
        before = rng.random(n) < share
        after = np.where(rng.random(n) < 0.15, ~before, before)
        groups.append(Paired(np.ones(n, bool), before, after))

    def growth(*chosen: np.ndarray, axis: int = -1) -> np.ndarray:
        pairs = list(zip(groups, chosen, strict=True))
        before = np.stack([g.reference[i].mean(axis=axis) for g, i in pairs])
        after = np.stack([g.candidate[i].mean(axis=axis) for g, i in pairs])
        return np.ptp(after, axis=0) - np.ptp(before, axis=0)

    theirs = stats.bootstrap(
        [np.arange(len(g.truth)) for g in groups],
        growth,
        method="percentile",
        n_resamples=20_000,
        rng=rng,
    ).confidence_interval
    ours = gap_growth(accuracy, groups)
    width = theirs.high - theirs.low
    # As for paired intervals: percentile noise of 2000 resamples is about 5 % of the width.
    assert ours.low == pytest.approx(theirs.low, abs=0.08 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.08 * width)


def test_groups_of_one_size_are_resampled_each_by_itself() -> None:
    """Equal groups that drew the same images would never differ."""
    before = np.arange(40) % 3 > 0
    group = Paired(np.ones(40, bool), before, before & (np.arange(40) % 7 > 0))
    found = gap_growth(accuracy, [group, group])
    assert found.value == 0.0
    assert found.low < 0.0 < found.high


def test_ten_images_are_the_fewest_of_which_an_interval_says_what_it_promises() -> None:
    def coverage(n: int) -> float:
        """Of a 95 % percentile bootstrap interval of the mean of n normal values."""
        limit = stats.norm.ppf(0.975) * math.sqrt((n - 1) / n)
        return 1.0 - 2.0 * float(stats.t.sf(limit, n - 1))

    assert coverage(SMALLEST_GROUP - 1) < 0.9 <= coverage(SMALLEST_GROUP)
    rng, hits = np.random.default_rng(2), 0
    for _ in range(400):
        values = rng.normal(size=SMALLEST_GROUP)
        draws = values[rng.integers(0, SMALLEST_GROUP, (500, SMALLEST_GROUP))].mean(axis=1)
        low, high = np.percentile(draws, [2.5, 97.5])
        hits += low <= 0.0 <= high
    # One sigma of a share of 0.9 in 400 is 0.015; four of them.
    assert hits / 400 == pytest.approx(coverage(SMALLEST_GROUP), abs=0.06)


def test_of_a_small_group_only_its_number_is_said() -> None:
    known = {"a": (10, 10), "b": (8, 10), "c": (0, 9)}
    parts = split(known, known)
    assert parts.groups["c"].to_json() == {"images": 9, "too_few": True}
    assert parts.gaps[ACCURACY].groups == ("a", "b")
    assert split({"a": (9, 12), "b": (1, 3)}, {"a": (9, 12), "b": (1, 3)}).gaps == {}


def test_images_whose_group_is_unknown_are_measured_and_not_compared() -> None:
    before = {"a": (10, 10), "b": (8, 10), NO_SKIN: (0, 12), NOT_STATED: (1, 11)}
    parts = split(before, before)
    assert list(parts.groups) == ["a", "b", NOT_STATED, NO_SKIN]
    assert parts.groups[NO_SKIN].metrics[ACCURACY].candidate == 0.0
    assert parts.gaps[ACCURACY].groups == ("a", "b")


def test_a_group_without_a_value_is_not_compared_unless_the_candidate_lost_it() -> None:
    """Dice is no number where neither the truth nor the prediction shows the label."""
    head = SegmentationHead(name="mask", labels=("lesion",), activation="sigmoid")
    spec, n = acne_spec(heads=(head,)), 3 * SMALLEST_GROUP
    truth = np.zeros((n, 2, 2, 1), np.int16)
    truth[: 2 * SMALLEST_GROUP, 0, 0] = 1
    labels = np.repeat(["a", "b", "none"], SMALLEST_GROUP)
    grouping = Grouping.of(labels.tolist(), "by hand")
    same = {"mask": truth.astype(np.float32)}
    parts = by_group(spec, same, same, {"mask": truth}, grouping)
    assert parts.gaps["mask_lesion_dice"].groups == ("a", "b")
    assert math.isnan(parts.groups["none"].metrics["mask_lesion_dice"].candidate)
    broken = {"mask": np.where(truth[:, :1, :1] == 1, np.nan, same["mask"])}
    broken["mask"][:SMALLEST_GROUP] = same["mask"][:SMALLEST_GROUP]
    gap = by_group(spec, same, broken, {"mask": truth}, grouping).gaps["mask_lesion_dice"]
    assert gap.candidate.worst == "b"
    assert gap.candidate.gap == 1.0  # nothing is at or above 0.5 in NaN, so no lesion is found


@pytest.mark.parametrize(
    ("low", "high", "images", "verdict"),
    [
        (-0.02, 0.009, 50, "held"),
        (-0.02, 0.011, 50, "too few to say"),
        (0.011, 0.05, 50, "grew"),
        (0.009, 0.05, 50, "too few to say"),
        (0.0, 0.0, 299, "too few to say"),  # 3 / 299 > 0.01: the rule of three
        (0.0, 0.0, 300, "held"),
        (math.nan, math.nan, 500, "too few to say"),
    ],
)
def test_verdicts(low: float, high: float, images: int, verdict: str) -> None:
    growth = Estimate(value=0.0, low=low, high=high)
    assert _verdict(growth, 0.01, images) == verdict


def test_the_rule_of_three_is_the_exact_limit_of_no_events() -> None:
    """(1 - p)^n = 0.05 has p = 1 - 0.05^(1/n), which 3 / n bounds and nearly is."""
    for n in (10, 100, 300):
        exact = 1.0 - 0.05 ** (1.0 / n)
        assert exact <= 3.0 / n <= 1.2 * exact


def test_a_missed_gate_names_group_metric_and_numbers() -> None:
    parts = split({"a": (90, 100), "b": (80, 100)}, {"a": (90, 100), "b": (77, 100)})
    lines = list(missed_gaps({"tone": parts}, 2.9))
    assert len(lines) == 2  # balanced accuracy is the same of one class
    start, end = lines[0].split(" [", 1)
    assert start == f"{ACCURACY} by tone: the gap between groups grew by 3.00 points"
    assert (
        "to 13.00, the gate is 2.9 points; worst is 'b' (100 images), 0.8000 to 0.7700 (too few"
        in end
    )
    assert list(missed_gaps({"tone": parts}, 3.0)) == []  # exactly at the gate
    assert list(missed_gaps({"tone": parts}, None)) == []
    (line,) = missed_gaps({"tone": split({"a": (9, 12)}, {"a": (9, 12)})}, 1.0)
    assert "by tone was not checked: no two groups have 10 images each" in line


def test_a_gap_that_is_no_number_misses_the_gate() -> None:
    parts = split({"a": (9, 10), "b": (8, 10)}, {"a": (9, 10), "b": (8, 10)})
    nan = Estimate(value=math.nan, low=math.nan, high=math.nan)
    gap: GapChange = parts.gaps[ACCURACY].model_copy(update={"growth": nan})
    broken = parts.model_copy(update={"gaps": {ACCURACY: gap}})
    assert len(list(missed_gaps({"tone": broken}, 50.0))) == 1


def test_the_allowed_growth_is_in_the_document() -> None:
    before = {"a": (9, 10), "b": (8, 10)}
    assert split(before, before).gaps[ACCURACY].allowed == pytest.approx(0.01)
    assert split(before, before, allowed_points=2.5).gaps[ACCURACY].allowed == pytest.approx(0.025)


def test_a_document_comes_back_from_its_json() -> None:
    before = {"a": (9, 10), "b": (8, 10), "c": (1, 2)}
    parts = split(before, before | {"b": (7, 10)})
    assert Subgroups.from_json(json.dumps(parts.to_json())) == parts


def test_groups_are_in_the_order_of_their_numbers_or_their_letters() -> None:
    assert Grouping.of(["10", "9", "100"], "").names == ("9", "10", "100")
    assert Grouping.of(["b", NO_SKIN, "a"], "").names == ("a", "b", NO_SKIN)
    assert Grouping.of(["b", NOT_STATED], "", ("c", "b")).names == ("c", "b", NOT_STATED)
