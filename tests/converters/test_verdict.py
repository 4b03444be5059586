"""Conversions that are refused: a good file is spoiled, or a program is not what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from tiny_network import network, tiny_job, tiny_spec

from edgeskin.artifacts import Metadata
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.program import Program
from edgeskin.converters.audit import verdict
from edgeskin.converters.audit.describe import multiply_adds, summary
from edgeskin.converters.audit.examine import audit
from edgeskin.converters.audit.program_network import network as graph_network
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.errors import ConversionFailed
from edgeskin.formats import FORMATS

pytestmark = pytest.mark.slow
RECORD = {"scheme": "w8a8", "exclude": [], "float_operators": {}}
Convert = Callable[..., Path]
# As in test_audit.py: three convolutions on 20 x 24 pixels, heads from 16 features.
STEM, REST = 20 * 24 * 16 * 27, 20 * 24 * (16 * 9 + 2 * 16) + 16 * (3 + 9 + 1)


def node_of(model: Any, kind: str, index: int = 0) -> Any:
    return [node for node in model.graph.node if node.op_type == kind][index]


def initializer(model: Any, name: str) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def float_weight(model: Any) -> None:
    """The first dequantized weight becomes what it stands for."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    node = next(
        n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in stored
    )
    q, scale = (numpy_helper.to_array(stored[name]) for name in node.input[:2])
    values = q.astype(np.float32) * scale.reshape(-1, *[1] * (q.ndim - 1))
    model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    model.graph.node.remove(node)


def zero_scale(model: Any) -> None:
    stored = initializer(model, node_of(model, "QuantizeLinear").input[1])
    stored.CopyFrom(numpy_helper.from_array(np.array(0.0, np.float32), stored.name))


