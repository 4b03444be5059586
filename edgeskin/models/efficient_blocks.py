"""The blocks of EfficientNetV2, with the normalisation and the activation of one's choice.

Tan and Le, EfficientNetV2: Smaller Models and Faster Training, ICML 2021. Early stages are
Fused-MBConv, where one full convolution stands for an expansion and a depthwise one; later
ones are MBConv, with squeeze-and-excitation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["layer", "batch"]
Activation = Literal["gelu", "relu6"]
EPSILON = 1e-3
"""Of the norms: TensorFlow's, which the published weights were trained with."""


@dataclass(frozen=True)
class StageConfig:
    """Blocks of one width, the first of them with the stride."""

    width: int
    blocks: int
    kernel: int
    stride: int
    expansion: int = 6
    fused: bool = False


@dataclass(frozen=True)
class Style:
    """What all layers of a network have in common."""

    norm: Norm = "layer"
    activation: Activation = "gelu"

    def layer(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        active: bool = True,
    ) -> nn.Sequential:
        """Convolution, norm, and the activation (nothing where it is not `active`)."""
        layered = self.norm == "layer"
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=layered),
            LayerNorm(outputs) if layered else nn.BatchNorm2d(outputs, EPSILON),
            self.active() if active else nn.Identity(),
        )

    def active(self) -> nn.Module:
        """The activation; GELU by Hendrycks and Gimpel, 2016."""
        return nn.GELU() if self.activation == "gelu" else nn.ReLU6()


class LayerNorm(nn.Module):
    """Layer normalisation of maps (N, C, H, W): all values of an image have one mean and variance.

    Ba, Kiros and Hinton, 2016, who normalise over all units of a layer. A factor and an offset
    for each channel follow.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[1:], eps=EPSILON) * self.weight + self.bias


class SqueezeExcitation(nn.Module):
    """Channels weighed by what the whole map holds: a factor of 0 to 2 for each.

    Hu, Shen and Sun, CVPR 2018. Twice a sigmoid, so that it begins as 1 and pretrained
    features pass unchanged.
    """

    def __init__(self, channels: int, squeezed: int, style: Style):
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.active = style.active()
        self.widen = zeros(nn.Conv2d(squeezed, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        gate = self.widen(self.active(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * (2.0 * gate.sigmoid())


class Bottleneck(nn.Module):
    """(Fused-)MBConv: wider, a look around, a weight for each channel, narrow again.

    A shortcut leads around it where sizes agree; training leaves the rest out for
    `path_dropout` of the images (stochastic depth, Huang et al., ECCV 2016).
    """

    def __init__(
        self,
        inputs: int,
        stage: StageConfig,
        stride: int,
        style: Style,
        *,
        squeeze: bool = False,
        path_dropout: float = 0.0,
    ):
        super().__init__()
        hidden, kernel = inputs * stage.expansion, stage.kernel
        if stage.fused:
            self.spread = nn.Sequential(style.layer(inputs, hidden, kernel, stride))
        else:
            self.spread = nn.Sequential(
                style.layer(inputs, hidden),
                style.layer(hidden, hidden, kernel, stride, groups=hidden),
            )
        squeezes = squeeze and not stage.fused
        self.squeeze = SqueezeExcitation(hidden, inputs // 4, style) if squeezes else nn.Identity()
        self.project = style.layer(hidden, stage.width, active=False)
        self.shortcut = stride == 1 and inputs == stage.width
        self.drop_path = DropPath(path_dropout if self.shortcut else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.squeeze(self.spread(x)))
        return x + self.drop_path(y) if self.shortcut else y


def zeros(layer: nn.Conv2d) -> nn.Conv2d:
    """`layer`, giving zeros to begin with: what it is added to or weighs stays as it is."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
