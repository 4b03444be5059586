"""Depthwise convolutions in bands of rows: the same function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_network import tiny_spec
from torch import Tensor, nn

from edgeskin.artifacts import Metadata, Precision
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.graphs import CONVOLUTION, attribute, bias_of
from edgeskin.calibration.rewrites import export
from edgeskin.converters import selfcheck
from edgeskin.converters.audit import verdict
from edgeskin.converters.legalize.tflite.wide_kernels import MOST_TAPS, split_wide_kernels
from edgeskin.converters.model import Job
from edgeskin.converters.parity.gates import _other_program
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.converters.parity.reference import of_network
from edgeskin.converters.selfcheck import images
from edgeskin.formats import FORMATS, read_network
from edgeskin.spec import ClassificationHead

X = torch.randn(1, 6, 15, 13, generator=torch.Generator().manual_seed(0))


class Depthwise(nn.Module):
    def __init__(self, rows: int, columns: int, **options: object):
        super().__init__()
        torch.manual_seed(1)
        settings = {"padding": (rows // 2, columns // 2), "groups": 6, **options}
        self.layer = nn.Conv2d(6, 6, (rows, columns), **settings)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.parametrize(
    ("bands", "network"),
    [
        (3, Depthwise(7, 7)),
        (3, Depthwise(7, 7, stride=2, bias=False)),
        (3, Depthwise(7, 7, padding=(0, 3))),
        (5, Depthwise(9, 9, stride=(2, 1))),
        (1, Depthwise(5, 5)),
        (1, Depthwise(7, 7, dilation=2)),
        (1, Depthwise(7, 7, groups=1)),
        (1, Depthwise(3, 27)),
    ],
)
def test_bands_of_rows_are_the_layer(bands: int, network: nn.Module) -> None:
    graph = export(network.eval(), X)
    assert split_wide_kernels(graph) == (bands > 1)
    layers = graph.graph.find_nodes(op="call_function", target=CONVOLUTION)
    assert len(layers) == bands
    assert sum(bias_of(layer) is not None for layer in layers) == (network.layer.bias is not None)
    with torch.no_grad():
        torch.testing.assert_close(graph(X), network(X), rtol=1e-5, atol=1e-5)
        for layer in layers if bands > 1 else []:
            assert attribute(graph, layer.args[1])[0].numel() <= MOST_TAPS


def test_one_behind_another_and_a_lone_image() -> None:
    network = nn.Sequential(Depthwise(7, 7), Depthwise(9, 9)).eval()
    for x in (X, X[0]):
        graph = export(network, x)
        assert split_wide_kernels(graph)
        with torch.no_grad():
            torch.testing.assert_close(graph(x), network(x), rtol=1e-5, atol=1e-5)


class Classifier(nn.Module):
    """A wide depthwise convolution between two plain ones."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.stem, self.wide = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.last, self.label = nn.Conv2d(8, 8, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = self.last(self.wide(self.stem(x).relu()).relu())
        return (self.label(x.mean((2, 3))),)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_tflite_file_has_bands_and_is_held_to_its_program(
    precision: Precision, tmp_path: Path
) -> None:
    head = ClassificationHead(name="label", labels=("none", "some", "many"))
    spec = tiny_spec(heads=(head,))
    network: nn.Module = Classifier().eval()
    record = {"scheme": "w8a8"}
    if precision == "int8":
        program = calibrate_network(network, spec, images(spec.input), method="minmax")
        network, record = program.module, {"scheme": "w8a8", **program.calibration.to_json()}
    given = Job(network, Metadata(spec, "tensor", precision))
    made = FORMATS["tflite"].convert(given, tmp_path / "wide.tflite")
    assert made is not given
    verdict.check(given, tmp_path / "wide.tflite", record, made)
    if precision == "int8":
        reference = of_network("wide", spec, network, "")
        with OpenedFile(tmp_path / "wide.tflite") as file:
            assert _other_program(file, reference) == []
    assert (selfcheck.measure(given, tmp_path / "wide.tflite").sqnr_db or 999) > 50
    kernels = depthwise(tmp_path / "wide.tflite")
    assert sorted(kernels) == [(1, 1, 7, 8), (1, 3, 7, 8), (1, 3, 7, 8)]
    portable = replace(given, portable=True)
    assert FORMATS["tflite"].convert(portable, tmp_path / "whole.tflite") is portable
    assert depthwise(tmp_path / "whole.tflite") == [(1, 7, 7, 8)]


def depthwise(path: Path) -> list[tuple[int, ...]]:
    """The shapes of the kernels of a TFLite file's depthwise convolutions."""
    network = read_network(path)
    layers = [op for op in network.operators if op.type == "DEPTHWISE_CONV_2D"]
    return [network.tensors[op.operands[1]].shape for op in layers]
