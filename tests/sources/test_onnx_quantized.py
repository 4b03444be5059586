"""Quantized ONNX files: their integers and scales are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx_graphs import answers, image, read_both, save_model

from edgeskin.errors import InvalidArtifact
from edgeskin.sources.onnx_graph import read_onnx
from edgeskin.sources.source_model import SourceModel

RANDOM = np.random.default_rng(11)
QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default
DEQUANTIZE_CHANNELS = torch.ops.quantized_decomposed.dequantize_per_channel.default
ZERO = {np.uint8: 131, np.int8: -5, np.uint16: 30011, np.int16: 7}
# A power of two: x / scale and x * (1 / scale) are the same float32, as the formats differ there.
SCALE = np.float32(2**-5)


def stored(name: str, value: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    names = inputs.replace("_ ", " ").split()
    return helper.make_node(kind, names, [output], f"node_{output}", **attributes)


def graph_of(model: SourceModel) -> Any:
    return torch.export.export(model.network, (torch.zeros(model.input.shape),)).module()


def steps_in(graph: Any, target: Any) -> list[Any]:
    return [n for n in graph.graph.nodes if n.target is target]


@pytest.mark.parametrize("kind", ZERO)
def test_integers_are_the_file_s_own(kind: type, tmp_path: Path) -> None:
    """The integers themselves, and the numbers made of them again."""
    constants = [stored("s", SCALE), stored("z", kind(ZERO[kind]))]
    nodes = [node("QuantizeLinear", "image s z", "q"), node("DequantizeLinear", "q s z", "y")]
    path = save_model(tmp_path / "m.onnx", nodes, constants, ["q", "y"], opset=21)
    (theirs, numbers), (ours, ours_again) = read_both(path)
    assert theirs.dtype == kind
    np.testing.assert_array_equal(ours.astype(np.int64), theirs.astype(np.int64))
    np.testing.assert_array_equal(ours_again, numbers)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_activations_become_signed_steps(kind: type, tmp_path: Path) -> None:
    constants = [stored("s", SCALE), stored("z", kind(ZERO[kind]))]
    nodes = [node("QuantizeLinear", "image s z", "q"), node("DequantizeLinear", "q s z", "y")]
    model = read_onnx(save_model(tmp_path / "m.onnx", nodes, constants, ["y"]))
    assert model.quantized
    graph = graph_of(model)
    zero_point = ZERO[kind] - (128 if kind is np.uint8 else 0)
    for target in (QUANTIZE, DEQUANTIZE):
        [step] = steps_in(graph, target)
        assert step.args[1:] == (float(SCALE), zero_point, -128, 127, torch.int8)


def conv_qdq(path: Path, weight: Any, scales: Any, zeros: Any) -> Path:
    """A convolution as ONNX Runtime's quantizer writes it, its bias in int32."""
    bias = RANDOM.integers(-500, 500, len(weight)).astype(np.int32)
    constants = [
        *(stored("conv.weight", weight), stored("ws", scales), stored("wz", zeros)),
        *(stored("conv.bias", bias), stored("bs", SCALE * scales)),
        *(stored("bz", np.zeros_like(zeros, np.int32)), stored("s", SCALE)),
        stored("z", np.uint8(120)),
    ]
    nodes = [
        node("QuantizeLinear", "image s z", "q"),
        node("DequantizeLinear", "q s z", "x"),
        node("DequantizeLinear", "conv.weight ws wz", "w", axis=0),
        node("DequantizeLinear", "conv.bias bs bz", "b", axis=0),
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c os oz", "cq"),
        node("DequantizeLinear", "cq os oz", "y"),
    ]
    constants += [stored("os", np.float32(2**-2)), stored("oz", np.uint8(0))]
    return save_model(path, nodes, constants, ["y", "cq"], opset=13)


def test_weights_of_channels_stay_integers(tmp_path: Path) -> None:
    weight = RANDOM.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    scales = np.float32([2**-6, 2**-7, 2**-5, 2**-8])
    path = conv_qdq(tmp_path / "m.onnx", weight, scales, np.zeros(4, np.int8))
    model = read_onnx(path)
    theirs, ours = answers(model, image())
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(a, b)
    graph = graph_of(model)
    [step] = steps_in(graph, DEQUANTIZE_CHANNELS)
    assert step.args[3:] == (0, -127, 127, torch.int8)
    held = dict(model.network.named_buffers())
    np.testing.assert_array_equal(held["conv.weight"], weight)
    np.testing.assert_array_equal(held["conv.weight_scales"], scales)
    np.testing.assert_array_equal(held["conv.weight_zero_points"], np.zeros(4))
    assert [name for name, _ in model.network.named_parameters()] == ["conv.bias"]


def test_unsigned_weights_become_signed(tmp_path: Path) -> None:
    weight = RANDOM.integers(0, 256, (4, 3, 3, 3)).astype(np.uint8)
    path = conv_qdq(tmp_path / "m.onnx", weight, np.float32(2**-6), np.uint8(118))
    model = read_onnx(path)
    theirs, ours = answers(model, image())
    np.testing.assert_array_equal(theirs[1], ours[1])
    held = dict(model.network.named_buffers())["conv.weight"]
    np.testing.assert_array_equal(held, weight.astype(np.int32) - 128)
    step = steps_in(graph_of(model), DEQUANTIZE)[-2]
    assert step.args[2] == 118 - 128


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_quantized_matrix_becomes_a_linear_layer_s(per_channel: bool, tmp_path: Path) -> None:
    weight = RANDOM.integers(-127, 128, (10, 4)).astype(np.int8)
    scales = np.float32([2**-6, 2**-7, 2**-5, 2**-8]) if per_channel else np.float32(2**-6)
    zeros = np.zeros(scales.shape, np.int8)
    constants = [stored("fc.weight", weight), stored("ws", scales), stored("wz", zeros)]
    nodes = [
        node("DequantizeLinear", "fc.weight ws wz", "w", axis=1),
        node("MatMul", "image w", "y"),
    ]
    path = save_model(tmp_path / "m.onnx", nodes, constants, ["y"])
    [theirs], [ours] = read_both(path)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    graph = graph_of(read_onnx(path))
    [linear] = steps_in(graph, torch.ops.aten.linear.default)
    assert linear.args[1].meta["val"].shape == (4, 10)
    if per_channel:
        assert linear.args[1].args[3] == 0


