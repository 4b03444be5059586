"""What the ultrasound network has beyond EfficientNetV2: scales in a sequence, and attention.

The publication names a "global-aware temporal hierarchical network" and a "dual enhancement
attention" of parallel channel and spatial attention and squeeze-and-excitation, without
formulas in its abstract. These are our readings of both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin.models.efficient_blocks import SqueezeExcitation, Style, zeros


class ScaleSequence(nn.Module):
    """Our reading of the global-aware temporal hierarchical network.

    - hierarchical: the maps of all scales, fine to coarse, as means on the coarsest grid;
    - temporal: they are the steps of a sequence, read by one gated recurrent cell, the same
      at every step (a convolutional gated unit: Cho et al., EMNLP 2014; Ballas et al., ICLR 2016);
    - global-aware: the cell sees, beside a place of the map and the state there, the mean of
      the whole map.

    The finest map is the first state. The last state is added to the coarsest map, by a layer
    that begins with zeros. Training leaves single scales out (`path_dropout`, the multi-scale
    path dropout).

    Args:
        widths: Channels of the maps, fine to coarse; each map is half the size of the last.
        state: Channels of the state.
    """

    def __init__(self, widths: Sequence[int], style: Style, state: int, path_dropout: float):
        super().__init__()
        steps = reversed(range(len(widths)))
        self.means = nn.ModuleList(
            nn.Sequential(*(Halved(width) for _ in range(count)))
            for width, count in zip(widths, steps, strict=True)
        )
        self.enter = nn.ModuleList(style.layer(width, state) for width in widths)
        self.update = _Seen(state)
        self.candidate = _Seen(state)
        self.active = style.active()
        self.drop_path = DropPath(path_dropout)
        self.leave = zeros(nn.Conv2d(state, widths[-1], 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (N, width, H, W), fine to coarse; returns the coarsest with the others in it."""
        state, *others = (
            enter(mean(scale))
            for enter, mean, scale in zip(self.enter, self.means, maps, strict=True)
        )
        for x in others:
            state = self._step(x, state)
        return maps[-1] + self.leave(state)

    def _step(self, x: Tensor, state: Tensor) -> Tensor:
        change = self.active(self.candidate(x, state)) - state
        return state + self.drop_path(self.update(x, state).sigmoid() * change)


class Halved(nn.Module):
    """Means of 2 x 2 values, as a depthwise convolution whose weights are fixed.

    LiteRT's converter gives the result of a pool and the map that it reads one scale, and
    refuses a map that has another scale for the next stage.
    """

    weight: Tensor

    def __init__(self, channels: int):
        super().__init__()
        weight = torch.full((channels, 1, 2, 2), 0.25)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, stride=2, groups=self.weight.shape[0])


class _Seen(nn.Module):
    """One convolution on a place of the map, the state there, and the mean of the whole map.

    As a sum of two: litert-torch cannot concatenate what is the same at every place.
    """

    def __init__(self, state: int):
        super().__init__()
        self.place = nn.Conv2d(2 * state, state, 1)
        self.whole = nn.Conv2d(state, state, 1, bias=False)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        whole = self.whole(x.mean((2, 3), keepdim=True))
        return self.place(torch.cat([x, state], dim=1)) + whole


class DoubleAttention(nn.Module):
    """Our reading of the dual enhancement attention: two weights for each value, then channels.

    First channel and spatial attention side by side, their weights added (concurrent
    squeeze and excitation: Roy, Navab and Wachinger, MICCAI 2018), then squeeze-and-excitation.
    Each begins as 1.
    """

    def __init__(self, channels: int, style: Style):
        super().__init__()
        squeezed = max(8, channels // 16)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1),
            style.active(),
            zeros(nn.Conv2d(squeezed, channels, 1)),
        )
        self.spatial = zeros(nn.Conv2d(channels, 1, 1))
        self.squeeze = SqueezeExcitation(channels, squeezed, style)

    def forward(self, x: Tensor) -> Tensor:
        channels = self.channel(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.squeeze(x * (channels + self.spatial(x).sigmoid()))
