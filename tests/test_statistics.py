import math

import numpy as np
import pytest
from scipy import stats

from edgeskin.metrics import accuracy, mae
from edgeskin.statistics import (
    estimate,
    mcnemar_p,
    paired_change,
    ratio_of_medians,
    wilcoxon_p,
)


def test_interval_of_an_accuracy_agrees_with_the_binomial_one() -> None:
    truth = np.ones(400)
    predicted = (np.arange(400) < 300).astype(float)
    found = estimate(accuracy, truth, predicted)
    exact = stats.binomtest(300, 400).proportion_ci(method="wilson")
    assert found.value == 0.75
    # Bootstrap percentiles of 2000 resamples wobble by about 0.002; methods differ by 0.002.
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.008)


def test_paired_interval_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=150)
    reference = truth + rng.normal(size=150)
    candidate = reference + rng.normal(scale=0.3, size=150)
    ours = paired_change(mae, truth, reference, candidate)
    theirs = stats.bootstrap(
        (truth, reference, candidate),
        lambda t, r, c: mae(t, c) - mae(t, r),
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=4000,
        rng=rng,
    ).confidence_interval
    # Two independent bootstraps: percentile noise is about 5 % of the interval's width.
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.08 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.08 * width)


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 200)
    reference = np.where(rng.random(200) < 0.7, truth, 1 - truth)
    candidate = reference.copy()
    candidate[0] = 1 - candidate[0]
    change = paired_change(accuracy, truth, reference, candidate)
    single = estimate(accuracy, truth, candidate)
    assert change.high - change.low < 0.2 * (single.high - single.low)


def test_the_same_data_give_the_same_interval_and_nan_is_not_hidden() -> None:
    truth, predicted = np.arange(20.0), np.arange(20.0)[::-1]
    assert estimate(mae, truth, predicted) == estimate(mae, truth, predicted)
    assert math.isnan(estimate(lambda t, p: math.nan, truth, predicted).low)


def test_interval_of_a_ratio_of_medians_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(60):
        busy = rng.lognormal(0.0, 0.2, 200)  # what slows a round slows both
        found = ratio_of_medians(
            2.0 * busy * rng.lognormal(0.0, 0.05, 200), busy * rng.lognormal(0.0, 0.05, 200)
        )
        hits += found.low <= 0.5 <= found.high
    # 57 of 60 are expected at 95 %; fewer than 51 has a chance below 0.3 % (binomial).
    assert hits >= 51


def test_a_constant_factor_between_rounds_is_found_exactly() -> None:
    reference = np.random.default_rng(0).lognormal(size=101)
    found = ratio_of_medians(reference, 0.25 * reference)
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (3, 9), (9, 3), (40, 22), (10, 10)])
def test_mcnemar_is_the_binomial_test_of_the_disagreements(lost: int, won: int) -> None:
    reference = np.array([True] * lost + [False] * won + [True] * 50 + [False] * 20)
    candidate = np.array([False] * lost + [True] * won + [True] * 50 + [False] * 20)
    expected = stats.binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert mcnemar_p(reference, candidate) == pytest.approx(expected)


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_wilcoxon_agrees_with_scipy_on_ties_and_zeros(digits: int) -> None:
    rng = np.random.default_rng(11)
    reference = np.round(rng.normal(size=60), digits)
    candidate = np.round(reference + rng.normal(0.3, 1.0, size=60), digits)
    expected = stats.wilcoxon(
        candidate, reference, zero_method="wilcox", correction=False, method="asymptotic"
    ).pvalue
    assert wilcoxon_p(reference, candidate) == pytest.approx(expected, rel=1e-9)


def test_wilcoxon_of_equal_errors_is_one() -> None:
    assert wilcoxon_p(np.ones(9), np.ones(9)) == 1.0


def test_wilcoxon_hides_no_nan() -> None:
    reference, candidate = np.arange(20.0), np.arange(20.0) + 1
    candidate[3] = np.nan
    assert math.isnan(stats.wilcoxon(candidate, reference).pvalue)
    assert math.isnan(wilcoxon_p(reference, candidate))
    assert math.isnan(wilcoxon_p(candidate, reference))
