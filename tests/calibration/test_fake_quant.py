"""Fake quantizers: their values are those of the integers, their gradients those of the papers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgeskin.calibration.fake_quant import BLOCK, FixedRange, LearnedRange, MovingRange, Weight
from edgeskin.calibration.graphs import DEQUANTIZE, QUANTIZE

SCALE, ZERO_POINT = 0.0625, -7
RANGE = (SCALE, ZERO_POINT, -128, 127)


def values(*shape: int, seed: int = 0) -> Tensor:
    """Normal, about one in four beyond the range of `RANGE`, which is -7.6 to 8.4."""
    return 7.0 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layouts() -> list[Tensor]:
    x = values(3, 6, 5, 4)
    return [x, x.to(memory_format=torch.channels_last), x.transpose(1, 3), x[:, ::2], x[0]]


@pytest.mark.parametrize("x", layouts(), ids=["nchw", "nhwc", "transposed", "strided", "3-D"])
def test_values_are_those_of_the_integers(x: Tensor) -> None:
    integers = (*RANGE, torch.int8)
    assert torch.equal(FixedRange(*RANGE)(x), DEQUANTIZE(QUANTIZE(x, *integers), *integers))


def reference_gradients(x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Of x and of log scale, by the paper's formula in float64, element by element."""
    steps = x.double() / SCALE
    least, most = -128 - ZERO_POINT, 127 - ZERO_POINT
    inside = (steps > least - 0.5) & (steps < most + 0.5)
    by_scale = torch.where(inside, steps.round() - steps, steps.clamp(least, most))
    return gradient * inside, (gradient.double() * by_scale * SCALE).sum()


@pytest.mark.parametrize("x", layouts(), ids=["nchw", "nhwc", "transposed", "strided", "3-D"])
def test_gradients_are_those_of_lsq(x: Tensor) -> None:
    learned = LearnedRange(*RANGE)
    x = x.clone().requires_grad_(True)  # clone keeps the strides of dense tensors
    gradient = values(*x.shape, seed=1)
    learned(x).backward(gradient)
    of_x, of_scale = reference_gradients(x.detach(), gradient)
    assert torch.equal(x.grad, of_x)
    # 360 float32 products of up to 20 * 20: each sum is good to 360 * 400 * 2^-24 = 0.01.
    assert float(learned.growth.grad) == pytest.approx(float(of_scale), abs=0.01)


def test_gradients_of_torch_agree() -> None:
    """`torch._fake_quantize_learnable_per_tensor_affine`, on more than one block.

    It counts the outermost integers as beyond the range, so values near them are
    left out, and rounds negative zero points wrongly, so the integers are 0 to 255.
    """
    x = values(BLOCK * torch.get_num_threads() + 11)
    edges = [SCALE * (edge - ZERO_POINT) for edge in (-128, 127)]
    x = x[((x - edges[0]).abs() > SCALE) & ((x - edges[1]).abs() > SCALE)]
    gradient = values(len(x), seed=1)
    scale = torch.tensor([SCALE], requires_grad=True)
    zero_point = torch.tensor([ZERO_POINT + 128.0], requires_grad=True)
    native = torch._fake_quantize_learnable_per_tensor_affine(x, scale, zero_point, 0, 255, 1.0)
    native.backward(gradient)
    learned = LearnedRange(SCALE, ZERO_POINT + 128, 0, 255)
    learned(x).backward(gradient)
    # 130000 float32 terms of about 50, each good to 2^-24: 0.001 by chance, 0.4 at the worst.
    assert float(learned.growth.grad) == pytest.approx(float(scale.grad * SCALE), abs=0.1)


