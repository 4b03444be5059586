"""One program, three files, the same scales: read out of each file and compared.

An operator is known by what surrounds it: the scales and zero points of its
inputs, of its weights (one a channel) and of its output. The program's own are
read from its graph, independently of the audit's readers.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_network import tiny_spec
from torch import Tensor, fx, nn
from torch.nn import functional as F

from edgeskin.artifacts import Metadata
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.graphs import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE, aten, attribute
from edgeskin.calibration.program import Program
from edgeskin.calibration.rewrites import flatten
from edgeskin.calibration.trainable import settled, trainable
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.formats import FORMATS, read_network
from edgeskin.formats.network import Network, Operator, Quantization
from edgeskin.formats.network import Tensor as Stored

pytestmark = pytest.mark.slow
Pair = tuple[float, int]
Row = tuple[str, tuple[Pair, ...], tuple[float, ...], Pair]

KINDS = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "Conv", "conv", aten.conv2d.default), "conv"),
    **dict.fromkeys(("FULLY_CONNECTED", "Gemm", "linear", aten.linear.default), "linear"),
    **dict.fromkeys(("ADD", "Add", "add", aten.add.Tensor), "add"),
    **dict.fromkeys(("MUL", "Mul", "mul", aten.mul.Tensor), "mul"),
    **dict.fromkeys(("CONCATENATION", "Concat", "concat", aten.cat.default), "concat"),
    **dict.fromkeys(("LOGISTIC", "Sigmoid", "sigmoid", aten.sigmoid.default), "sigmoid"),
    **dict.fromkeys(
        ("MEAN", "ReduceMean", "GlobalAveragePool", "reduce_mean", aten.mean.dim), "mean"
    ),
    **dict.fromkeys(("MAX_POOL_2D", "MaxPool", "max_pool", aten.max_pool2d.default), "max pool"),
    **dict.fromkeys(
        ("AVERAGE_POOL_2D", "AveragePool", "avg_pool", aten.avg_pool2d.default), "average pool"
    ),
}


class Patterns(nn.Module):
    """conv + batch norm + hard-swish, squeeze-and-excitation, residual, concat, SiLU, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_bn = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.depth, self.depth_bn = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8)
        self.reduce, self.expand = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.project, self.last = nn.Conv2d(8, 8, 1), nn.Conv2d(16, 16, 1)
        self.heads = nn.ModuleList((nn.Linear(16, 3), nn.Linear(16, 9)))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = F.hardswish(self.stem_bn(self.stem(x)))
        y = F.relu6(self.depth_bn(self.depth(x)))
        gate = F.hardsigmoid(self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(y, 1)))))
        x = x + self.project(y * gate)
        x = torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(x, 2)], dim=1)
        x = F.silu(self.last(x)).mean((2, 3))
        return tuple(head(x) for head in self.heads)


@pytest.fixture(scope="module", params=["calibrated", "trained"])
def program(request: pytest.FixtureRequest) -> fx.GraphModule:
    """After calibration, or after a few steps of QAT with learned ranges on top."""
    torch.manual_seed(4)
    network = Patterns()
    for _ in range(10):  # batch-norm statistics that are not the initial ones
        network(torch.randn(8, 3, 40, 48))
    spec = _spec()
    made = calibrate_network(network.eval(), spec, images(spec.input), method="minmax")
    return made.module if request.param == "calibrated" else trained(made, network)


def trained(program: Program, network: nn.Module) -> fx.GraphModule:
    """Three steps towards outputs of zero, which move most scales."""
    module = trainable(program, flatten(network, program.example()), learned=True)
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        loss = sum(out.square().mean() for out in module(torch.randn(8, 3, 40, 48)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
    made = settled(module, program)
    before, after = (set(rows_of_program(graph)) for graph in (program.module, made))
    assert len(before & after) < len(after) / 2
    return made


def _spec() -> Any:
    spec = tiny_spec()
    return spec.model_copy(update={"heads": spec.heads[:2]})


@pytest.mark.parametrize("target", FORMATS)
def test_scales_are_the_programs(target: str, program: fx.GraphModule, tmp_path: Path) -> None:
    path = tmp_path / f"patterns{FORMATS[target].suffix}"
    FORMATS[target].convert(Job(program, Metadata(_spec(), "tensor", "int8")), path)
    found = Counter(rows_of_file(read_network(path)))
    expected = Counter(rows_of_program(program))
    assert len(expected) >= 20
    assert found == expected


def rows_of_file(network: Network) -> list[Row]:
    """What surrounds each integer operator of a file."""
    rows = []
    for op in network.operators:
        if op.type in KINDS and network.is_integer(op):
            weight = op.operands[1] if op.operands else None
            given = [name for name in op.inputs if name != weight]
            data = [network.stored(name) for name in given if name in network.tensors]
            pairs = [pair(t) for t in data if t.quantization and t.dtype in ("int8", "uint8")]
            scales = channels(network.stored(weight)) if weight else ()
            rows.append((KINDS[op.type], tuple(sorted(pairs)), scales, pair(_made(op, network))))
    return rows


def _made(op: Operator, network: Network) -> Stored:
    """The integer tensor that an operator's output becomes."""
    tensor = network.tensors[op.outputs[0]]
    while not tensor.quantization:
        tensor = network.tensors[network.consumers[tensor.name][0].outputs[0]]
    return tensor


def pair(tensor: Stored) -> Pair:
    """Scale and zero point as those of int8: uint8 is int8 + 128."""
    assert isinstance(tensor.quantization, Quantization)
    ((scale,), (zero,)) = tensor.quantization.scale, tensor.quantization.zero_point
    return scale, zero - (128 if tensor.dtype == "uint8" else 0)


def channels(weight: Stored) -> tuple[float, ...]:
    assert weight.quantization is not None
    assert weight.dtype == "int8"
    assert set(weight.quantization.zero_point) == {0}
    scales = weight.quantization.scale
    half = len(scales) // 2  # a widened stem gives two pixels at once, each with all channels
    return scales[:half] if scales[:half] == scales[half:] else scales


def rows_of_program(graph: fx.GraphModule) -> list[Row]:
    """What surrounds each operator of a program between dequantize and quantize."""
    rows = []
    for node in graph.graph.nodes:
        inputs = [n for n in node.all_input_nodes if n.target in (DEQUANTIZE, DEQUANTIZE_CHANNELS)]
        quantized = _quantized(node)
        if node.target in KINDS and inputs and quantized is not None:
            data = [n for n in inputs if n.target is DEQUANTIZE]
            weights = [n for n in inputs if n.target is DEQUANTIZE_CHANNELS]
            scales = [s for n in weights for s in attribute(graph, n.args[1]).tolist()]
            pairs = sorted((n.args[1], n.args[2]) for n in data)
            made = (quantized.args[1], quantized.args[2])
            rows.append((KINDS[node.target], tuple(pairs), tuple(scales), made))
    return rows


def _quantized(node: fx.Node) -> fx.Node | None:
    """The quantize step behind a node, through its fused activation."""
    for user in node.users:
        if user.target is QUANTIZE:
            return user
        if user.target in (aten.relu.default, aten.clamp.default):
            return _quantized(user)
    return None
