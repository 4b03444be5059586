"""Operators one by one, as read by edgeskin and as ONNX Runtime runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import Case, answers, image, read_both, save_cases, save_model

from edgeskin.sources.onnx_graph import read_onnx
from edgeskin.sources.onnx_graph.ops import MICROSOFT, OPERATORS

RANDOM = np.random.default_rng(3)


def f(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32)


def i(*values: int) -> Any:
    return np.array(values, np.int64)


ONE = np.array(0.75, np.float32)
BOOLS = RANDOM.random((1, 3, 8, 10)) > 0.5

UNARY = [
    Case(name)
    for name in (
        *("Abs", "Atan", "Asinh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "HardSwish"),
        *("Identity", "IsNaN", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign"),
        *("Sin", "Sinh", "Softplus", "Softsign", "Tan", "Tanh", "Elu", "Selu", "Celu", "Gelu"),
        *("HardSigmoid", "LeakyRelu", "ThresholdedRelu", "Shrink", "IsInf", "Dropout", "Size"),
        *("LogSoftmax", "Softmax", "Hardmax", "GlobalAveragePool", "GlobalMaxPool", "Shape"),
        *("GlobalLpPool", "Flatten", "Transpose", "LpNormalization", "MeanVarianceNormalization"),
        *("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin"),
        *("ReduceProd", "ReduceSum", "ReduceSumSquare", "ArgMax", "ArgMin", "Trilu"),
    )
]
POSITIVE = [Case("Sqrt"), Case("Log"), Case("Acosh"), Case("Asin"), Case("Acos"), Case("Atanh")]
ACTIVATIONS = [
    Case("Gelu", attributes={"approximate": "tanh"}),
    Case("HardSigmoid", attributes={"alpha": 1 / 6, "beta": 0.5}),
    Case("HardSigmoid", attributes={"alpha": 0.3, "beta": 0.2}),
    Case("Elu", attributes={"alpha": 0.3}),
    Case("Celu", attributes={"alpha": 0.7}),
    Case("Selu", attributes={"alpha": 1.2, "gamma": 0.9}),
    Case("LeakyRelu", attributes={"alpha": 0.2}),
    Case("Shrink", attributes={"bias": 0.1, "lambd": 0.4}),
    Case("ThresholdedRelu", attributes={"alpha": 0.4}),
    Case("PRelu", (f(3, 1, 1),)),
    Case("PRelu", (f(1),)),
    Case("PRelu", (f(10),)),
    *(Case("Softmax", attributes={"axis": axis}) for axis in (0, 1, 2, -1)),
    Case("Softmax", attributes={"axis": 1}, opset=11),
    Case("Softmax", attributes={"axis": 2}, opset=12),
    Case("LogSoftmax", attributes={"axis": 1}, opset=11),
    Case("Hardmax", attributes={"axis": 1}),
    Case("Swish", attributes={"alpha": 1.3}, opset=24),
    Case("BiasGelu", (f(10),), domain="com.microsoft"),
    Case("FastGelu", (f(10),), domain="com.microsoft"),
    Case("Gelu", domain="com.microsoft"),
    Case("QuickGelu", domain="com.microsoft"),
]
BINARY = [
    *(
        Case(name, (constant,), first=first)
        for name in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Equal", "Greater", "Less")
        for constant in (ONE, f(3, 1, 1), f(1, 1, 1, 1))
        for first in (True, False)
    ),
    *(Case(name, (f(10),)) for name in ("GreaterOrEqual", "LessOrEqual", "Sum", "Mean")),
    Case("Max", (f(10), f(3, 1, 1))),
    Case("Min"),
    Case("Pow", (np.float32(2),)),
    Case("Pow", (np.array(3, np.int64),)),
    Case("Mod", (np.float32([0.7]),), {"fmod": 1}),
    Case("Mod", (i(3),), dtype=TensorProto.INT64),
    Case("Div", (i(2),), dtype=TensorProto.INT64),
    Case("Clip", (np.float32(0), np.float32(6))),
    Case("Clip", (np.float32(-0.5), None)),
    Case("Clip", (None, np.float32(0.5))),
    Case("Clip"),
    Case("Where", (BOOLS, f(10)), first=False),
    Case("Where", (BOOLS, ONE), first=False),
    *(Case(n, (BOOLS,), dtype=TensorProto.BOOL) for n in ("And", "Or", "Xor")),
    Case("Not", dtype=TensorProto.BOOL),
    *(Case("Cast", attributes={"to": to}) for to in (6, 7, 9, 2, 11)),
    Case("CastLike", (i(1),)),
    Case("BitShift", (np.uint8([2]),), {"direction": "LEFT"}, dtype=TensorProto.UINT8),
    Case("BitShift", (np.uint8([1]),), {"direction": "RIGHT"}, dtype=TensorProto.UINT8),
    *(Case(n, (i(6),), dtype=TensorProto.INT64) for n in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    Case("BitwiseNot", dtype=TensorProto.INT32),
]
W = f(4, 3, 3, 3)
CONVOLUTIONS = [
    Case("Conv", (W, f(4))),
    Case("Conv", (W,), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("Conv", (W,), {"pads": [0, 1, 2, 0]}),
    Case("Conv", (W,), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    *(
        Case("Conv", (W, f(4)), {"auto_pad": pad, "strides": [2, 3]})
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    Case("Conv", (f(6, 1, 3, 3),), {"group": 3}),
    Case("Conv", (f(4, 24, 3),), shape=(1, 24, 10)),
    Case("Conv", (f(4, 2, 1, 2, 3),), shape=(1, 2, 3, 4, 10)),
    Case("ConvTranspose", (f(3, 4, 2, 2), f(4)), {"strides": [2, 2]}),
    Case("ConvTranspose", (f(3, 4, 3, 3),), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case(
        "ConvTranspose",
        (f(3, 2, 3, 3), f(2)),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    Case("ConvTranspose", (f(3, 4, 3, 3), f(4)), {"strides": [2, 2], "pads": [0, 1, 1, 0]}),
    Case("ConvTranspose", (f(3, 1, 3, 3),), {"group": 3, "dilations": [2, 2]}),
    *(
        Case("ConvTranspose", (f(3, 4, 3, 3), f(4)), {"strides": [2, 2], "auto_pad": pad})
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    Case("ConvTranspose", (f(3, 4, 3, 3),), {"strides": [2, 2], "output_shape": [16, 20]}),
    Case("Gemm", (f(10, 5), f(5)), shape=(24, 10)),
    Case("Gemm", (f(5, 10), f(1, 5)), {"transB": 1}, shape=(24, 10)),
    Case("Gemm", (f(5, 10), f(24, 1)), {"transB": 1, "alpha": 0.5, "beta": 2.0}, shape=(24, 10)),
    Case("Gemm", (f(24, 5), ONE), {"transA": 1}, shape=(24, 10)),
    Case("MatMul", (f(10, 5),)),
    Case("MatMul", (f(3, 10, 5),)),
    Case("MatMul", (f(10),)),
    Case("MatMul", (f(5, 8),), first=False),
    Case("Einsum", (f(3, 5),), {"equation": "n c h w, c d -> n d h w"}),
    Case("Einsum", (f(10, 5),), {"equation": "...w,wk->...k"}),
    Case("Attention", (f(1, 3, 6, 10), f(1, 3, 6, 4)), opset=23),
    Case("Attention", (f(1, 3, 8, 10), f(1, 3, 8, 10)), {"is_causal": 1}, opset=23),
    Case("Attention", (f(1, 1, 6, 10), f(1, 1, 6, 4), f(8, 6)), {"scale": 0.7}, opset=23),
    Case(
        "Attention",
        (f(1, 6, 10), f(1, 6, 10)),
        {"q_num_heads": 2, "kv_num_heads": 2},
        shape=(1, 24, 10),
        opset=23,
    ),
    Case("FusedConv", (W, f(4)), {"activation": "Relu"}, domain="com.microsoft"),
    Case(
        "FusedConv",
        (W, f(4)),
        {"activation": "Clip", "activation_params": [0.0, 1.0]},
        domain="com.microsoft",
    ),
    Case("FusedMatMul", (f(5, 10),), {"alpha": 0.5, "transB": 1}, domain="com.microsoft"),
]
POOLS = [
    Case(name, attributes={"kernel_shape": kernel, **more})
    for name in ("MaxPool", "AveragePool")
    for kernel in ([2, 2], [3, 3], [2, 3])
    for more in (
        {},
        {"strides": [2, 2]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"strides": [2, 2], "pads": [0, 0, 1, 1]},
        {"strides": [3, 2], "ceil_mode": 1},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"auto_pad": "VALID"},
    )
]
POOLS += [
    Case("MaxPool", attributes={"kernel_shape": [3, 3], "dilations": [2, 2]}),
    Case("MaxPool", attributes={"kernel_shape": [2]}, shape=(1, 24, 10)),
    Case("AveragePool", attributes={"kernel_shape": [2]}, shape=(1, 24, 10)),
    *(
        Case(
            "AveragePool",
            attributes={"kernel_shape": [3, 3], "count_include_pad": 1, "pads": pads, **more},
        )
        for pads in ([1, 1, 1, 1], [0, 1, 1, 0])
        for more in ({"strides": [2, 2]}, {"strides": [2, 2], "ceil_mode": 1})
    ),
    Case("LpPool", attributes={"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case("LpPool", attributes={"kernel_shape": [2, 2], "p": 1, "pads": [1, 1, 1, 1]}),
]
NORMS = [
    Case("BatchNormalization", (f(3), f(3), f(3), np.abs(f(3))), {"epsilon": 1e-3}),
    Case("InstanceNormalization", (f(3), f(3)), {"epsilon": 1e-3}),
    Case("LayerNormalization", (f(10), f(10))),
    Case("LayerNormalization", (f(8, 10),), {"axis": 2}),
    Case("LayerNormalization", (f(10),), {"axis": 2}),
    Case("LRN", attributes={"size": 3, "alpha": 0.1}),
    Case("LRN", attributes={"size": 5, "beta": 0.5, "bias": 2.0}),
    Case("LpNormalization", attributes={"axis": 1, "p": 1}),
    Case("MeanVarianceNormalization", attributes={"axes": [1, 2]}),
    Case("GroupNormalization", (f(3), f(3)), {"num_groups": 3}, opset=18),
    Case("GroupNormalization", (f(3), f(3)), {"num_groups": 3}, shape=(1, 6, 8, 5), opset=18),
    Case("GroupNormalization", (f(6), f(6)), {"num_groups": 3}, shape=(1, 6, 8, 5), opset=21),
    Case("RMSNormalization", (f(10),), opset=23),
    Case("SimplifiedLayerNormalization", (f(10),)),
    Case(
        "SkipLayerNormalization",
        (f(1, 24, 10), f(10), f(10)),
        shape=(1, 24, 10),
        domain="com.microsoft",
    ),
]
REDUCTIONS = [
    *(
        Case(name, attributes={"axes": [1, -1], "keepdims": keep}, opset=11)
        for name in ("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2", "ReduceProd")
        for keep in (0, 1)
    ),
    Case("ReduceMean", (i(2, 3),), {"keepdims": 0}, opset=18),
    Case("ReduceSum", (i(-1),)),
    Case("ReduceMax", (i(1),), {"keepdims": 0}),
    Case("ReduceSum", (np.array([], np.int64),), {"noop_with_empty_axes": 1}),
    Case("ReduceSum", dtype=TensorProto.INT32),
    Case("ReduceLogSum", (i(1),), dtype=TensorProto.FLOAT, shape=(1, 3, 8, 10)),
    *(
        Case(name, attributes={"axis": 1, "keepdims": keep, "select_last_index": last})
        for name in ("ArgMax", "ArgMin")
        for keep in (0, 1)
        for last in (0, 1)
    ),
    Case("TopK", (i(4),), {"axis": -1}, outputs=2),
    Case("TopK", (i(3),), {"axis": 2, "largest": 0}, outputs=2),
    *(
        Case("CumSum", (np.array(2),), {"exclusive": e, "reverse": r})
        for e in (0, 1)
        for r in (0, 1)
    ),
]
SHAPES = [
    Case("Reshape", (i(0, -1),)),
    Case("Reshape", (i(0, 0, 40, 2),)),
    Case("Flatten", attributes={"axis": 2}),
    Case("Flatten", attributes={"axis": 0}),
    Case("Flatten", attributes={"axis": -1}),
    Case("Squeeze", (i(0),)),
    Case("Squeeze", attributes={"axes": [0]}, opset=11),
    Case("Squeeze"),
    Case("Unsqueeze", (i(0, -1),)),
    Case("Unsqueeze", attributes={"axes": [1, 2]}, opset=11),
    Case("Transpose", attributes={"perm": [0, 2, 3, 1]}),
    Case("Expand", (i(2, 1, 8, 1),)),
    Case("Expand", (i(4, 2, 3, 8, 10),)),
    Case("Tile", (i(1, 2, 1, 3),)),
    Case("DepthToSpace", attributes={"blocksize": 2}, shape=(1, 12, 4, 5)),
    Case("DepthToSpace", attributes={"blocksize": 2, "mode": "CRD"}, shape=(1, 12, 4, 5)),
    Case("SpaceToDepth", attributes={"blocksize": 2}),
    Case("ReverseSequence", (i(2, 5, 8),), {"time_axis": 1, "batch_axis": 0}, shape=(3, 8, 10)),
    Case("EyeLike", attributes={"k": 1}, shape=(24, 10)),
    Case("Shape", attributes={"start": 1, "end": -1}),
]
SLICES = [
    Case("Slice", (i(1), i(6), i(2))),
    Case("Slice", (i(-3, 0), i(1000, -1), i(2, 3), i(1, 2))),
    Case("Slice", (i(7), i(-1000), i(2), i(-2))),
    Case("Slice", (i(-1, 1), i(-100, 3), i(3, 1), i(-1, 1))),
    Case("Slice", (i(0, 0, 1), i(1, 2, 9))),
    Case("Split", (i(2, 5, 1),), {"axis": 2}, outputs=3),
    Case("Split", attributes={"axis": 3, "num_outputs": 3}, outputs=3),
    Case("Split", attributes={"axis": 2}, outputs=2, opset=13),
    Case("Split", attributes={"axis": 2, "split": [3, 5]}, outputs=2, opset=11),
    Case("Concat", (f(1, 2, 8, 10),), {"axis": 1}),
    Case("Concat", (f(1, 3, 8, 1),), {"axis": -1}, first=False),
    *(
        Case("Pad", (i(*pads),), {"mode": mode})
        for mode in ("constant", "reflect", "edge")
        for pads in (
            (0, 0, 1, 2, 0, 0, 3, 0),
            (0, 0, 0, 2, 0, 0, 0, 1),
            (0, 1, 2, 0, 0, 1, 0, 2),
        )
    ),
    Case("Pad", (i(0, 0, 1, 2, 0, 0, 3, 0),), {"mode": "wrap"}, opset=19),
    Case("Pad", (i(0, 0, 1, 2, 0, 0, 3, 0), np.float32(0.5))),
    Case("Pad", (i(0, 0, -1, 0, 0, 0, -2, 1),)),
    Case("Pad", (i(1, 2), np.float32(0.5), i(2)), opset=18),
    Case("OneHot", (i(5), np.float32([0.25, 2.0])), {"axis": 1}, dtype=TensorProto.INT64),
    Case("Trilu", attributes={"upper": 0}),
    Case("Trilu", (np.array(1),)),
]
PLACES = RANDOM.integers(-8, 8, (1, 3, 4, 10))
GATHERS = [
    Case("Gather", (np.array(1),), {"axis": 1}),
    Case("Gather", (i(2, 3, 4),), {"axis": 2}),
    Case("Gather", (i(-1, 0, 3),), {"axis": 2}),
    Case("Gather", (RANDOM.integers(0, 8, (2, 3)),), {"axis": 2}),
    Case("Gather", (i(0),), {"axis": 1}),
    Case("GatherElements", (PLACES,), {"axis": 2}),
    Case("GatherND", (np.array([[[0, 1], [0, -1]]]),)),
    Case("GatherND", (np.array([[[1], [-1]]]),), {"batch_dims": 1}),
    Case("ScatterND", (np.array([[0, 1], [0, 2]]), f(2, 8, 10))),
    Case("ScatterND", (np.array([[0, 1, 2, 3]]), f(1)), {"reduction": "add"}),
    Case("ScatterElements", (i(1, 3).reshape(1, 1, 2, 1), f(1, 1, 2, 1)), {"axis": 2}),
    Case(
        "ScatterElements",
        (i(1, 1).reshape(1, 1, 2, 1), f(1, 1, 2, 1)),
        {"axis": 2, "reduction": "max"},
    ),
    *(
        Case(
            "GridSample",
            (RANDOM.uniform(-1.2, 1.2, (1, 4, 5, 2)).astype(np.float32),),
            {"mode": mode, "padding_mode": padding, "align_corners": corners},
        )
        for mode in ("linear", "nearest", "cubic")
        for padding in ("zeros", "border")
        for corners in (0, 1)
    ),
]
RESIZES = [
    *(
        Case(
            "Resize",
            (None, None, i(1, 3, *size)),
            {"mode": mode, "coordinate_transformation_mode": places},
        )
        for mode in ("linear", "cubic", "nearest")
        for places in (
            *("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"),
            "half_pixel_symmetric",
        )
        for size in ((16, 20), (13, 7), (1, 25))
        if not (mode == "nearest" and size == (1, 25))
    ),
    *(
        Case(
            "Resize",
            (None, np.float32([1, 1, *scales])),
            {"mode": mode, "coordinate_transformation_mode": places},
        )
        for mode in ("linear", "nearest")
        for places in ("half_pixel", "asymmetric")
        for scales in ((2, 2), (0.6, 1.7))
    ),
    *(
        Case(
            "Resize",
            (None, np.float32([1, 1, 1.7, 0.6])),
            {"nearest_mode": rounding, "coordinate_transformation_mode": "asymmetric"},
        )
        for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    ),
    *(
        Case("Resize", (None, None, i(1, 3, 3, 4)), {"mode": mode, "antialias": 1})
        for mode in ("linear", "cubic")
    ),
    Case("Resize", (None, None, i(1, 3, 13, 17)), {"mode": "cubic", "exclude_outside": 1}),
    Case("Resize", (None, None, i(1, 3, 13, 17)), {"mode": "cubic", "cubic_coeff_a": -0.5}),
    Case("Resize", (None, None, i(5, 20)), {"mode": "linear", "axes": [2, 3]}),
    Case(
        "Resize",
        (None, None, i(5, 20)),
        {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"},
    ),
    Case("Resize", (np.float32([]), np.float32([1, 1, 2, 2])), {"mode": "linear"}, opset=11),
]
THEMES = {
    "unary": UNARY,
    "activations": ACTIVATIONS,
    "binary": BINARY,
    "convolutions": CONVOLUTIONS,
    "pools": POOLS,
    "norms": NORMS,
    "reductions": REDUCTIONS,
    "shapes": SHAPES,
    "slices": SLICES,
    "gathers": GATHERS,
    "resizes": RESIZES,
}
CASES = [case for cases in THEMES.values() for case in cases]


def agree(theirs: Any, ours: Any) -> None:
    """Equal shapes, types and values; ONNX Runtime approximates erf, exp and tanh to 1e-6 or so."""
    assert theirs.shape == ours.shape
    if theirs.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_gives_what_onnx_runtime_gives(case: Case, tmp_path: Path) -> None:
    for theirs, ours in zip(*read_both(save_cases(tmp_path / "m.onnx", [case])), strict=True):
        agree(theirs, ours)


@pytest.mark.parametrize("case", POSITIVE, ids=str)
def test_an_operator_of_positive_numbers(case: Case, tmp_path: Path) -> None:
    model = read_onnx(save_cases(tmp_path / "m.onnx", [case]))
    low, high = (1.0, 2.0) if case.operator in ("Acosh", "Log", "Sqrt") else (0.0, 0.9)
    x = RANDOM.uniform(low, high, model.input.shape).astype(np.float32)
    [theirs], [ours] = answers(model, x)
    agree(theirs, ours)


@pytest.mark.parametrize("theme", THEMES)
def test_operators_are_exported(theme: str, tmp_path: Path) -> None:
    cases = [case for case in THEMES[theme] if case.opset == 20]
    model = read_onnx(save_cases(tmp_path / "m.onnx", cases))
    x = torch.from_numpy(image())
    program = torch.export.export(model.network, (torch.zeros(model.input.shape),))
    with torch.inference_mode():
        for ours, exported in zip(model.network(x), program.module()(x), strict=True):
            agree(ours.numpy(), exported.numpy())


def test_every_operator_has_a_case() -> None:
    covered = {(case.domain, case.operator) for case in (*CASES, *POSITIVE)}
    named = {("", name) for name in OPERATORS} | {("com.microsoft", name) for name in MICROSOFT}
    assert named - covered == {("", "ConstantOfShape"), ("", "Range")}  # below


def test_tensors_of_shapes_are_constants(tmp_path: Path) -> None:
    """A row of numbers as long as the image is wide, and zeros and sevens of its shape."""
    value = numpy_helper.from_array(np.float32([7]))
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "last"], ["width"]),
        helper.make_node("Range", ["zero", "width", "step"], ["row"]),
        helper.make_node("Cast", ["row"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ConstantOfShape", ["shape"], ["sevens"], value=value),
        helper.make_node("Sum", ["image", "floats", "zeros", "sevens"], ["y"]),
    ]
    numbers = {"last": 3, "zero": 0, "step": 1}
    stored = [numpy_helper.from_array(np.array(v), name) for name, v in numbers.items()]
    path = save_model(tmp_path / "m.onnx", nodes, stored, ["y"])
    [theirs], [ours] = read_both(path)
    agree(theirs, ours)
    np.testing.assert_allclose(ours, image() + np.arange(10) + 7, rtol=1e-6)
