"""Values inside a network against the end of float16."""

from __future__ import annotations

import math
from pathlib import Path

import model_files
import pytest
import torch
from torch import Tensor, nn

import edgeskin
from edgeskin.artifacts import Metadata
from edgeskin.calibration.rewrites import export
from edgeskin.converters.audit.float16 import largest_values, measure
from edgeskin.converters.audit.scales import against_float16
from edgeskin.errors import ShapeMismatch


class Growing(nn.Module):
    """30000 x, cut off below 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1, groups=3)
        with torch.no_grad():
            self.layer.weight.fill_(30_000.0)
            self.layer.bias.zero_()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.layer(x).relu(),)


def test_the_largest_value_of_all_inputs() -> None:
    inputs = [torch.full((1, 3, 2, 2), value) for value in (0.5, -3.0, 2.0)]
    found = largest_values(export(Growing(), inputs[0]), inputs)
    assert [(layer.type, layer.largest) for layer in found] == [
        ("conv2d", 90_000.0),
        ("relu", 60_000.0),
    ]
    assert found[0].name == "layer"
    said = against_float16(found, by="images")
    assert (said.largest, said.beyond) == (90_000.0, 1)
    assert said.headroom == pytest.approx(65504 / 90_000)


def test_nan_counts_as_beyond() -> None:
    inputs = [torch.full((1, 3, 2, 2), math.nan)]
    said = against_float16(largest_values(export(Growing(), inputs[0]), inputs), by="images")
    assert (said.largest, said.headroom, said.beyond) == (math.inf, 0.0, 2)


@pytest.mark.slow
def test_a_run_beside_a_file_of_another_tool(
    tiny_run: Path, phantom_set: Path, tmp_path: Path
) -> None:
    path = model_files.tflite(tmp_path / "hand.tflite")
    seen: list[tuple[int, int]] = []
    document = edgeskin.inspect(
        path, reference=tiny_run, data=phantom_set, progress=lambda what, i, n: seen.append((i, n))
    )
    found = document.float16
    assert (found.by, found.run, found.images) == ("images", "tiny", 16)
    assert seen[-1] == (16, 16)
    assert found.layers is not None
    assert found.largest == found.layers[0].largest > 0
    assert {"conv2d", "add", "linear"} <= {layer.type for layer in found.layers}


def test_a_file_of_another_model(
    tiny_run: Path, phantom_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_network import tiny_spec

    from edgeskin.converters.audit import float16

    said = Metadata(tiny_spec(), "app", "fp16")
    monkeypatch.setattr(float16, "read_metadata", lambda path: said)
    with pytest.raises(
        ShapeMismatch, match="was made from 'tiny' and the reference is 'acne-test'"
    ):
        measure(tmp_path / "x.onnx", tiny_run, phantom_set)
