"""Our own networks, small enough to convert in seconds, with every kind of part they have."""

from __future__ import annotations

from functools import cache

import torch
from samples import acne_spec
from torch import nn

from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.program import Program
from edgeskin.converters.selfcheck import images
from edgeskin.models import MEAN, STD
from edgeskin.models.architectures import build
from edgeskin.models.efficient_blocks import StageConfig, Style
from edgeskin.models.linear_heads import MultiHead, raw_sizes
from edgeskin.models.ultrasound import UltrasoundFeatures
from edgeskin.spec import InputSpec, SegmentationHead, Spec

MASK = (SegmentationHead(name="mask", labels=("lesion",), activation="sigmoid"),)
ULTRASOUND = (
    StageConfig(8, 1, kernel=3, stride=1, expansion=1, fused=True),
    StageConfig(8, 2, kernel=3, stride=2, expansion=2, fused=True),
    StageConfig(16, 2, kernel=5, stride=2, expansion=2, fused=True),
    StageConfig(16, 1, kernel=3, stride=2, expansion=2),
    StageConfig(24, 2, kernel=3, stride=2, expansion=2),
)
NETWORKS = ("deeplab_mobilenet_v2", "acne_fusion", "ultrasound_v2", "ultrasound_v2_batch")


def spec_of(arch: str, size: tuple[int, int] = (64, 96), **arguments: object) -> Spec:
    """Heads that the network gives, an image that is not square."""
    heads = {"heads": MASK} if arch.startswith("deeplab") else {}
    image = InputSpec(height=size[0], width=size[1], resize="squash", mean=MEAN, std=STD)
    return acne_spec(arch=arch, arch_args=arguments, input=image, **heads)


def small_ultrasound(style: Style) -> UltrasoundFeatures:
    return UltrasoundFeatures(style, stages=ULTRASOUND, stem=8, head=32, state=8)


@cache
def network(name: str) -> nn.Module:
    """As after training: parts that begin as zeros take part, batch norms have seen values."""
    torch.manual_seed(0)
    made = _small(name).train()
    for parameter in made.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        for _ in range(3):
            made(torch.randn(4, 3, 64, 96))
    return made.eval()


def _small(name: str) -> nn.Module:
    if name.startswith("ultrasound"):
        style = Style("batch", "relu6") if name.endswith("batch") else Style("layer", "gelu")
        return MultiHead(small_ultrasound(style), 32, raw_sizes(acne_spec()), 0.0)
    arguments = {"depth": 1} if name == "acne_fusion" else {"width": 16}
    return build(spec_of(name, **arguments))


@cache
def program(name: str) -> Program:
    """Quantized with the ranges of the images that the self-check runs."""
    spec = spec_of(name)
    return calibrate_network(network(name), spec, images(spec.input), method="minmax")
