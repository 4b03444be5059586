"""A small network with every pattern that matters, 32 x 32 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 32


class SmallNet(nn.Module):
    """conv+bn+act, depthwise, squeeze-and-excitation, residual, concat, pooling, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_bn = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.depth, self.depth_bn = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8)
        self.reduce, self.expand = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.project = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(16, 16, 1)
        self.severity, self.count = nn.Linear(16, 4), nn.Linear(16, 65)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.hardswish(self.stem_bn(self.stem(x)))
        y = F.relu6(self.depth_bn(self.depth(x)))
        gate = F.hardsigmoid(self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(y, 1)))))
        x = x + self.project(y * gate)
        x = torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(x, 2)], dim=1)
        x = F.silu(self.last(x)).mean((2, 3))
        return self.severity(x), self.count(x)


def make_network() -> SmallNet:
    torch.manual_seed(3)
    made = SmallNet().train()
    for _ in range(10):  # batch-norm statistics that are not the initial ones
        made(torch.randn(8, 3, SIZE, SIZE))
    return made.eval()
