"""DeepLabV3+ on a mobile backbone: a small network for masks of skin and lesions.

Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation, ECCV 2018. ReLU6 and ReLU only, no
squeeze-and-excitation: every layer has an integer kernel on each runtime.
"""

from __future__ import annotations

from typing import Any, cast

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin.errors import UnknownName
from edgeskin.models import Arch
from edgeskin.models.checked_arguments import Width, checked
from edgeskin.models.pretrained import load_pretrained
from edgeskin.spec import SegmentationHead, Spec

# The paper's 6, 12, 18 are for the 33 x 33 features of 513-pixel crops; 224 pixels give
# 14 x 14, where a reach of 18 would only meet padding.
RATES = (3, 6, 9)
BACKBONES = ("mobilenetv2_100", "efficientnet_lite0")
FINE, COARSE = 1, 4
"""Their stages at a stride of 4 and of 16."""


class DeepLabV3Plus(nn.Module):
    """Image float32 (N, 3, H, W) to logits (N, classes, H, W); H and W multiples of 16.

    Args:
        width: Channels of the pyramid and of the decoder; the paper's 256.
        low_level: Channels that the fine features are reduced to; the paper's 48.
        backbone: One of `BACKBONES`, by its name in timm.
        bn_eps: Of the backbone's batch norms.

    Raises:
        UnknownName: No such backbone.
    """

    def __init__(
        self,
        classes: int,
        width: int = 256,
        low_level: int = 48,
        backbone: str = "mobilenetv2_100",
        bn_eps: float = 1e-5,
    ):
        super().__init__()
        if backbone not in BACKBONES:
            raise UnknownName(f"no backbone '{backbone}'; there are {', '.join(BACKBONES)}")
        features: Any = timm.create_model(
            backbone,
            features_only=True,
            out_indices=(FINE, COARSE),
            output_stride=16,
            bn_eps=bn_eps,
        )
        fine, coarse = features.feature_info.channels()
        self.backbone = features
        self.pyramid = Pyramid(coarse, width)
        self.reduce = convolution(fine, low_level, 1)
        self.decoder = nn.Sequential(
            separable(width + low_level, width), separable(width, width), nn.Dropout(0.1)
        )
        self.logits = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.backbone(x)
        context = enlarge(self.pyramid(coarse), like=fine)
        merged = self.decoder(torch.cat([context, self.reduce(fine)], dim=1))
        return enlarge(self.logits(merged), like=x)


class Segmenter(nn.Module):
    """A network of one mask, as the heads of a spec want it: a tuple of one."""

    def __init__(self, network: DeepLabV3Plus):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.network(x),)


@checked
def segmenter(
    arch: Arch, spec: Spec, pretrained: bool, /, *, width: Width = 128, low_level: Width = 48
) -> nn.Module:
    """DeepLabV3+ on the backbone `arch.timm_name`; half the paper's width, for phones.

    Raises:
        UnknownName: The spec has other heads than one segmentation.
    """
    if [head.kind for head in spec.heads] != ["segmentation"]:
        heads = ", ".join(f"{head.name} ({head.kind})" for head in spec.heads)
        raise UnknownName(f"{arch.name} gives one segmentation head; the spec has {heads}")
    classes = len(cast(SegmentationHead, spec.heads[0]).labels)
    network = DeepLabV3Plus(classes, width, low_level, arch.timm_name, **arch.options)
    if pretrained:
        load_pretrained(network.backbone, arch)
    return Segmenter(network)


class Pyramid(nn.Module):
    """Features seen at several scales at once: 1 x 1, atrous 3 x 3, and the whole image."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.local = convolution(features, width, 1)
        self.atrous = nn.ModuleList(separable(features, width, rate) for rate in RATES)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), convolution(features, width, 1))
        self.project = convolution(width * (2 + len(RATES)), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        whole = enlarge(self.whole(x), like=x)
        return self.project(
            torch.cat([self.local(x), *(branch(x) for branch in self.atrous), whole], dim=1)
        )


def convolution(
    inputs: int, outputs: int, kernel: int, *, rate: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution that keeps the size, batch norm, ReLU."""
    padding = rate * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, 1, padding, rate, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def separable(inputs: int, outputs: int, rate: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution of each channel, `rate` pixels apart, then a 1 x 1 across them."""
    return nn.Sequential(
        convolution(inputs, inputs, 3, rate=rate, groups=inputs),
        convolution(inputs, outputs, 1),
    )


def enlarge(x: Tensor, *, like: Tensor) -> Tensor:
    """Bilinear to the height and width of `like`."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)