def test_a_learned_scale_finds_the_least_error() -> None:
    """Gradient descent on the squared error ends where trying every scale does."""
    x = torch.randn(4096, generator=torch.Generator().manual_seed(2))
    learned = LearnedRange(1.0, 0, -8, 7)  # 4 bits, and a range ten times too wide
    optimizer = torch.optim.Adam(learned.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        (learned(x) - x).square().mean().backward()
        optimizer.step()
    tried = torch.linspace(0.1, 1.0, 400)
    errors = torch.stack([(FixedRange(float(s), 0, -8, 7)(x) - x).square().mean() for s in tried])
    reached = (learned(x) - x).square().mean()
    assert reached < 1.02 * errors.min()  # the straight-through gradient is not exact


def test_what_is_learned_is_a_float16_number_and_starts_exactly() -> None:
    learned = LearnedRange(0.0999755859375, 3, -128, 127)  # float16 holds it
    assert learned.scale_and_zero_point() == (0.0999755859375, 3)
    learned.growth.data.fill_(0.1234)
    scale = learned.scale_and_zero_point()[0]
    assert scale == float(torch.tensor(scale).half())
    # Rounded up, and by no more than one unit in the eleventh bit.
    assert 0 <= scale / (0.0999755859375 * torch.e**0.1234) - 1 < 2**-10


def test_a_moving_range_takes_a_tenth_of_each_step() -> None:
    moving = MovingRange(*RANGE, symmetric=False).train()
    low, high = float(moving.low), float(moving.high)
    moving(torch.tensor([-1.0, 1.0]))
    moving(torch.tensor([-2.0, 0.5]))  # used twice: the extremes of both count, once
    moving.move()
    assert float(moving.low) == pytest.approx(0.9 * low - 0.2)
    assert float(moving.high) == pytest.approx(0.9 * high + 0.1)
    moving.freeze()
    before = moving.scale_and_zero_point()
    moving(torch.tensor([-9.0, 9.0]))
    moving.eval()(torch.tensor([-9.0, 9.0]))
    moving.move()
    assert moving.scale_and_zero_point() == before


def test_a_moving_range_starts_at_the_grid_it_was_given() -> None:
    assert MovingRange(*RANGE, symmetric=False).scale_and_zero_point() == (SCALE, ZERO_POINT)
    assert MovingRange(SCALE, 0, -128, 127, symmetric=True).scale_and_zero_point() == (SCALE, 0)


@pytest.mark.parametrize("learned", [True, False], ids=["learned", "moving"])
def test_a_weight_has_the_gradient_of_lsq_in_each_channel(learned: bool) -> None:
    floats = values(4, 3, 3, 3).double().float()
    scales = torch.tensor([0.0625, 0.125, 0.5, 2.0**-24])  # clipped, clipped, whole, dead
    weight = Weight(floats, scales, 127, learned)
    gradient = values(4, 3, 3, 3, seed=1)
    weight().backward(gradient)
    step = weight.scales().detach().double().reshape(-1, 1, 1, 1)
    steps = floats.double() / step
    inside = steps.abs() <= 127
    assert torch.equal(weight().detach(), (steps.round().clamp(-127, 127) * step).float())
    torch.testing.assert_close(weight.values.grad, gradient * inside, rtol=1e-6, atol=0)
    if learned:
        assert torch.equal(weight.scales(), scales)
        by_scale = torch.where(inside, steps.round() - steps, steps.clamp(-127, 127))
        expected = (gradient * by_scale * step).flatten(1).sum(1).float()
        torch.testing.assert_close(weight.growth.grad, expected, rtol=1e-4, atol=1e-4)
    else:
        largest = floats.abs().flatten(1).amax(1) / 127
        assert (weight.scales() >= largest).all()
        assert (weight.scales() < largest * (1 + 2**-10)).all()


def test_a_learned_scale_stops_at_its_limit() -> None:
    learned = LearnedRange(6 / 256, -128, -128, 127)
    learned.limit = 6 / 255
    with torch.no_grad():
        learned.growth.fill_(0.5)
    assert learned.scale_and_zero_point() == (6 / 255, -128)
    with torch.no_grad():
        learned.growth.fill_(-0.5)
    assert learned.scale_and_zero_point()[0] < 6 / 256
