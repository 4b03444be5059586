"""Where the quantize steps stand, and what their scales are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn import functional as F
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from edgeskin.calibration.finalize import pin_ranges
from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    LAYERS,
    QUANTIZE,
    argument,
    aten,
    attribute,
    layers,
)
from edgeskin.calibration.program import Program
from edgeskin.calibration.quantizer import EdgeQuantizer
from edgeskin.calibration.rewrites import flatten
from edgeskin.calibration.schemes import SCHEMES
from edgeskin.errors import UnknownName
from edgeskin.metrics import sqnr_db

X = torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(2))


class Body(nn.Module):
    """A convolution, then `body(network, x, y)` with y its output."""

    def __init__(self, body: Any):
        super().__init__()
        torch.manual_seed(0)
        self.body = body
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.body(self, x, self.first(x)),)


def quantized(body: Any, scheme: str = "w8a8", exclude: tuple[str, ...] = ()) -> GraphModule:
    quantizer = EdgeQuantizer(SCHEMES[scheme], exclude)
    prepared = prepare_pt2e(flatten(Body(body).eval(), X), quantizer)
    prepared(X)
    graph = convert_pt2e(prepared)
    pin_ranges(graph)
    return graph


def find(graph: GraphModule, target: Any) -> Node:
    return next(node for node in graph.graph.nodes if node.target is target)


def scale_after(node: Node) -> tuple[float, int]:
    quantize = next(iter(node.users))
    assert quantize.target is QUANTIZE
    return argument(quantize, "scale"), argument(quantize, "zero_point")


@pytest.mark.parametrize(
    ("operator", "body"),
    [
        (aten.relu.default, lambda net, x, y: F.relu(y)),
        (aten.clamp.default, lambda net, x, y: F.relu6(y)),
        (aten.clamp.default, lambda net, x, y: F.hardtanh(y)),
        (aten.relu.default, lambda net, x, y: F.relu(y + 1.0)),
    ],
)
def test_only_the_output_of_a_fused_activation_is_quantized(operator: Any, body: Any) -> None:
    graph = quantized(body)
    activation = find(graph, operator)
    assert activation.args[0].target in (*LAYERS, aten.add.Tensor)
    assert [user.target for user in activation.users] == [QUANTIZE]


def test_an_activation_that_shares_its_layer_is_not_fused() -> None:
    graph = quantized(lambda net, x, y: F.relu(y) + y)
    assert find(graph, aten.relu.default).args[0].target is DEQUANTIZE


@pytest.mark.parametrize(
    ("operator", "body"),
    [
        (aten.max_pool2d.default, lambda net, x, y: net.second(F.max_pool2d(y, 2))),
        (aten.avg_pool2d.default, lambda net, x, y: net.second(F.avg_pool2d(y, 2))),
        (aten.permute.default, lambda net, x, y: y.permute(0, 2, 3, 1)),
        (aten.view.default, lambda net, x, y: y.flatten(1)),
        (
            aten.upsample_bilinear2d.vec,
            lambda net, x, y: F.interpolate(y, scale_factor=2.0, mode="bilinear"),
        ),
    ],
)
def test_moving_values_keeps_their_scale(operator: Any, body: Any) -> None:
    node = find(quantized(body), operator)
    assert node.args[0].args[1:3] == scale_after(node)


def test_concat_has_one_scale_for_all_its_inputs() -> None:
    node = find(quantized(lambda net, x, y: torch.cat([y, net.second(y) * 3], 1)), aten.cat.default)
    assert {source.args[1:3] for source in node.args[0]} == {scale_after(node)}


@pytest.mark.parametrize("operator", [aten.add.Tensor, aten.mul.Tensor])
def test_both_inputs_of_add_and_mul_are_quantized(operator: Any) -> None:
    node = find(quantized(lambda net, x, y: operator(y, net.second(y))), operator)
    assert [source.target for source in node.args] == [DEQUANTIZE, DEQUANTIZE]
    assert scale_after(node)


def test_a_number_becomes_an_exact_int8_constant() -> None:
    graph = quantized(lambda net, x, y: y + 3.0)
    constant = find(graph, aten.add.Tensor).args[1]
    integers, scale, zero_point = constant.args[:3]
    assert attribute(graph, integers).dtype is torch.int8
    value = scale * (attribute(graph, integers).item() - zero_point)
    assert value == pytest.approx(3.0, rel=1e-6)  # the end of its own range: float32 rounding


def test_mean_has_a_scale_of_its_own() -> None:
    node = find(quantized(lambda net, x, y: y.mean((2, 3))), aten.mean.dim)
    assert scale_after(node)[0] < node.args[0].args[1]  # a mean's range is the narrower one


def test_sigmoid_has_the_scale_that_tflite_demands() -> None:
    node = find(quantized(lambda net, x, y: y * y.sigmoid()), aten.sigmoid.default)
    assert scale_after(node) == (1 / 256, -128)


@pytest.mark.parametrize(
    ("operator", "body"),
    [
        (aten.gelu.default, lambda net, x, y: net.second(F.gelu(y))),
        (aten.softmax.int, lambda net, x, y: net.second(y.softmax(1))),
        (aten.layer_norm.default, lambda net, x, y: net.second(F.layer_norm(y, (6, 6)))),
        (aten.matmul.default, lambda net, x, y: net.second(y @ y)),
    ],
)
def test_the_rest_stays_float_between_quantized_layers(operator: Any, body: Any) -> None:
    node = find(quantized(body), operator)
    assert {source.target for source in node.all_input_nodes} == {DEQUANTIZE}
    (after,) = node.users
    assert after.target is QUANTIZE  # the input of the next convolution


def test_a_residual_stream_that_starts_in_float_stays_float() -> None:
    node = find(quantized(lambda net, x, y: F.gelu(y) + net.second(y)), aten.add.Tensor)
    assert [user.op for user in node.users] == ["output"]


def test_input_and_outputs_of_the_network_are_quantized(program: Program) -> None:
    nodes = list(program.module.graph.nodes)
    image = next(node for node in nodes if node.op == "placeholder")
    assert [user.target for user in image.users] == [QUANTIZE]
    assert {output.target for output in nodes[-1].args[0]} == {DEQUANTIZE}


def test_weights_are_symmetric_per_output_channel_and_use_the_whole_range(program: Program) -> None:
    for layer in layers(program.module):
        dequantize = layer.args[1]
        assert dequantize.target is DEQUANTIZE_CHANNELS
        integers, _, zero_points = (attribute(program.module, a) for a in dequantize.args[:3])
        assert integers.dtype is torch.int8
        assert not zero_points.any()
        # The largest weight of a channel is what its scale is made from; rounding that up to
        # float16 (by 1/1024 at most) moves 127 by less than half a step.
        assert (integers.flatten(1).abs().amax(1) == 127).all()


def test_the_symmetric_scheme_has_zero_point_0_throughout() -> None:
    graph = quantized(lambda net, x, y: net.second(F.relu(y)) + y, "w8a8_symmetric")
    steps = [node for node in graph.graph.nodes if node.target is QUANTIZE]
    assert steps
    assert {node.args[2] for node in steps} == {0}
    assert {node.args[3:5] for node in steps} == {(-127, 127)}


def test_weights_only_leaves_every_activation_in_float() -> None:
    graph = quantized(lambda net, x, y: net.second(F.relu(y)), "w8")
    targets = [node.target for node in graph.graph.nodes]
    assert QUANTIZE not in targets
    assert targets.count(DEQUANTIZE_CHANNELS) == 2


def test_w8a16_has_int16_activations() -> None:
    graph = quantized(lambda net, x, y: net.second(F.relu(y)), "w8a16")
    steps = [node for node in graph.graph.nodes if node.target is QUANTIZE]
    assert {(node.args[2], node.args[5]) for node in steps} == {(0, torch.int16)}
    # 16 bits: noise 2**-16 of the range, about 90 dB below it; the weights' 8 bits dominate.
    weights_only = quantized(lambda net, x, y: net.second(F.relu(y)), "w8")
    assert sqnr_db(*(g(X)[0].numpy() for g in (weights_only, graph))) > 70.0


def test_an_excluded_layer_stays_float_and_so_does_what_follows_it() -> None:
    graph = quantized(lambda net, x, y: F.max_pool2d(net.second(y), 2), exclude=("second",))
    first, second = layers(graph)
    assert first.args[1].target is DEQUANTIZE_CHANNELS
    assert second.args[1].op == "get_attr"
    pool = find(graph, aten.max_pool2d.default)
    assert pool.args[0] is second
    assert [user.op for user in pool.users] == ["output"]


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"no layer matches 'third'; the network has first"):
        quantized(lambda net, x, y: net.second(y), exclude=("first", "third"))
