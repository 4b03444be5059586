"""A small network whose heads are labels by themselves, embeddings and tensors of every rank."""

from __future__ import annotations

import torch
from samples import acne_spec
from torch import Tensor, nn

from edgeskin.spec import ClassificationHead, EmbeddingHead, InputSpec, Spec, TensorHead

SIGNS = ("redness", "dryness", "spots")
HEIGHT, WIDTH = 20, 24


class ManyHeads(nn.Module):
    """Convolutions over 40 x 48 pixels, and an output of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.maps = nn.Conv2d(16, 5, 1)
        self.heads = nn.ModuleList(nn.Linear(16, size) for size in (3, 8, 6, 1, 10))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        maps, features = self.maps(x), x.mean((2, 3))
        signs, face, plain, age, points = (4.0 * head(features) for head in self.heads)
        return signs, face, plain, age[:, 0], points.reshape(-1, 5, 2), maps[:, 0], maps


def make_many_heads() -> nn.Module:
    torch.manual_seed(0)
    return ManyHeads().eval()


def many_heads_spec(**changes: object) -> Spec:
    return acne_spec(
        **{
            "name": "many-heads",
            "task": "benchmark",
            "arch": "head_kinds:make_many_heads",
            "input": InputSpec(
                height=40, width=48, resize="squash", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)
            ),
            "heads": (
                ClassificationHead(name="signs", labels=SIGNS, activation="sigmoid"),
                EmbeddingHead(name="face", size=8, normalize="l2"),
                EmbeddingHead(name="plain", size=6),
                TensorHead(name="age", shape=(), unit="years"),
                TensorHead(name="points", shape=(5, 2), unit="px", axes=("point", "xy")),
                TensorHead(name="depth", shape=(HEIGHT, WIDTH), unit="m"),
                TensorHead(name="maps", shape=(5, HEIGHT, WIDTH)),
            ),
        }
        | changes
    )
