"""Thresholds and change points against theory, and against SciPy and permutations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_histories import LAWS, alarms, delays, stored
from scipy import stats

from edgeskin.benchmarks.report.history.change_points import (
    MIN_SEGMENT,
    best_split,
    change_points,
    max_selected_p,
)
from edgeskin.benchmarks.report.history.thresholds import (
    Fence,
    PredictionInterval,
    critical_level,
    t_quantile,
    t_tail,
)
from edgeskin.benchmarks.report.history.trends import trends_of


@pytest.mark.parametrize("freedom", [1, 2, 7, 8, 29])
def test_student_s_t_is_scipy_s(freedom: int) -> None:
    for t in (-5.0, -0.3, 0.0, 1.0, 2.5, 12.0):
        assert t_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), abs=2e-15)
    for tail in (0.4, 0.01, 1e-4, 1e-8):
        assert t_quantile(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-6)


@pytest.mark.parametrize("runs", [8, 30])
def test_the_next_value_is_beyond_the_bound_as_often_as_it_says(runs: int) -> None:
    random = np.random.default_rng(3)
    beyond = sum(
        random.normal() > PredictionInterval.of(random.normal(size=runs).tolist()).bound(0.05)
        for _ in range(4000)
    )
    # One sigma of a share of 0.05 in 4000 is 0.0034.
    assert beyond / 4000 == pytest.approx(0.05, abs=0.011)


def test_the_chance_of_a_value_is_that_of_a_t_test_of_one_against_the_others() -> None:
    random = np.random.default_rng(4)
    earlier, latest = random.normal(10, 0.2, 12).tolist(), 10.6
    # Pooling a sample of one changes nothing: its variance has no degree of freedom.
    expected = stats.ttest_ind([latest], earlier, alternative="greater").pvalue
    interval = PredictionInterval.of(earlier)
    assert interval.chance(latest) == pytest.approx(expected, rel=1e-9)
    assert interval.chance(interval.bound(0.003)) == pytest.approx(0.003, rel=1e-6)


def test_the_fence_is_tukey_s_and_a_run_far_off_does_not_move_it() -> None:
    costs = [float(x) for x in range(1, 10)]
    fence = Fence.of(costs)
    assert (fence.usual, fence.bound(0.01)) == (5.0, 7.0 + 3 * 4.0)  # quartiles 3 and 7
    assert Fence.of([*costs[:-1], 900.0]).bound(0.01) == fence.bound(0.01)
    assert PredictionInterval.of([*costs[:-1], 900.0]).bound(0.01) > 100
    normal = stats.norm.rvs(size=20_000, random_state=1)
    assert Fence.of(normal.tolist()).noise == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_the_critical_level_calls_what_scipy_s_adjusted_p_values_call(level: float) -> None:
    random = np.random.default_rng(5)
    for size in (1, 5, 40):
        chances = (random.uniform(size=size) ** 4).tolist()
        called = stats.false_discovery_control(chances) <= level
        assert [p <= critical_level(chances, level) for p in chances] == called.tolist()
    assert critical_level([], level) == level


def plain_splits(values: list[float]) -> list[float]:
    """z of every split, the slow way."""
    n = len(values)
    scores = stats.norm.ppf(stats.rankdata(values) / (n + 1))
    spread = np.std(scores, ddof=1)
    return [
        abs(np.mean(scores[:k]) - np.mean(scores[k:])) / (spread * math.sqrt(1 / k + 1 / (n - k)))
        for k in range(MIN_SEGMENT, n - MIN_SEGMENT + 1)
    ]


@pytest.mark.parametrize("ties", [False, True])
def test_the_best_split_is_the_largest_of_all(ties: bool) -> None:
    random = np.random.default_rng(6)
    for n in (8, 25, 60):
        values = random.normal(size=n)
        values = (np.round(values) if ties else values).tolist()
        z = plain_splits(values)
        split = best_split(values)
        assert split is not None
        assert z[split.at - MIN_SEGMENT] == pytest.approx(max(z))
        assert split.p == pytest.approx(max_selected_p(max(z), n))


@pytest.mark.parametrize("n", [12, 40, 150])
def test_p_is_at_least_that_of_permutations_and_not_far_from_it(n: int) -> None:
    random = np.random.default_rng(7)
    scores = stats.norm.ppf(np.arange(1, n + 1) / (n + 1))
    k = np.arange(MIN_SEGMENT, n - MIN_SEGMENT + 1)
    spread = np.sqrt(k * (n - k) / (n * (n - 1.0)) * (scores @ scores))
    sums = np.cumsum(random.permuted(np.tile(scores, (20_000, 1)), axis=1), axis=1)
    largest = (np.abs(sums[:, k - 1]) / spread).max(axis=1)
    for z in np.quantile(largest, (0.9, 0.99)):
        by_permutation = float(np.mean(largest >= z))
        # Sigma of 1 % in 20,000 is 0.07 points. Neighbouring splits share so much that the
        # inequality is up to three times too careful for long series.
        assert 0.85 * by_permutation < max_selected_p(float(z), n) < 4.0 * by_permutation


def test_changes_of_level_are_found_where_they_were_planted() -> None:
    random = np.random.default_rng(8)
    levels = np.repeat([10.0, 10.4, 9.8], [60, 50, 40])
    values = (levels * (1 + 0.015 * random.standard_t(3, 150) / math.sqrt(3))).tolist()
    found = [split.at for split in change_points(values, 0.01)]
    assert found == pytest.approx([60, 110], abs=3)
    assert change_points(values, 0.01) == change_points(values, 0.01)
    # Ranks do not know the scale, nor a run that is a hundred times too slow.
    assert [s.at for s in change_points([v**3 for v in values], 0.01)] == found
    values[20] = 1000.0
    assert [s.at for s in change_points(values, 0.01)] == pytest.approx(found, abs=3)


def test_short_equal_and_infinite_series() -> None:
    assert best_split([1.0, 2.0] * 3) is None
    assert best_split([7.0] * 30) is None
    assert change_points([math.inf] * 10 + [60.0] * 10, 0.01)[0].at == 10
    assert change_points([], 0.01) == []


def test_a_small_trend_is_no_change() -> None:
    """A device that ages by half a percent over 200 runs, its noise 1.75 %."""
    random = np.random.default_rng(9)
    called = 0
    for _ in range(100):
        values = np.linspace(1.0, 1.005, 200) + random.normal(0, 0.0175, 200)
        called += bool(trends_of(stored("p50_ms", values.tolist()), 0.01, "t")[0].changes)
    # The halves differ by 0.25 %, z = 0.0025 / (0.0175 * sqrt(2 / 100)) = 1.0; 3.7 is called.
    assert called <= 5


def test_a_drift_in_small_steps_is_a_change() -> None:
    """3 % over 200 runs, noise 0.1 %: cut into steps that are each below the 1 % that matters."""
    random = np.random.default_rng(10)
    values = (np.linspace(10.0, 10.3, 200) * (1 + random.normal(0, 0.001, 200))).tolist()
    splits = change_points(values, 0.01)
    levels = [np.median(part) for part in np.split(values, [split.at for split in splits])]
    assert max(np.diff(levels)) < 0.1
    changes = trends_of(stored("p50_ms", values), 0.01, "t")[0].changes
    assert [change.worse for change in changes] == [True]
    assert 10.0 < changes[0].before < changes[0].after - 0.1 < 10.2


@pytest.mark.parametrize("law", LAWS)
def test_four_percent_are_noticed_within_days_and_nothing_is_called_for_nothing(law: str) -> None:
    """On twelve figures, at 1 % false alarms; docs/history.md has it of 200 histories."""
    dated, either = delays(law, 12, 30, 60)
    assert np.median(dated) <= 8
    assert max(dated) <= 20
    assert np.median(either) <= 5
    called = np.mean(alarms(law, 25, (40, 120))["change"])
    assert called <= 0.04  # 50 looks at 1 %: more than two have a chance of 1.4 %
