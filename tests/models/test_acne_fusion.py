"""The fusion of a CNN and a transformer: its branches, and attention on the patch embedding."""

from __future__ import annotations

import pytest
import timm
import torch
from our_networks import spec_of
from torch import Tensor, nn

from edgeskin.errors import MissingPackage
from edgeskin.models import ARCHS
from edgeskin.models.architectures import build
from edgeskin.models.pretrained import load_pretrained


def image() -> Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def fusion(**arguments: object) -> nn.Module:
    torch.manual_seed(0)
    return build(spec_of("acne_fusion", depth=1, **arguments)).eval()


@torch.inference_mode()
def test_heads_see_the_features_of_both_branches() -> None:
    network = fusion()
    branches = network.backbone.branches
    features = torch.cat([branches["cnn"](image()), branches["vit"](image())], dim=1)
    assert features.shape == (2, 1280 + 192)
    severity, count = network(image())
    torch.testing.assert_close(severity, network.heads[0](features))
    torch.testing.assert_close(count, network.heads[1](features))


@torch.inference_mode()
def test_channel_attention_begins_as_nothing() -> None:
    attentive, plain = fusion(), fusion(channel_attention=False)
    plain.load_state_dict(attentive.state_dict(), strict=False)
    for ours, expected in zip(attentive(image()), plain(image()), strict=True):
        torch.testing.assert_close(ours, expected)


@torch.inference_mode()
def test_channel_attention_is_one_factor_a_channel_from_all_patches() -> None:
    """Patches in another order get the same factors; another image gets others."""
    embed = fusion().backbone.branches["vit"].patch_embed
    nn.init.normal_(embed.widen.weight)
    factors = embed(image()) / super(type(embed), embed).forward(image())
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-3, atol=1e-4)
    assert 0.0 < factors.min() < 0.9 < 1.1 < factors.max() < 2.0
    turned = image().roll(16, dims=3)
    again = embed(turned) / super(type(embed), embed).forward(turned)
    torch.testing.assert_close(again[:, 0], factors[:, 0], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(factors[0, 0], factors[1, 0], atol=1e-2)


@torch.inference_mode()
def test_the_cnn_branch_starts_from_imagenet() -> None:
    network = build(spec_of("acne_fusion", cnn="efficientnet_lite0", depth=1), pretrained=True)
    lite0 = timm.create_model("efficientnet_lite0", num_classes=0, bn_eps=1e-3).eval()
    load_pretrained(lite0, ARCHS["efficientnet_lite0"])
    torch.testing.assert_close(network.eval().backbone.branches["cnn"](image()), lite0(image()))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"cnn": "resnet18"}, "resnet18 has no pretrained weights"),
        ({"branches": "vit"}, "a transformer has no pretrained weights"),
    ],
)
def test_branches_without_weights_say_so(arguments: dict[str, object], why: str) -> None:
    with pytest.raises(MissingPackage, match=f"{why}.*--no-pretrained"):
        build(spec_of("acne_fusion", **arguments), pretrained=True)


@pytest.mark.parametrize(("branches", "features"), [("cnn", 1280), ("vit", 192), ("both", 1472)])
def test_each_branch_can_stand_alone(branches: str, features: int) -> None:
    network = fusion(branches=branches)
    assert network.heads[0].in_features == network.backbone.features == features
