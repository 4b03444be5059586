"""A network small enough to convert in a second, with one head of every kind."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from samples import acne_spec
from torch import Tensor, nn

from edgeskin.artifacts import Io, Metadata, Precision
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.models.run import Run
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    InputSpec,
    RegressionHead,
    SegmentationHead,
    Spec,
)

LABELS = ("none", "some", "many")


class Tiny(nn.Module):
    """Convolutions with batch norm, a depthwise one and a residual, 40 x 48 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.pixels = nn.Conv2d(16, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.heads = nn.ModuleList(nn.Linear(16, size) for size in (3, 9, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        x = x + self.depthwise(x)
        features = self.pool(x).flatten(1)
        return (*(4.0 * head(features) for head in self.heads), self.pixels(x))


def tiny_spec(**changes: object) -> Spec:
    return acne_spec(
        **{
            "name": "tiny",
            "input": InputSpec(
                height=40, width=48, resize="squash", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)
            ),
            "heads": (
                ClassificationHead(name="severity", labels=LABELS),
                DistributionHead(name="count", first=1, size=9, unit="lesions"),
                RegressionHead(name="area", unit="mm2", scale=10.0, offset=5.0),
                SegmentationHead(name="mask", labels=("skin", "lesion")),
            ),
        }
        | changes
    )


@cache
def network(precision: str) -> nn.Module:
    """The tiny network; for int8, calibrated to the images that the self-check runs."""
    torch.manual_seed(0)
    tiny = Tiny()
    with torch.no_grad():  # batch norms as after training, so that folding them matters
        for norm in (tiny.stem[1], tiny.depthwise[1]):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.5, 1.5)
    if precision != "int8":
        return tiny.eval()
    spec = tiny_spec()
    return calibrate_network(tiny.eval(), spec, images(spec.input), method="minmax").module


def float_run(changed: float = 1.0) -> Run:
    """The float network as a run; `changed` scales the weights of its first head."""
    twin: Any = copy.deepcopy(network("fp32"))
    with torch.no_grad():
        twin.heads[0].weight.mul_(changed)
    return Run(tiny_spec(), twin.eval())


def tiny_job(precision: Precision, io: Io = "app", **changes: object) -> Job:
    return Job(network(precision), Metadata(tiny_spec(**changes), io, precision))
