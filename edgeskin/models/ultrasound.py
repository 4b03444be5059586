"""EfficientNetV2 for high-frequency ultrasound of the skin, after a published description.

"Deep learning-driven high-frequency ultrasound method for skin aging assessment": EfficientNetV2
with GELU and layer normalisation, a global-aware temporal hierarchical network, a dual
enhancement attention and multi-scale path dropout. Its weights and its code are not public, and
nobody's weights of EfficientNetV2 come as a package: stages have the widths, depths and kernels
of EfficientNet-Lite0, whose ImageNet weights can start them (`lite0_start`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from edgeskin.models import Arch
from edgeskin.models.checked_arguments import Share, checked
from edgeskin.models.efficient_blocks import Activation, Bottleneck, Norm, StageConfig, Style
from edgeskin.models.linear_heads import MultiHead, raw_sizes
from edgeskin.models.lite0_start import start_from_lite0
from edgeskin.models.multi_scale import DoubleAttention, ScaleSequence
from edgeskin.spec import Spec

Attention = Literal["double", "squeeze", "none"]
STAGES = (
    StageConfig(16, 1, kernel=3, stride=1, expansion=1, fused=True),
    StageConfig(24, 2, kernel=3, stride=2, fused=True),
    StageConfig(40, 2, kernel=5, stride=2, fused=True),
    StageConfig(80, 3, kernel=3, stride=2),
    StageConfig(112, 3, kernel=5, stride=1),
    StageConfig(192, 4, kernel=5, stride=2),
    StageConfig(320, 1, kernel=3, stride=1),
)
STEM, HEAD, STATE = 32, 1280, 64


class UltrasoundFeatures(nn.Module):
    """Image float32 (N, 3, H, W) to features (N, head); H and W multiples of 32.

    Args:
        stages: Their strides make 32 with the stem's 2; the last stage of each size is a scale.
        stem, head: Channels of the first and the last convolution.
        state: Channels of the sequence of scales.
        attention: `squeeze`: squeeze-and-excitation in the later blocks; `double`: the dual
            enhancement attention on the last map, too.
        path_dropout: Share of the images for which the last block or a scale is left out;
            less, the earlier the block.
    """

    def __init__(
        self,
        style: Style,
        *,
        stages: Sequence[StageConfig] = STAGES,
        stem: int = STEM,
        head: int = HEAD,
        state: int = STATE,
        hierarchy: bool = True,
        attention: Attention = "double",
        path_dropout: float = 0.1,
    ):
        super().__init__()
        self.stem = style.layer(3, stem, 3, 2)
        self.stages = nn.ModuleList(
            _stages(stages, stem, style, path_dropout, squeeze=attention != "none")
        )
        self.ends = _ends(stages)
        widths = [stages[index].width for index in self.ends]
        self.hierarchy = ScaleSequence(widths, style, state, path_dropout) if hierarchy else None
        self.attention = (
            DoubleAttention(widths[-1], style) if attention == "double" else nn.Identity()
        )
        self.head = style.layer(widths[-1], head)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        last = maps[-1] if self.hierarchy is None else self.hierarchy(maps)
        return self.head(self.attention(last)).mean((2, 3))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The last map of each size, at strides 4, 8, 16 and 32."""
        x = self.stem(x)
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.ends:
                maps.append(x)
        return maps


def _stages(
    stages: Sequence[StageConfig], inputs: int, style: Style, path_dropout: float, *, squeeze: bool
) -> list[nn.Sequential]:
    """Blocks in order; path dropout grows from 0 to `path_dropout` with depth."""
    rates = iter(torch.linspace(0, path_dropout, sum(stage.blocks for stage in stages)).tolist())
    made = []
    for stage in stages:
        blocks = []
        for index in range(stage.blocks):
            stride = 1 if index else stage.stride
            blocks.append(
                Bottleneck(inputs, stage, stride, style, squeeze=squeeze, path_dropout=next(rates))
            )
            inputs = stage.width
        made.append(nn.Sequential(*blocks))
    return made


def _ends(stages: Sequence[StageConfig]) -> tuple[int, ...]:
    """Indices of the stages whose map is the last of its size, from a stride of 4 on."""
    strides = [2]
    for stage in stages:
        strides.append(strides[-1] * stage.stride)
    after = strides[1:]
    return tuple(
        index
        for index, stride in enumerate(after)
        if stride >= 4 and stride not in after[index + 1 :]
    )


@checked
def ultrasound_v2(
    arch: Arch,
    spec: Spec,
    pretrained: bool,
    /,
    *,
    norm: Norm = "layer",
    activation: Activation = "gelu",
    hierarchy: bool = True,
    attention: Attention = "double",
    path_dropout: Share = 0.1,
    dropout: Share = 0.2,
) -> nn.Module:
    """The network with the spec's heads; each added part can be switched off."""
    features = UltrasoundFeatures(
        Style(norm, activation),
        hierarchy=hierarchy,
        attention=attention,
        path_dropout=path_dropout,
    )
    if pretrained:
        start_from_lite0(features, arch)
    return MultiHead(features, HEAD, raw_sizes(spec), dropout)
