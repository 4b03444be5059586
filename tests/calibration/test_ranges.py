"""Scales that float16 holds, zero points, and the input's scale from its pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edgeskin.calibration.ranges import (
    LEAST_SCALE,
    half_up,
    input_scale,
    pixel_values,
    quantize_dequantize,
    scale_of,
)
from edgeskin.spec import InputSpec, Spec

INT8 = (-128, 127, False)
INT8_SYMMETRIC = (-127, 127, True)


def with_pixels(spec: Spec, mean: float, std: float) -> Spec:
    size = InputSpec(height=8, width=8, resize="squash", mean=(mean,) * 3, std=(std,) * 3)
    return spec.model_copy(update={"input": size})


def test_half_up_is_the_next_float16_number() -> None:
    random = np.random.default_rng(1)
    wanted = 10 ** random.uniform(-7, 4, 10_000)
    rounded = half_up(torch.from_numpy(wanted)).numpy()
    assert (rounded.astype(np.float16).astype(np.float64) == rounded).all()
    assert (rounded >= wanted).all()
    below = np.nextafter(rounded.astype(np.float16), np.float16(0)).astype(np.float64)
    assert (below < wanted).all()


def test_half_up_keeps_float16_numbers_and_has_two_ends() -> None:
    exact = torch.arange(1, 0x7C00, dtype=torch.int16).view(torch.float16).double()
    assert torch.equal(half_up(exact), exact)
    assert half_up(torch.tensor([0.0, 1e-30])).tolist() == [LEAST_SCALE] * 2
    assert half_up(torch.tensor(65504.1)) == math.inf


@pytest.mark.parametrize("integers", [INT8, INT8_SYMMETRIC, (-32768, 32767, True)])
def test_no_range_is_cut_by_more_than_the_rounding_of_its_zero(
    integers: tuple[int, int, bool],
) -> None:
    random = torch.Generator().manual_seed(2)
    ends = torch.randn(1000, 2, generator=random, dtype=torch.float64).sort(1).values
    scale, zero_point = scale_of(ends[:, 0], ends[:, 1], *integers)
    for end in ends.T:
        error = (quantize_dequantize(end, scale, zero_point, *integers[:2]) - end).abs()
        # Half a step of rounding; where the zero point is rounded too, half a step more.
        assert (error <= scale * (0.5 if integers[2] else 1.0) * (1 + 1e-9)).all()
    zero = quantize_dequantize(torch.zeros(()), scale, zero_point, *integers[:2])
    assert not zero.any()
    assert (zero_point == 0).all() or not integers[2]


def test_edgeskins_own_pixels_become_integers_without_error(spec: Spec) -> None:
    own = with_pixels(spec, 127 / 255, 128 / 255)
    scale, zero_point = input_scale(own, *INT8)
    assert (scale, zero_point) == (1 / 128, -1)
    integers = (pixel_values(own) / scale).round() + zero_point
    assert torch.equal(integers, torch.arange(-128.0, 128.0).expand(3, 256))
    assert torch.equal((integers - zero_point) * scale, pixel_values(own))


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.5), (0.0, 1.0), (0.4, 0.2), (0.0, 1 / 255)])
@pytest.mark.parametrize("integers", [INT8, INT8_SYMMETRIC])
def test_any_input_is_quantized_at_least_as_well_as_noise(
    mean: float, std: float, integers: tuple[int, int, bool], spec: Spec
) -> None:
    other = with_pixels(spec, mean, std)
    scale, zero_point = input_scale(other, *integers)
    values = pixel_values(other).double()
    pair = torch.tensor(scale, dtype=torch.float64), torch.tensor(zero_point)
    left = quantize_dequantize(values, *pair, *integers[:2]) - values
    # Errors spread evenly over a step have the mean square step**2 / 12; 5 % for 256 values.
    # At 2/255, pixels of mean 0.5 would all lie halfway between two integers: step**2 / 4.
    assert left.square().mean() <= 1.05 * scale**2 / 12


def test_channels_that_differ_share_one_scale_that_holds_them_all(spec: Spec) -> None:
    imagenet = InputSpec(
        height=8, width=8, resize="squash", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    scale, zero_point = input_scale(spec.model_copy(update={"input": imagenet}), *INT8)
    low, high = (0 - 0.485) / 0.229, (1 - 0.406) / 0.225
    assert scale * (-128 - zero_point) <= low + scale / 2
    assert scale * (127 - zero_point) >= high - scale / 2
    assert scale <= 1.03 * (high - low) / 255  # within 2 % and a rounding to float16