def zero_point_off_by_one(model: Any) -> None:
    made = {n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    node = next(
        n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in made
    )
    zero = numpy_helper.to_array(initializer(model, node.input[2]))
    other = numpy_helper.from_array((zero + 1).astype(zero.dtype), "other_zero")
    model.graph.initializer.append(other)
    node.input[2] = "other_zero"


def batch_norm(model: Any) -> None:
    conv = node_of(model, "Conv", 1)
    made, conv.output[0] = conv.output[0], "before_norm"
    names = ["gamma", "beta", "mean", "variance"]
    for name in names:
        one = numpy_helper.from_array(np.ones(16, np.float32), name)
        model.graph.initializer.append(one)
    at = list(model.graph.node).index(conv) + 1
    node = helper.make_node("BatchNormalization", ["before_norm", *names], [made])
    model.graph.node.insert(at, node)


def renamed_output(model: Any) -> None:
    old = model.graph.output[0].name
    model.graph.output[0].name = "grade"
    for node in model.graph.node:
        node.output[:] = ["grade" if name == old else name for name in node.output]


def swapped_sizes(model: Any) -> None:
    """Height and width of the input, as its file says them."""
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    sizes[2].dim_value, sizes[3].dim_value = sizes[3].dim_value, sizes[2].dim_value


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (float_weight, "1 weight tensors are float, 0 in its program"),
        (zero_scale, "1 of 1 scales are not above 0 and finite, as 0"),
        (zero_point_off_by_one, "dequantized with another scale or zero point"),
        (batch_norm, "1 batch norms are left behind a product"),
        (renamed_output, "its outputs are grade 1x3, .* its spec asks for severity 1x3"),
        (swapped_sizes, "its inputs are image 1x3x48x40, its spec asks for image 1x40x48x3"),
    ],
)
def test_a_spoiled_file(
    spoil: Callable[[Any], None],
    why: str,
    converted: Convert,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = converted("onnx", "int8", "tensor")
    job = tiny_job("int8", "tensor")
    verdict.check(job, good, RECORD)
    model = onnx.load(good)
    spoil(model)
    path = tmp_path / "spoiled.onnx"
    onnx.save(model, path)
    # Some would not even load: what the runtime says of them is another test's.
    from edgeskin.formats.network import Placement
    from edgeskin.formats.onnx import reader

    monkeypatch.setattr(reader, "place", lambda path, network: Placement("none"))
    with pytest.raises(ConversionFailed, match=f"spoiled.onnx is not what was asked: .*{why}"):
        verdict.check(job, path, RECORD)


def test_a_float_file_that_calls_itself_int8(converted: Convert) -> None:
    path = converted("onnx", "fp32", "tensor")
    with pytest.raises(ConversionFailed) as caught:
        verdict.check(tiny_job("int8", "tensor"), path, RECORD)
    assert "0.0 M of its multiply-adds are int8 x int8, 0.3 M in its program" in str(caught.value)
    assert "6 weight tensors are float, 0 in its program" in str(caught.value)


def test_a_float16_file_with_float32_weights(converted: Convert) -> None:
    path = converted("onnx", "fp32", "tensor")
    with pytest.raises(ConversionFailed, match=r"0.0 % of its weights are float16, 95 % expected"):
        verdict.check(tiny_job("fp16", "tensor"), path, {})


@pytest.fixture(scope="module")
def excluding() -> Program:
    """A program that leaves the stem in float: nearly half of the multiply-adds."""
    spec = tiny_spec()
    return calibrate_network(
        network("fp32"), spec, images(spec.input), method="minmax", exclude=["stem.*"]
    )


def test_the_share_of_a_program(excluding: Program) -> None:
    by_types = multiply_adds(graph_network(excluding.module)).by_types
    assert by_types == {"float32 x float32": STEM, "int8 x int8": REST}


def test_exclusions_must_be_named(excluding: Program, tmp_path: Path) -> None:
    job = Job(excluding.module, Metadata(tiny_spec(), "tensor", "int8"))
    path = tmp_path / "excluding.onnx"
    FORMATS["onnx"].convert(job, path)
    verdict.check(job, path, {"scheme": "w8a8", **excluding.calibration.to_json()})
    share = REST / (STEM + REST)
    with pytest.raises(ConversionFailed, match=f"only {100 * share:.1f} % of .* names no excl"):
        verdict.check(job, path, RECORD)


@pytest.mark.parametrize("scheme", ["w8", "w8a16"])
def test_schemes_with_other_products(scheme: str, tmp_path: Path) -> None:
    spec = tiny_spec()
    program = calibrate_network(
        network("fp32"), spec, images(spec.input), method="minmax", scheme=scheme
    )
    job = Job(program.module, Metadata(spec, "tensor", "int8"))
    path = tmp_path / f"{scheme}.onnx"
    FORMATS["onnx"].convert(job, path)
    verdict.check(job, path, {"scheme": scheme, **program.calibration.to_json()})


def test_the_summary_is_short(converted: Convert) -> None:
    found = summary(audit(converted("onnx", "int8")))
    assert found.multiply_adds.int8_share == 1.0
    assert found.weights["int8"].tensors == 6
    assert found.batch_norms == 0
    assert found.scales.oddities == {}
    assert found.constant_bytes > 0
    assert len(str(found.to_json())) < 4000


class _Cached(torch.nn.Module):
    """As timm's attention biases: what the first run in eval mode makes is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, 3, 1, 1))
        self.cache: dict[str, torch.Tensor] = {}

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        bias = self.cache.setdefault("bias", self.weight * 2)
        return ((x + bias).mean((2, 3)),)


def test_asking_a_network_for_its_shapes_leaves_nothing_fake_in_it() -> None:
    from torch._subclasses import FakeTensor

    from edgeskin.converters.audit.verdict import _output_shapes

    cached = _Cached().eval()
    job = replace(tiny_job("fp32"), network=cached)
    job = replace(job, metadata=replace(job.metadata, io="tensor"))
    assert _output_shapes(job) == [(1, 3)]
    assert not isinstance(cached.cache["bias"], FakeTensor)
    assert cached.cache["bias"].numpy().tolist() == (2 * np.ones((1, 3, 1, 1))).tolist()
