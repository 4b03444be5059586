"""Each rewrite for ONNX Runtime computes the same integers as what it replaces.

All scales are powers of two, so every product and sum below 2**24 is exact in
float32, in any order: the outputs must be equal, not close, both as plain QDQ
(no optimisation) and in the integer kernels. Weights and inputs are random
integers from a fixed seed.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from edgeskin.converters.legalize.onnx import (
    channels,
    integers,
    linear,
    padding,
    pixels,
    redundant,
    stem,
    tensorrt,
)
from edgeskin.formats.onnx.saturation import open_precise

Array = NDArray[Any]
NONE, ALL = (
    onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
)


class Builder:
    """A QDQ graph, written node by node; every activation has the scale 1/16, zero point 120."""

    def __init__(self, shape: tuple[int, ...], seed: int = 3):
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shape = shape
        self.input = self.quantize("x")

    def constant(self, array: Array) -> str:
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def grid(self, scale: float = 2.0**-4, zero_point: int = 120) -> tuple[str, str]:
        return (
            self.constant(np.array(scale, np.float32)),
            self.constant(np.array(zero_point, np.uint8)),
        )

    def quantize(self, value: str, scale: float = 2.0**-4) -> str:
        grid = self.grid(scale)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", value, *grid), *grid)

    def weight(self, weight: tuple[int, ...]) -> tuple[str, str]:
        """Integers with a scale for each channel, and a bias in units of the products."""
        integer = self.constant(self.random.integers(-127, 128, weight).astype(np.int8))
        spread = 64 * np.sqrt(np.prod(weight[1:]))  # of the sum, so that outputs fill their range
        scale = 2.0 ** (self.random.integers(0, 2, weight[0]) - np.rint(np.log2(spread)))
        zero = self.constant(np.zeros(weight[0], np.int8))
        bias = self.random.integers(-999, 999, weight[0]) * 2.0**-4 * scale
        scales = self.constant(scale.astype(np.float32))
        dequantized = self.node("DequantizeLinear", integer, scales, zero, axis=0)
        return dequantized, self.constant(bias.astype(np.float32))

    def conv(self, value: str, weight: tuple[int, ...], **attributes: Any) -> str:
        made = self.node("Conv", value, *self.weight(weight), kernel_shape=weight[2:], **attributes)
        return self.quantize(made)

    def model(self, output: str) -> ir.Model:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "qdq",
            [value("x", TensorProto.FLOAT, self.shape)],
            [value(output, TensorProto.FLOAT, None)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 20)]
        model = ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=9))
        return ShapeInferencePass()(model).model


def run(model: ir.Model, x: Array, level: Any, **settings: str) -> Array:
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    onnx.checker.check_model(proto, full_check=True)

    def start(entries: dict[str, str]) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        for name, value in entries.items():
            options.add_session_config_entry(name, value)
        options.graph_optimization_level = level
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers)

    chosen = {f"session.{name}": value for name, value in settings.items()}
    session = start(chosen) if chosen else open_precise(start)[0]
    (y,) = session.run(None, {"x": x})
    return np.asarray(y)


def assert_same(builder: Builder, output: str, rewrite: Any, **settings: str) -> ir.Graph:
    """Equal outputs before and after `rewrite`, of which none is constant; the new graph."""
    before, after = builder.model(output), builder.model(output)
    rewrite(after.graph)
    RemoveUnusedNodesPass()(after)
    x = builder.random.uniform(-8, 8, builder.shape).astype(np.float32)
    for level in (NONE, ALL):
        expected = run(before, x, level, **settings)
        assert len(np.unique(expected)) > 5
        np.testing.assert_array_equal(run(after, x, level, **settings), expected)
    return after.graph


def initializer(graph: ir.Graph, node: ir.Node, index: int) -> Array:
    """The constant behind an input, through its DequantizeLinear."""
    value = node.inputs[index]
    assert value is not None
    source = value.producer()
    held = value if source is None else source.inputs[0]
    assert held is not None
    assert held.const_value is not None
    return held.const_value.numpy()


def find(graph: ir.Graph, kind: str) -> list[ir.Node]:
    return [node for node in graph if node.op_type == kind]


# The first convolution


@pytest.mark.parametrize(
    ("weight", "attributes", "wide"),
    [
        # MobileNet and EfficientNet: 4 pixels to a cell, 2 of the output
        ((8, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}, (16, 12, 3, 2)),
        # the same with TensorFlow's padding, behind the picture only
        ((8, 3, 3, 3), {"strides": [2, 2], "pads": [0, 0, 1, 1]}, (16, 12, 3, 2)),
        # ResNet
        ((8, 3, 7, 7), {"strides": [2, 2], "pads": [3, 3, 3, 3]}, (16, 12, 7, 3)),
        ((8, 3, 3, 3), {"strides": [1, 1], "pads": [1, 1, 1, 1]}, (32, 12, 3, 3)),
        # a vision transformer's patches
        ((8, 3, 8, 8), {"strides": [8, 8]}, (8, 24, 8, 1)),
        ((8, 1, 5, 5), {"strides": [2, 2], "pads": [2, 2, 2, 2]}, (16, 4, 5, 3)),
        ((8, 6, 1, 1), {}, (16, 12, 1, 1)),
    ],
)
def test_stem_over_several_pixels_at_once(
    weight: tuple[int, ...], attributes: dict[str, Any], wide: tuple[int, ...]
) -> None:
    builder = Builder((1, weight[1], 16, 24))
    output = builder.conv(builder.input, weight, **attributes)
    graph = assert_same(builder, output, stem.widen_stem)
    (conv,) = find(graph, "Conv")
    assert initializer(graph, conv, 1).shape == wide


@pytest.mark.parametrize(
    ("shape", "weight", "attributes"),
    [
        ((1, 4, 16, 24), (8, 4, 3, 3), {"pads": [1, 1, 1, 1]}),  # enough channels
        ((1, 3, 16, 23), (8, 3, 3, 3), {"pads": [1, 1, 1, 1]}),  # an odd width
        ((1, 3, 16, 24), (8, 3, 3, 3), {}),  # an output narrower than its input
        ((1, 3, 16, 24), (3, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 3}),
        ((1, 3, 16, 24), (8, 3, 3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
    ],
)
def test_stem_that_cannot_be_widened_stays(
    shape: tuple[int, ...], weight: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    builder = Builder(shape)
    output = builder.conv(builder.input, weight, **attributes)
    graph = assert_same(builder, output, stem.widen_stem)
    assert not find(graph, "Reshape")


# Channels of depthwise convolutions


def inverted_residual(builder: Builder, width: int, gated: bool) -> str:
    x = builder.conv(builder.input, (8, 8, 1, 1))
    y = builder.conv(x, (width, 8, 1, 1))
    pads = [1, 1, 1, 1]
    y = builder.conv(y, (width, 1, 3, 3), group=width, pads=pads)
    if gated:
        mean = builder.quantize(builder.node("GlobalAveragePool", y))
        gate = builder.conv(builder.conv(mean, (8, width, 1, 1)), (width, 8, 1, 1))
        y = builder.quantize(builder.node("Mul", y, gate), 2.0**-2)
    y = builder.conv(y, (8, width, 1, 1))
    return builder.quantize(builder.node("Add", x, y))


@pytest.mark.parametrize("gated", [False, True])
def test_depthwise_channels_become_a_multiple_of_16(gated: bool) -> None:
    builder = Builder((1, 8, 8, 8))  # a mean of 64 values is exact
    output = inverted_residual(builder, 14, gated)
    graph = assert_same(builder, output, channels.pad_depthwise_channels)
    shapes = [initializer(graph, conv, 1).shape[:2] for conv in find(graph, "Conv")]
    squeeze = [(8, 16), (16, 8)] if gated else []
    assert shapes == [(8, 8), (16, 8), (16, 1), *squeeze, (8, 16)]


@pytest.mark.parametrize("width", [16, 10])
def test_depthwise_channels_stay_where_padding_does_not_pay(width: int) -> None:
    builder = Builder((1, 8, 8, 8))
    output = inverted_residual(builder, width, gated=False)
    graph = assert_same(builder, output, channels.pad_depthwise_channels)
    assert initializer(graph, find(graph, "Conv")[1], 1).shape[0] == width


def test_depthwise_channels_that_are_an_output_stay() -> None:
    builder = Builder((1, 8, 8, 8))
    y = builder.conv(builder.input, (14, 8, 1, 1))
    output = builder.conv(y, (14, 1, 3, 3), group=14)
    graph = assert_same(builder, output, channels.pad_depthwise_channels)
    assert initializer(graph, find(graph, "Conv")[0], 1).shape[0] == 14


# Linear layers over tokens


@pytest.mark.parametrize("biased", [False, True])
def test_linear_layer_over_tokens_is_a_convolution(biased: bool) -> None:
    builder = Builder((1, 10, 24))
    weight, bias = builder.weight((16, 24))
    output = builder.node("MatMul", builder.input, builder.node("Transpose", weight, perm=[1, 0]))
    if biased:
        output = builder.node("Add", output, bias)
    graph = assert_same(builder, builder.quantize(output), linear.linear_to_convolution)
    (conv,) = find(graph, "Conv")
    assert initializer(graph, conv, 1).shape == (16, 24, 1, 1)
    assert not find(graph, "MatMul")


def test_product_of_two_activations_stays() -> None:
    builder = Builder((1, 8, 8))
    turned = builder.node("Transpose", builder.input, perm=[0, 2, 1])
    output = builder.quantize(builder.node("MatMul", builder.input, turned), 2.0**2)
    assert find(assert_same(builder, output, linear.linear_to_convolution), "MatMul")


# Padding


@pytest.mark.parametrize("quantized", [False, True])
def test_padding_moves_into_the_convolution(quantized: bool) -> None:
    builder = Builder((1, 4, 8, 8))
    widths = builder.constant(np.array([0, 0, 0, 1, 0, 0, 1, 2], np.int64))
    padded = builder.node("Pad", builder.input if quantized else "x", widths)
    output = builder.conv(builder.quantize(padded), (8, 4, 3, 3), pads=[1, 1, 1, 1])
    graph = assert_same(builder, output, padding.pad_in_convolution)
    (conv,) = find(graph, "Conv")
    assert conv.attributes["pads"].value == (1, 2, 2, 3)
    assert not find(graph, "Pad")


def test_padding_with_another_number_stays() -> None:
    builder = Builder((1, 4, 8, 8))
    widths = builder.constant(np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64))
    one = builder.constant(np.array(1, np.float32))
    padded = builder.quantize(builder.node("Pad", builder.input, widths, one))
    graph = assert_same(builder, builder.conv(padded, (8, 4, 3, 3)), padding.pad_in_convolution)
    assert find(graph, "Pad")


@pytest.mark.parametrize(("scale", "left"), [(2.0**-4, 2), (2.0**-3, 3)])
def test_quantizing_twice_to_the_same_grid_is_once(scale: float, left: int) -> None:
    builder = Builder((1, 4, 8, 8))
    again = builder.quantize(builder.input, scale)
    graph = assert_same(builder, builder.conv(again, (8, 4, 3, 3)), redundant.drop_requantization)
    assert len(find(graph, "QuantizeLinear")) == left


@pytest.mark.parametrize(("order", "left"), [(1, 0), (-1, 1)])
def test_a_gather_of_all_in_order_is_dropped(order: int, left: int) -> None:
    builder = Builder((1, 4, 3, 2))
    flat = builder.node("Reshape", builder.input, builder.constant(np.array([-1], np.int64)))
    places = np.arange(24, dtype=np.int64)[::order].reshape(1, 4, 3, 2)
    output = builder.quantize(builder.node("Gather", flat, builder.constant(places), axis=0))
    graph = assert_same(builder, output, redundant.drop_gathers_of_all)
    assert len(find(graph, "Gather")) == len(find(graph, "Reshape")) == left


@pytest.mark.parametrize(
    ("low", "high", "left"),
    # The integers of 1/16 from zero point 120 stand for -7.5 to 8.4375.
    [(-7.48, 8.42, 0), (-100, 100, 0), (None, 8.42, 0), (-7.46, 8.42, 1), (-7.48, 8.4, 1)],
)
def test_clamp_is_dropped_where_it_changes_no_integer(
    low: float | None, high: float, left: int
) -> None:
    builder = Builder((1, 4, 8, 8))
    bounds = ["" if v is None else builder.constant(np.array(v, np.float32)) for v in (low, high)]
    made = builder.node("Conv", builder.input, *builder.weight((8, 4, 3, 3)), kernel_shape=(3, 3))
    output = builder.quantize(builder.node("Clip", made, *bounds))
    graph = assert_same(builder, output, redundant.drop_clamps)
    assert len(find(graph, "Clip")) == left


def test_relu_is_dropped_where_the_integers_begin_at_zero() -> None:
    builder = Builder((1, 4, 8, 8))
    scale, zero = builder.constant(np.array(0.25, np.float32)), builder.constant(np.uint8([0])[0])
    made = builder.node("Conv", builder.input, *builder.weight((8, 4, 3, 3)), kernel_shape=(3, 3))
    quantized = builder.node("QuantizeLinear", builder.node("Relu", made), scale, zero)
    output = builder.node("DequantizeLinear", quantized, scale, zero)
    assert not find(assert_same(builder, output, redundant.drop_clamps), "Relu")
    negative = builder.quantize(builder.node("Relu", made))
    assert find(assert_same(builder, negative, redundant.drop_clamps), "Relu")


@pytest.mark.parametrize("bounds", [(), (0.0, 6.0), (-99.0, 2.0)])
@pytest.mark.parametrize("producer", ["Conv", "Add"])
def test_a_clamp_inside_of_the_integers_range_clamps_integers(
    bounds: tuple[float, ...], producer: str
) -> None:
    builder = Builder((1, 4, 8, 8))
    limits = [builder.constant(np.array(bound, np.float32)) for bound in bounds]
    operand = builder.weight((4, 4, 3, 3)) if producer == "Conv" else (builder.input,)
    made = builder.node(producer, builder.input, *operand)
    clamped = builder.quantize(builder.node("Clip" if bounds else "Relu", made, *limits))
    output = builder.conv(clamped, (8, 4, 1, 1))
    graph = assert_same(builder, output, redundant.clamp_integers)
    (clamp,) = find(graph, "Clip")
    assert clamp.inputs[0].producer().op_type == "QuantizeLinear"
    assert not find(graph, "Relu")


def test_a_clamp_whose_input_others_read_too_stays() -> None:
    builder = Builder((1, 4, 8, 8))
    made = builder.node("Conv", builder.input, *builder.weight((8, 4, 3, 3)))
    clamped = builder.quantize(builder.node("Relu", made))
    output = builder.quantize(builder.node("Add", clamped, builder.quantize(made)))
    assert find(assert_same(builder, output, redundant.clamp_integers), "Relu")


# Pixels


def pixel_model(mean: float, std: float, scale: float, zero_point: int) -> ir.Model:
    """uint8 (256,) normalised as (v - mean) / std, then quantized."""
    numbers = {"scale": 1 / std, "shift": mean / std, "s": scale}
    constants = [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in numbers.items()]
    constants.append(numpy_helper.from_array(np.array(zero_point, np.uint8), "z"))
    steps = [
        helper.make_node("Cast", ["x"], ["v0"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["v0"], ["v1"], perm=[0]),
        helper.make_node("Mul", ["v1", "scale"], ["v2"]),
        helper.make_node("Sub", ["v2", "shift"], ["v3"]),
        helper.make_node("QuantizeLinear", ["v3", "s", "z"], ["v4"]),
        helper.make_node("DequantizeLinear", ["v4", "s", "z"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.UINT8, [256])], [value("y", TensorProto.FLOAT, [256])]
    graph = helper.make_graph(steps, "pixels", *ends, constants)
    opsets = [helper.make_opsetid("", 20)]
    return ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=9))


@pytest.mark.parametrize(
    ("mean", "std", "scale", "zero_point", "left"),
    [
        (127, 128, 1 / 128, 127, ["Transpose", "DequantizeLinear"]),
        (0, 255, 1 / 255, 0, ["Transpose", "DequantizeLinear"]),
        (127, 128, 1 / 100, 127, None),  # calibrated to something else
        (127, 128, 1 / 128, 128, None),  # 255 would be cut off
        (124, 58, 1 / 50, 120, None),
    ],
)
def test_pixels_go_in_as_they_are_where_nothing_is_lost(
    mean: float, std: float, scale: float, zero_point: int, left: list[str] | None
) -> None:
    before, after = (pixel_model(mean, std, scale, zero_point) for _ in range(2))
    pixels.pixels_are_integers(after.graph)
    values = np.arange(256, dtype=np.uint8)
    for level in (NONE, ALL):
        np.testing.assert_array_equal(run(after, values, level), run(before, values, level))
    found = [node.op_type for node in after.graph]
    assert found == (left or [node.op_type for node in before.graph])


# TensorRT


def test_convolution_runs_into_the_add_behind_it() -> None:
    builder = Builder((1, 8, 8, 8))
    y = builder.conv(builder.input, (8, 8, 1, 1))
    output = builder.quantize(builder.node("Add", builder.input, y))
    before, after = builder.model(output), builder.model(output)
    tensorrt.open_residual_add(after.graph)
    (add,) = find(after.graph, "Add")
    assert [value.producer().op_type for value in add.inputs] == ["DequantizeLinear", "Conv"]  # type: ignore[union-attr]
    x = builder.random.uniform(-1, 1, builder.shape).astype(np.float32)  # nothing saturates
    # Half a step less of rounding in front of the add moves its own by one step at most.
    difference = np.abs(run(before, x, NONE) - run(after, x, NONE))
    assert 0 < difference.max() <= 2.0**-4


# Integers


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [(2, 3), (-1, -2)])
def test_mean_over_the_picture_is_pooling(keepdims: int, axes: tuple[int, int]) -> None:
    builder = Builder((1, 64, 4, 4))
    where = builder.constant(np.array(axes, np.int64))
    mean = builder.node("ReduceMean", builder.input, where, keepdims=keepdims)
    graph = assert_same(builder, builder.quantize(mean), integers.mean_to_pooling)
    assert find(graph, "GlobalAveragePool")
    assert not find(graph, "ReduceMean")


def test_mean_over_channels_stays() -> None:
    builder = Builder((1, 4, 8, 8))
    where = builder.constant(np.array([1, 2], np.int64))
    output = builder.quantize(builder.node("ReduceMean", builder.input, where))
    assert find(assert_same(builder, output, integers.mean_to_pooling), "ReduceMean")


def test_bias_is_int32_in_units_of_the_products() -> None:
    builder = Builder((1, 4, 8, 8))
    output = builder.conv(builder.input, (8, 4, 3, 3))
    graph = assert_same(builder, output, integers.integer_biases)
    (conv,) = find(graph, "Conv")
    bias = initializer(graph, conv, 2)
    assert bias.dtype == np.int32
    assert len(np.unique(bias)) == 8


def test_constant_of_one_number_has_the_rank_of_what_it_is_added_to() -> None:
    builder = Builder((1, 4, 8, 8))
    three = builder.constant(np.array([168], np.uint8))  # (168 - 120) / 16
    constant = builder.node("DequantizeLinear", three, *builder.grid())
    output = builder.quantize(builder.node("Add", builder.input, constant))
    graph = assert_same(builder, output, integers.full_rank_constants)
    (add,) = find(graph, "Add")
    assert initializer(graph, add, 1).shape == (1, 1, 1, 1)


def test_uint8_activations_change_no_value() -> None:
    """Quantize and dequantize a grid, the numbers between and outside, and add a constant."""
    value = helper.make_tensor_value_info
    scale, zero = np.float32(0.03), np.int8(-7)
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["r"]),
            helper.make_node("DequantizeLinear", ["c", "s", "z"], ["three"]),
            helper.make_node("Add", ["r", "three"], ["y"]),
        ],
        "qdq",
        [value("x", TensorProto.FLOAT, ["N"])],
        [value("y", TensorProto.FLOAT, ["N"])],
        [
            numpy_helper.from_array(np.array(scale), "s"),
            numpy_helper.from_array(np.array(zero), "z"),
            numpy_helper.from_array(np.array([93], np.int8), "c"),  # 0.03 * (93 + 7) is 3
        ],
    )
    opset = helper.make_opsetid("", 18)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    signed, unsigned = ir.from_proto(proto), ir.from_proto(proto)
    integers.activations_to_uint8(unsigned.graph)
    RemoveUnusedNodesPass()(unsigned)
    assert sorted(unsigned.graph.initializers) == ["c_uint8", "s", "z_uint8"]
    x = np.linspace(-6, 6, 4001, dtype=np.float32)  # the grid spans -3.63 to 4.02
    before, after = run(signed, x, ALL), run(unsigned, x, ALL)
    np.testing.assert_array_equal(before, after)
    assert (before.min(), before.max()) == pytest.approx((-0.63, 7.02))


@pytest.mark.parametrize("shared", ["zero points", "weights", "step"])
def test_layers_with_weights_of_their_own_load_in_the_precise_mode(shared: str) -> None:
    builder = Builder((1, 8, 6, 6))
    output = builder.conv(builder.conv(builder.input, (8, 8, 1, 1)), (8, 8, 1, 1))
    first, second = (node for node in builder.nodes if node.attribute and node.op_type != "Conv")
    second.input[2] = first.input[2]
    if shared != "zero points":
        second.input[0] = first.input[0]
    if shared == "step":
        for node in builder.nodes:
            if node.op_type == "Conv":
                node.input[1] = first.output[0]
        builder.nodes.remove(second)
    graph = assert_same(builder, output, integers.own_weights, x64quantprecision="0")
    weights = [conv.inputs[1].producer() for conv in find(graph, "Conv")]  # type: ignore[union-attr]
    for place in (0, 2):
        assert len({node.inputs[place].name for node in weights if node}) == 2  # type: ignore[union-attr]
    model = builder.model(output)
    x = builder.random.uniform(-8, 8, builder.shape).astype(np.float32)
    expected = run(model, x, NONE)
    if platform.machine() in ("x86_64", "AMD64"):  # why it is needed
        with pytest.raises(Exception, match="replace the existing tensor"):
            run(model, x, ALL, x64quantprecision="1")
    integers.own_weights(model.graph)
    np.testing.assert_array_equal(run(model, x, ALL, x64quantprecision="1"), expected)
