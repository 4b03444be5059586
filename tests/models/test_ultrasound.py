"""The ultrasound network: Lite0's weights survive in it, and what is added begins as nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from our_networks import small_ultrasound, spec_of
from torch import Tensor, nn

from edgeskin.models import ARCHS
from edgeskin.models.architectures import build
from edgeskin.models.efficient_blocks import LayerNorm, SqueezeExcitation, Style
from edgeskin.models.lite0_start import _copy, fused, linear_relu6, start_from_lite0
from edgeskin.models.multi_scale import DoubleAttention, Halved, ScaleSequence
from edgeskin.models.pretrained import load_pretrained
from edgeskin.models.ultrasound import STAGES, UltrasoundFeatures

ARCH = ARCHS["ultrasound_v2"]


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_with_nothing_fused_or_added_it_is_lite0() -> None:
    """Our blocks with batch norm and ReLU6 against timm's, both with the published weights."""
    stages = [stage if stage.expansion == 1 else replace(stage, fused=False) for stage in STAGES]
    plain: dict[str, Any] = {"hierarchy": False, "attention": "none"}
    ours = UltrasoundFeatures(Style("batch", "relu6"), stages=stages, **plain).eval()
    start_from_lite0(ours, ARCH)
    theirs = timm.create_model("efficientnet_lite0", num_classes=0, bn_eps=1e-3).eval()
    load_pretrained(theirs, ARCH)
    x = normal(2, 3, 64, 96)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_what_is_added_begins_as_nothing() -> None:
    full = build(spec_of("ultrasound_v2"), pretrained=True).eval()
    plain = build(spec_of("ultrasound_v2", hierarchy=False, attention="none")).eval()
    plain.load_state_dict(full.state_dict(), strict=False)
    x = normal(1, 3, 64, 96)
    torch.testing.assert_close(full.backbone(x), plain.backbone(x))


def test_the_line_in_place_of_relu6_is_the_least_squares_one() -> None:
    """Against a fit through a million samples; its error is about 1e-3 of a deviation."""
    means, deviations = torch.tensor([-2.0, 0.0, 1.0, 6.5]), torch.tensor([1.0, 0.5, -3.0, 2.0])
    slopes, levels = linear_relu6(means, deviations)
    noise = np.random.default_rng(3).standard_normal(1_000_000)
    for index, (mean, deviation) in enumerate(zip(means, deviations, strict=True)):
        x = float(mean) + float(deviation) * noise
        slope, level = np.polyfit(x, np.clip(x, 0.0, 6.0), 1)
        assert slopes[index].item() == pytest.approx(slope, abs=5e-3)
        assert levels[index].item() == pytest.approx(level, abs=1e-2)


@torch.inference_mode()
def test_a_fused_kernel_is_both_convolutions_where_relu6_is_a_line() -> None:
    """Values of 3 +- 0.1 lie on the straight part; padding is not met."""
    expansion, norm = nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6).eval()
    depthwise = nn.Conv2d(6, 6, 5, groups=6, bias=False)
    norm.running_mean.copy_(normal(6))
    norm.weight.fill_(0.1)
    norm.bias.fill_(3.0)
    x = normal(1, 4, 9, 9).clamp(-2.0, 2.0)
    expected = depthwise(nn.functional.relu6(norm(expansion(x))))
    weight, offset = fused((expansion, norm), depthwise)
    torch.testing.assert_close(
        nn.functional.conv2d(x, weight, offset), expected, rtol=1e-4, atol=1e-4
    )


@torch.inference_mode()
def test_a_layer_norm_begins_with_the_scale_that_the_batch_norm_gave() -> None:
    """Values with the statistics of the batch norm pass it unchanged."""
    convolution, norm = nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64).eval()
    nn.init.dirac_(convolution.weight)
    norm.weight.copy_(normal(64).abs() + 0.1)
    norm.bias.copy_(normal(64, seed=2))
    layer = Style("layer").layer(64, 64, active=False)
    _copy(layer, (convolution, norm))
    x = normal(1, 64, 20, 20)
    x = (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(layer(x), norm(x), rtol=0.0, atol=1e-4)


@torch.inference_mode()
def test_a_layer_norm_gives_each_image_a_mean_and_a_variance() -> None:
    y = LayerNorm(8)(5.0 + 3.0 * normal(2, 8, 6, 7))
    torch.testing.assert_close(y.mean((1, 2, 3)), torch.zeros(2), rtol=0.0, atol=1e-5)
    torch.testing.assert_close(y.var((1, 2, 3), correction=0), torch.ones(2), rtol=0.0, atol=1e-3)


@torch.inference_mode()
def test_halved_maps_are_means_of_windows() -> None:
    x = normal(2, 3, 8, 16)
    means = nn.Sequential(Halved(3), Halved(3))(x)
    torch.testing.assert_close(means, nn.functional.avg_pool2d(x, 4))


@torch.inference_mode()
def test_every_scale_is_heard() -> None:
    sequence = ScaleSequence((4, 6, 8), Style(), 8, 0.0).eval()
    nn.init.normal_(sequence.leave.weight)
    maps = [normal(1, width, 16 // 2**i, 16 // 2**i) for i, width in enumerate((4, 6, 8))]
    before = sequence(maps) - maps[-1]
    for index in range(3):
        changed = [m.flip(2) if i == index else m for i, m in enumerate(maps)]
        assert not torch.allclose(sequence(changed) - changed[-1], before, atol=1e-3)


def test_path_dropout_leaves_scales_out_in_training_alone() -> None:
    """With nearly all dropped, the finest scale is what remains."""
    sequence = ScaleSequence((4, 8), Style(), 8, 0.999999).train()
    nn.init.normal_(sequence.leave.weight)
    fine, coarse = normal(1, 4, 8, 8), normal(1, 8, 4, 4)
    first = sequence.enter[0](nn.functional.avg_pool2d(fine, 2))
    alone = coarse + sequence.leave(first)
    torch.testing.assert_close(sequence([fine, coarse]), alone)
    assert not torch.allclose(sequence.eval()([fine, coarse]), alone, atol=1e-3)


@pytest.mark.parametrize("style", [Style("layer", "gelu"), Style("batch", "relu6")], ids=str)
def test_every_weight_takes_part(style: Style) -> None:
    torch.manual_seed(0)
    network = small_ultrasound(style).train()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    network(torch.randn(4, 3, 64, 64)).square().mean().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ({"norm": "batch"}, (LayerNorm,)),
        ({"norm": "layer"}, (nn.BatchNorm2d,)),
        ({"activation": "relu6"}, (nn.GELU,)),
        ({"activation": "gelu"}, (nn.ReLU6,)),
        ({"hierarchy": False}, (ScaleSequence,)),
        ({"attention": "squeeze"}, (DoubleAttention,)),
        ({"attention": "none"}, (DoubleAttention, SqueezeExcitation)),
    ],
    ids=str,
)
def test_each_added_part_can_be_switched_off(
    arguments: dict[str, object], kinds: tuple[type, ...]
) -> None:
    network = build(spec_of("ultrasound_v2", **arguments))
    assert not [part for part in network.modules() if isinstance(part, kinds)]
