"""Histograms count exactly; each method finds the range that theory asks for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from edgeskin.calibration.observers import RANGES, ActivationObserver, Histogram
from edgeskin.calibration.ranges import quantize_dequantize, scale_of

INT8 = (-128, 127, False)


def histogram(*parts: Tensor) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


def normal(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_bins_count_every_value_whatever_the_order_of_sizes() -> None:
    parts = [normal(5000, seed) * size for seed, size in enumerate((1e-3, 1.0, 3e4, 0.1))]
    grown, sorted_ = histogram(*parts), histogram(*reversed(parts))
    assert torch.equal(grown.counts, sorted_.counts)
    assert grown.counts.sum() == 20_000
    middles, counts = grown.bins()
    width = 2.0**grown.exponent
    values = torch.cat(parts).double()
    for edge in middles[:: len(middles) // 20] + width / 2:
        # Independent: values below a bin's upper edge, counted one by one.
        assert counts[middles < edge].sum() == (values < edge).sum()


def test_two_histograms_add_to_the_one_of_all_values() -> None:
    parts = [normal(3000, seed) * size for seed, size in enumerate((5.0, 0.01, 900.0))]
    both = histogram(parts[0]).plus(histogram(*parts[1:]))
    whole = histogram(*parts)
    assert torch.equal(both.counts, whole.counts)
    assert (both.low, both.high, both.exponent) == (whole.low, whole.high, whole.exponent)


def test_a_large_tensor_is_sampled_but_its_ends_are_not() -> None:
    values = normal(1_000_000)
    values[123_456] = 40.0
    seen = histogram(values.reshape(1, 10, 250, 400))
    assert seen.high == 40.0
    assert 50_000 < seen.counts.sum() <= 65_536


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_not_forgotten(bad: float) -> None:
    observer = ActivationObserver(torch.int8, torch.per_tensor_affine, -128, 127)
    observer(torch.tensor([1.0, bad]))
    observer(torch.tensor([1.0]))
    assert not observer.finite()


def test_minmax_is_the_range_seen() -> None:
    low, high = RANGES["minmax"](histogram(torch.tensor([-1.5, 0.0, 7.0])), *INT8)
    assert (float(low), float(high)) == (-1.5, 7.0)


def test_percentile_leaves_out_a_ten_thousandth_at_either_end() -> None:
    values = torch.cat([normal(65_000, seed) for seed in range(20)])
    seen = histogram(*values.split(65_000))
    low, high = RANGES["percentile"](seen, *INT8)
    # The normal distribution's quantile at 0.9999; its estimate from 1.3e6 values has a
    # standard error of sqrt(1e-4 / 1.3e6) / density(3.719) = 0.022.
    assert float(high) == pytest.approx(3.719, abs=0.07)
    assert float(low) == pytest.approx(-3.719, abs=0.07)


@pytest.mark.parametrize("symmetric", [False, True])
def test_mse_finds_the_best_clip_of_a_normal_distribution(symmetric: bool) -> None:
    values = torch.cat([normal(65_000, seed) for seed in range(10)])
    seen = histogram(*values.split(65_000))
    low, high = RANGES["mse"](seen, -128, 127, symmetric)
    # Banner et al. 2019, table 1: the optimal clip at 8 bits is 3.89 standard deviations
    # (the optimum is flat: parts 3 % apart, and a finite sample, move it by some 5 %).
    assert float(high) == pytest.approx(3.9, rel=0.06)
    assert float(low) == pytest.approx(-3.9, rel=0.06)


def test_mse_clips_lone_outliers_and_no_method_does_worse() -> None:
    values = normal(60_000)
    values[0] = 200.0
    seen = histogram(values)
    errors = {}
    for name, choose in RANGES.items():
        low, high = choose(seen, *INT8)
        left = quantize_dequantize(values, *scale_of(low, high, *INT8), *INT8[:2]) - values
        errors[name] = float(left.square().sum())
    assert float(RANGES["mse"](seen, *INT8)[1]) < 200.0
    assert errors["mse"] <= 1.01 * min(errors.values())  # bins have a width


def test_either_half_has_a_scale_of_its_own() -> None:
    observer = ActivationObserver(torch.int8, torch.per_tensor_affine, -128, 127)
    for observer.half, high in enumerate((127.5, 255.0)):
        observer(torch.tensor([0.0, high]))
    assert observer.half_scales() == (0.5, 1.0)
    scale, zero_point = observer.calculate_qparams()
    assert (float(scale), int(zero_point)) == (1.0, -128)
