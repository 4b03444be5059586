"""Floors of float files: a sound one reaches them, one with a small mistake in it does not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from samples import SEVERITY, acne_spec
from torch import Tensor, nn

from edgeskin.artifacts import Metadata
from edgeskin.converters.model import Job
from edgeskin.converters.parity.floors import layer_db, rounding_db, whole_db
from edgeskin.converters.parity.reference import of_network
from edgeskin.converters.selfcheck import images, measure
from edgeskin.errors import ConversionFailed
from edgeskin.formats import FORMATS
from edgeskin.spec import ClassificationHead, InputSpec

SIZE = InputSpec(height=32, width=32, resize="squash", mean=(0.5,) * 3, std=(0.25,) * 3)
HEADS = (ClassificationHead(name="severity", labels=SEVERITY),)


class Patterns(nn.Module):
    """Hard-swish by its formula, and layer norm; their constants may be wrong."""

    def __init__(self, offset: float = 3.0, epsilon: float = 1e-6):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1)
        self.norm = nn.LayerNorm(16, eps=epsilon)
        self.head = nn.Linear(16, len(SEVERITY))
        self.offset = offset

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.first(x)
        x = self.second(x * (x + self.offset).clamp(0.0, 6.0) / 6.0)
        return (self.head(self.norm(x.permute(0, 2, 3, 1)).mean((1, 2))),)


class Plain(nn.Module):
    def __init__(self, slope: Tensor):
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.mean((2, 3)) @ self.slope,)


def spec() -> Any:
    return acne_spec(name="patterns", input=SIZE, heads=HEADS)


def file_of(network: nn.Module, target: str, folder: Path) -> Path:
    path = folder / f"patterns{FORMATS[target].suffix}"
    job = Job(network.eval(), Metadata(spec(), "tensor", "fp32"))
    FORMATS[target].convert(job, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "tflite"])
@pytest.mark.parametrize(
    "wrong", [{}, {"offset": 2.9}, {"epsilon": 1e-3}], ids=["sound", "hard-swish", "layer norm"]
)
def test_a_wrong_constant_is_refused_and_placed(
    wrong: dict[str, float], target: str, tmp_path: Path
) -> None:
    path = file_of(Patterns(**wrong), target, tmp_path)
    job = Job(Patterns().eval(), Metadata(spec(), "tensor", "fp32"))
    if not wrong:
        assert (measure(job, path).sqnr_db or math.inf) > 90.0
        return
    with pytest.raises(ConversionFailed, match=r"agrees to .* The first that differs: layer "):
        measure(job, path)


def test_a_floor_follows_from_the_rounding_of_the_network() -> None:
    """Sums of numbers that cancel lose in float32 what the floor then leaves out."""
    pixels = np.stack(images(SIZE))
    slope = torch.linspace(-3.0, 3.0, 3 * len(SEVERITY)).reshape(3, -1).sin()
    sound = of_network("sound", spec(), Plain(slope).eval(), "")
    assert 100.0 < (rounding_db(sound, pixels) or 0.0) < 200.0

    class Cancelling(Plain):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return ((x.mean((2, 3)) @ self.slope + 4096.0) - 4096.0,)

    cancelling = of_network("cancelling", spec(), Cancelling(slope).eval(), "")
    found = rounding_db(cancelling, pixels)
    assert found is not None
    assert found < 100.0
    assert whole_db("fp32", found) < whole_db("fp32", rounding_db(sound, pixels))


@pytest.mark.parametrize(
    ("precision", "rounding", "whole", "layer"),
    [
        ("fp32", 110.0, 75.0, 75.0),
        ("fp32", 170.0, 100.0, 100.0),
        ("fp32", 50.0, 40.0, 40.0),
        ("fp16", 110.0, 20.0, 20.0),
        ("fp16", 170.0, 30.0, 40.0),
        ("int8", None, 6.0, 10.0),
        ("fp32", None, 60.0, 60.0),
    ],
)
def test_floors(precision: str, rounding: float | None, whole: float, layer: float) -> None:
    assert whole_db(precision, rounding) == whole
    assert layer_db(precision, rounding, FORMATS["onnx"], of_program=False) == layer


def test_an_int8_layer_of_its_program() -> None:
    found = [layer_db("int8", None, FORMATS[f], of_program=True) for f in ("tflite", "coreml")]
    assert found == [25.0, 20.0]
