"""A network with the heads of `acne_spec` that trains, calibrates and converts in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from samples import acne_spec
from torch import Tensor, nn

from edgeskin.data.manifest import load_split
from edgeskin.models.app_model import AppModel
from edgeskin.models.architectures import build
from edgeskin.models.run import save_run

ARCH = "acne_network:AcneNetwork"
"""As a spec names it; `conftest.py` has it trusted."""


class AcneNetwork(nn.Module):
    """An inverted residual between two convolutions; a linear layer for each head."""

    def __init__(self, sizes: tuple[int, ...] = (4, 65), width: int = 16):
        super().__init__()

        def layer(inputs: int, outputs: int, kernel: int, **how: int) -> list[nn.Module]:
            conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **how)
            return [conv, nn.BatchNorm2d(outputs)]

        wide = 4 * width
        self.stem = nn.Sequential(*layer(3, width, 3, stride=2), nn.ReLU6())
        self.block = nn.Sequential(
            *layer(width, wide, 1), nn.ReLU6(), *layer(wide, wide, 3, groups=wide), nn.ReLU6(),
            *layer(wide, width, 1),
        )  # fmt: skip
        self.last = nn.Sequential(*layer(width, wide, 3, stride=2), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.heads = nn.ModuleList(nn.Linear(wide, size) for size in sizes)

    def backbone(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return cast(Tensor, self.pool(self.last(x + self.block(x)))).flatten(1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.backbone(x)
        return tuple(head(x) for head in self.heads)


def make_run(folder: Path, data: Path, seed: int, **changes: object) -> Path:
    """An untrained run whose answers differ from image to image as a trained one's do."""
    torch.manual_seed(seed)
    spec = acne_spec(arch=ARCH, **changes)
    network = build(spec)
    pixels = torch.from_numpy(load_split(data, "train").pixels(spec.input))
    _enliven(network.network, AppModel(network, spec).normalize(pixels))  # type: ignore[arg-type]
    save_run(folder, spec, network)
    return folder


def _enliven(network: AcneNetwork, x: Tensor) -> None:
    """Batch norms as after training; logits of mean 0 and deviation 2 over the images `x`."""
    with torch.no_grad():
        network.train()
        for _ in range(30):
            network.backbone(x)
        network.eval()
        features = network.backbone(x)
        for head in network.heads:
            logits = head(features)
            scale = 2.0 / logits.std(dim=0)
            head.weight.mul_(scale[:, None])
            head.bias.sub_(logits.mean(dim=0)).mul_(scale)
