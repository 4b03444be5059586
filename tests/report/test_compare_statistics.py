"""The tests behind `edgeskin compare`: against SciPy, against theory, and how often they err."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from edgeskin.benchmarks.report.gate import latency_change as module
from edgeskin.benchmarks.report.gate.latency_change import block_length, latency_change
from edgeskin.estimate import Estimate
from edgeskin.metrics import accuracy, balanced_accuracy
from edgeskin.statistics import holm, interval_p, mcnemar_p, rank_sum_p, swap_p


def test_holm_by_hand() -> None:
    # In order 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, and never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    with_nan = holm([math.nan, 0.02, 0.5])
    assert math.isnan(with_nan[0])
    assert with_nan[1:] == pytest.approx([0.04, 0.5])  # of two tests


def test_holm_errs_in_one_comparison_of_twenty() -> None:
    random, families = np.random.default_rng(3), 2000
    errs = sum(min(holm(random.uniform(size=8).tolist())) <= 0.05 for _ in range(families))
    # 1 - (1 - 0.05 / 8)**8 = 4.9 % of 2000 are 98, one sigma is 9.7.
    assert 69 < errs < 127


@pytest.mark.parametrize("values", ["continuous", "ties"])
def test_rank_sum_is_scipys(values: str) -> None:
    random = np.random.default_rng(4)
    for shift in (0.0, 0.5, 2.0):
        one, other = random.normal(size=20), random.normal(size=33) + shift
        if values == "ties":
            one, other = one.round(), other.round()
        expected = stats.mannwhitneyu(one, other, method="asymptotic").pvalue
        assert rank_sum_p(one, other) == pytest.approx(expected, rel=1e-9)
    assert rank_sum_p(np.ones(9), np.ones(9)) == 1.0
    assert math.isnan(rank_sum_p(np.array([math.nan, 1.0]), np.ones(2)))


def test_swaps_give_mcnemars_p_of_an_accuracy() -> None:
    truth = np.zeros(200, np.int64)
    old, new = truth.copy(), truth.copy()
    new[:9] = 1  # nine lost ...
    old[9:11] = 1  # ... and two won
    exact = mcnemar_p(old == truth, new == truth)
    assert exact == pytest.approx(stats.binomtest(2, 11).pvalue)
    # 100 draws of that kind: a relative sigma of 10 %.
    assert swap_p(accuracy, truth, old, new) == pytest.approx(exact, rel=0.3)
    assert swap_p(accuracy, truth, old, old) == 1.0
    new[:60] = 1
    assert swap_p(accuracy, truth, old, new) == pytest.approx(1e-4)  # none of 9,999


def test_swaps_call_noise_of_a_metric_at_their_level() -> None:
    """Two models that are right equally often, each by itself: no test of theirs may call more."""
    random, calls, tries = np.random.default_rng(6), 0, 200
    truth = np.arange(90) % 3
    for _ in range(tries):
        old, new = (
            np.where(random.random(90) < 0.8, truth, (truth + random.integers(1, 3, 90)) % 3)
            for _ in range(2)
        )
        calls += swap_p(balanced_accuracy, truth, old, new) <= 0.05
    assert calls <= 10 + 3 * 3.1  # 5 % of 200 and three sigma


def test_the_p_of_an_interval_is_that_of_its_normal() -> None:
    assert interval_p(Estimate(value=1.959964, low=0.0, high=3.919928)) == pytest.approx(0.05)
    assert interval_p(Estimate(value=0.0, low=0.0, high=0.0)) == 1.0
    assert math.isnan(interval_p(Estimate(value=math.nan, low=0.0, high=1.0)))


def run(random: np.random.Generator, n: int, phi: float = 0.0) -> np.ndarray:
    """Milliseconds around 10, a tenth above at most; `phi` is the correlation of neighbours."""
    noise = random.gamma(4.0, 0.025, n + 100) - 0.1
    return np.asarray(10 + 10 * math.sqrt(1 - phi**2) * lfilter([1], [1, -phi], noise)[100:])


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_blocks_are_as_long_as_theory_says(phi: float) -> None:
    n, random = 4096, np.random.default_rng(1)
    series = [lfilter([1], [1, -phi], random.normal(size=n + 500))[500:] for _ in range(30)]
    # Of an AR(1): G / g(0) = 2 phi / (1 - phi^2), so that (2 G^2 / (4/3 g(0)^2) n)^(1/3) is
    expected = (6 * phi**2 / (1 - phi**2) ** 2 * n) ** (1 / 3)
    # The rule's flat-top window spreads by some 15 %; 30 of them have a sigma of 3 %.
    assert np.mean([block_length(x) for x in series]) == pytest.approx(expected, rel=0.15)


def test_independent_samples_need_no_blocks() -> None:
    random = np.random.default_rng(2)
    assert np.median([block_length(random.normal(size=1024)) for _ in range(50)]) == 1
    assert block_length(np.ones(100)) == 1
    assert block_length(np.arange(3)) == 1


@pytest.mark.parametrize(("phi", "percent"), [(0.0, 50), (0.5, 90), (0.9, 50), (0.97, 90)])
def test_noise_is_not_called_beyond_its_level(
    phi: float, percent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 200)  # of the interval; the test has none
    random, calls, covered, tries = np.random.default_rng(8), 0, 0, 200
    for _ in range(tries):
        found = latency_change(run(random, 512, phi), run(random, 512, phi), percent)
        assert found.p is not None
        calls += found.p <= 0.05 and not found.change.low <= 0 <= found.change.high
        covered += found.change.low <= 0 <= found.change.high
    # 5 % of 200 are 10, one sigma is 3.1; of the 190 that are to be covered too.
    assert calls <= 19
    assert covered >= 181


def test_a_slowdown_is_found_where_samples_depend_on_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 200)
    random = np.random.default_rng(9)
    for _ in range(20):
        found = latency_change(run(random, 1024, 0.5), 1.06 * run(random, 1024, 0.5), 50)
        assert found.p is not None
        assert found.p < 0.001
        assert found.change.value == pytest.approx(6.0, abs=1.5)


def test_samples_that_hang_together_say_nothing() -> None:
    """A clock that steps once: two runs of one file, and no test may tell them apart."""
    random = np.random.default_rng(10)
    step = np.where(np.arange(1024) < 400, 1.0, 1.1)
    found = latency_change(run(random, 1024), step * run(random, 1024), 50)
    assert found.blocks[1] > 60
    assert found.wander == pytest.approx(10, abs=2)
    assert found.change.low < 0 < found.change.high
    assert latency_change(np.ones(7), np.ones(7), 50).p is None