def test_integers_that_an_operator_moves_are_the_same(tmp_path: Path) -> None:
    """A pool on uint8, between the steps."""
    constants = [stored("s", SCALE), stored("z", np.uint8(131))]
    nodes = [
        node("QuantizeLinear", "image s z", "q"),
        node("MaxPool", "q", "m", kernel_shape=[2, 2]),
        node("Transpose", "m", "t", perm=[0, 2, 3, 1]),
        node("DequantizeLinear", "t s z", "y"),
    ]
    [theirs], [ours] = read_both(save_model(tmp_path / "m.onnx", nodes, constants, ["y"]))
    np.testing.assert_array_equal(ours, theirs)


def test_weights_in_float_that_the_graph_quantizes(tmp_path: Path) -> None:
    """As quantization-aware training is exported: the step stands before a float weight."""
    weight = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
    constants = [stored("conv.weight", weight), stored("s", SCALE), stored("z", np.int8(0))]
    nodes = [
        node("QuantizeLinear", "conv.weight s z", "q"),
        node("DequantizeLinear", "q s z", "w"),
        node("Conv", "image w", "y"),
    ]
    path = save_model(tmp_path / "m.onnx", nodes, constants, ["y"])
    [theirs], [ours] = read_both(path)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert dict(read_onnx(path).network.named_buffers())["conv.weight"].dtype == torch.int8


def qoperators() -> tuple[list[NodeProto], list[TensorProto]]:
    """One of each kind, uint8 activations."""
    w = RANDOM.integers(-50, 50, (4, 3, 3, 3)).astype(np.int8)
    fc = RANDOM.integers(-50, 50, (4, 5)).astype(np.int8)
    constants = [
        *(stored("s", np.float32(2**-4)), stored("z", np.uint8(128))),
        *(stored("conv.weight", w), stored("ws", np.float32([2**-7] * 4))),
        *(stored("wz", np.zeros(4, np.int8)), stored("b", np.arange(4, dtype=np.int32) * 40)),
        *(stored("os", np.float32(2**-3)), stored("oz", np.uint8(128))),
        *(stored("fc.weight", fc), stored("fs", np.float32(2**-7)), stored("fz", np.int8(0))),
        stored("c", np.arange(5, dtype=np.int32)),
    ]
    shared = {"domain": "com.microsoft"}
    nodes = [
        node("QuantizeLinear", "image s z", "x"),
        node("QLinearConv", "x s z conv.weight ws wz os oz b", "conv"),
        node("QLinearAdd", "conv os oz conv os oz os oz", "sum", **shared),
        node("QLinearMul", "conv os oz sum os oz os oz", "product", **shared),
        node("QLinearConcat", "os oz sum os oz product os oz", "both", axis=1, **shared),
        node("QLinearGlobalAveragePool", "conv os oz os oz", "pool", channels_last=0, **shared),
        node("QLinearSigmoid", "pool os oz s z", "gate", **shared),
        node("Flatten", "pool", "row"),
        node("QGemm", "row os oz fc.weight fs fz c os oz", "gemm", **shared),
        node("QLinearMatMul", "row os oz fc.weight fs fz os oz", "matmul"),
    ]
    return nodes, constants


def test_operators_on_integers_are_read_as_steps(tmp_path: Path) -> None:
    nodes, constants = qoperators()
    names = [n.output[0] for n in nodes if n.op_type.startswith("Q")]
    path = save_model(tmp_path / "m.onnx", nodes, constants, names)
    for name, theirs, ours in zip(names, *read_both(path), strict=True):
        far = np.abs(theirs.astype(int) - ours.astype(int))
        assert far.max() <= 1, name  # integer kernels round once, these steps at each end
        assert (far > 0).mean() < 0.05, name


def test_a_scale_that_depends_on_the_image(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMax", "image", "s", keepdims=0),
        node("QuantizeLinear", "image s", "y"),
    ]
    path = save_model(tmp_path / "m.onnx", nodes, [], ["y"])
    with pytest.raises(InvalidArtifact, match="scale depends on the image; edgeskin keeps fixed"):
        read_onnx(path)


def test_every_step_is_shown_as_the_file_holds_it(tmp_path: Path) -> None:
    weight = RANDOM.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    path = conv_qdq(tmp_path / "m.onnx", weight, np.float32([2**-6] * 4), np.zeros(4, np.int8))
    model = read_onnx(path)
    assert model.steps is not None
    shown = {step.operator: step for step in model.steps(image())}
    assert list(shown) == [
        "QuantizeLinear 'node_q'",
        "DequantizeLinear 'node_x'",
        "DequantizeLinear 'node_w'",
        "Conv 'node_c'",
        "QuantizeLinear 'node_cq'",
        "DequantizeLinear 'node_y'",
    ]
    for step in shown.values():
        np.testing.assert_allclose(step.ours, step.theirs, rtol=1e-5, atol=1e-5)
    assert onnx.load(path).graph.output[0].name == "y"  # the file itself is as it was
