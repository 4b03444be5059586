"""DeepLabV3+ on MobileNetV2: a small network for masks of skin and lesions.

Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation, ECCV 2018. ReLU6 and ReLU only, no
squeeze-and-excitation: every layer has an integer kernel on each runtime.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The paper's 6, 12, 18 are for the 33 x 33 features of 513-pixel crops; 224 pixels give
# 14 x 14, where a reach of 18 would only meet padding.
RATES = (3, 6, 9)
FINE, COARSE = 1, 4
"""MobileNetV2's stages at a stride of 4 and of 16."""


class DeepLabV3Plus(nn.Module):
    """Image float32 (N, 3, H, W) to logits (N, classes, H, W); H and W multiples of 16.

    Args:
        width: Channels of the pyramid and of the decoder; the paper's 256.
        low_level: Channels that the fine features are reduced to; the paper's 48.
    """

    def __init__(self, classes: int, width: int = 256, low_level: int = 48):
        super().__init__()
        backbone: Any = timm.create_model(
            "mobilenetv2_100", features_only=True, out_indices=(FINE, COARSE), output_stride=16
        )
        fine, coarse = backbone.feature_info.channels()
        self.backbone = backbone
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
