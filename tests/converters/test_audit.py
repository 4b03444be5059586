"""The audit: files of edgeskin, files of other tools, and networks written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeskin.artifacts import Precision
from edgeskin.converters.audit.describe import activations, batch_norms, float_between, weights
from edgeskin.converters.audit.examine import audit
from edgeskin.converters.audit.scales import oddities
from edgeskin.converters.audit.transposes import avoidable_transposes
from edgeskin.formats import FORMATS
from edgeskin.formats.model_audit import BatchNorm
from edgeskin.formats.network import (
    Network,
    Operator,
    Quantization,
    Role,
    Tensor,
)

Convert = Callable[..., Path]
every_target = pytest.mark.parametrize("target", FORMATS)
# The tiny network: 3x3 convolution 3 to 16, depthwise 3x3, 1x1 to 2, all on 20 x 24
# pixels; heads from 16 features to 3, 9 and 1.
PRODUCTS = 20 * 24 * (16 * 27 + 16 * 9 + 2 * 16) + 16 * (3 + 9 + 1)


# Files of edgeskin


@pytest.mark.slow
@every_target
@pytest.mark.parametrize(
    ("precision", "share", "weights"),
    [("fp32", 0.0, "float32"), ("fp16", 0.0, "float16"), ("int8", 1.0, "int8")],
)
def test_products_and_types(
    target: str, precision: Precision, share: float, weights: str, converted: Convert
) -> None:
    found = audit(converted(target, precision))
    if precision != "int8" or target == "coreml":  # else the stem is widened, with zeros
        assert found.multiply_adds.total == PRODUCTS
    assert found.multiply_adds.int8_share == share
    assert found.weights.keys() == {weights}
    assert found.weights[weights].tensors == 6
    assert found.metadata.precision == precision
    assert [end.name for end in found.inputs] == ["image"]
    names = ["severity", "count", "count_distribution", "area", "mask"]
    assert [end.name for end in found.outputs] == names


@pytest.mark.slow
@every_target
def test_an_int8_file_has_nothing_left_over(target: str, converted: Convert) -> None:
    found = audit(converted(target, "int8", "tensor"))
    assert found.batch_norms == ()
    assert found.transposes.avoidable == ()
    assert found.float_between_integers == ()
    assert found.scales.oddities == ()
    assert found.scales.weights.tensors == 6
    assert (found.scales.activations.smallest or 0) > 0
    listed = [tensor for tensor in found.tensors if tensor.kind == "weight"]
    channels = [1, 2, 3, 9, 16, 32 if target == "onnx" else 16]  # a widened stem has two pixels
    assert sorted(len(tensor.scale or ()) for tensor in listed) == channels
    assert {zero for tensor in listed for zero in tensor.zero_point or ()} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("io", ["tensor", "app"])
def test_xnnpack_takes_all_in_one_part(io: str, converted: Convert) -> None:
    path = audit(converted("tflite", "int8", io)).fast_path
    assert path.off == ()
    assert path.partitions == 1


@pytest.mark.slow
def test_core_ml_has_no_int8_pattern_for_mean_and_product(converted: Convert) -> None:
    path = audit(converted("coreml", "int8")).fast_path
    assert {o.type for o in path.off} == {"reduce_mean", "mul"}
    assert "coremltools' int8 patterns" in path.off[0].why


# Files of other tools


def qdq_file(path: Path, operator: str) -> Path:
    """image -> quantize -> dequantize -> `operator` -> quantize -> dequantize -> y."""
    value = helper.make_tensor_value_info
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("QuantizeLinear", ["image", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            node(operator, ["d"], ["e"]),
            node("QuantizeLinear", ["e", "s", "z"], ["r"]),
            node("DequantizeLinear", ["r", "s", "z"], ["y"]),
        ],
        "foreign",
        [value("image", TensorProto.FLOAT, [1, 8])],
        [value("y", TensorProto.FLOAT, [1, 8])],
        [
            numpy_helper.from_array(np.array(0.02, np.float32), "s"),
            numpy_helper.from_array(np.array(128, np.uint8), "z"),
        ],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


@pytest.mark.parametrize(("operator", "off"), [("Sigmoid", []), ("Tanh", ["Tanh"])])
def test_onnx_runtime_has_an_integer_sigmoid_and_no_tanh(
    operator: str, off: list[str], tmp_path: Path
) -> None:
    found = audit(qdq_file(tmp_path / "foreign.onnx", operator))
    assert [o.type for o in found.fast_path.off] == off
    row = next(row for row in found.operators if row.type == operator)
    assert (row.integer, row.float) == (1, 0)  # as the file has it
    assert found.metadata.missing is not None
    assert found.activations == {"float32": 1, "uint8": 2}


def test_one_constant_read_with_two_scales(tmp_path: Path) -> None:
    """Equal integers are stored once, whatever their scales: 3.0 and 1/6 are both 127."""
    value = helper.make_tensor_value_info
    node = helper.make_node
    names = ("three", "sixth")
    graph = helper.make_graph(
        [
            *(node("DequantizeLinear", ["c", f"s_{name}", "z"], [name]) for name in names),
            node("MatMul", ["x", "three"], ["y"]),
            node("MatMul", ["y", "sixth"], ["w"]),
        ],
        "shared",
        [value("x", TensorProto.FLOAT, [2, 2])],
        [value("w", TensorProto.FLOAT, [2, 2])],
        [
            numpy_helper.from_array(np.full((2, 2), 127, np.int8), "c"),
            numpy_helper.from_array(np.array(0, np.int8), "z"),
            numpy_helper.from_array(np.array(3 / 127, np.float32), "s_three"),
            numpy_helper.from_array(np.array(1 / 6 / 127, np.float32), "s_sixth"),
        ],
    )
    path = tmp_path / "shared.onnx"
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    from edgeskin.formats.onnx.reader import read

    network = read(path)
    scales = [network.stored(name).quantization for name in names]
    assert [q.scale[0] for q in scales if q] == pytest.approx([3 / 127, 1 / 6 / 127])
    assert audit(path).multiply_adds.to_json() == {
        "total": 16,
        "uncounted": 0,
        "int8_share": 0.0,
        "by_types": {"float32 x int8": 16},
    }


# Networks written by hand


def chain(*steps: tuple[str, Role], shape: tuple[int, ...] = (1, 8, 6, 4)) -> Network:
    """Operators one behind the other, from `x` to the last one's output."""
    names = ["x", *(f"t{i}" for i in range(len(steps)))]
    operators = [
        Operator(kind, (names[i],), (names[i + 1],), role, (0, 2, 3, 1))
        for i, (kind, role) in enumerate(steps)
    ]
    tensors = {name: Tensor(name, shape, "float32") for name in names}
    return Network(tuple(operators), tensors, ("x",), (names[-1],))


TRANSPOSE: tuple[str, Role] = ("TRANSPOSE", "transpose")


@pytest.mark.parametrize(
    ("steps", "avoidable"),
    [
        ([("CAST", "other"), TRANSPOSE, ("CONV_2D", "other")], 0),  # pixels come as they come
        ([("CONV_2D", "other"), TRANSPOSE, ("DEQUANTIZE", "dequantize")], 0),  # the output's layout
        ([("CONV_2D", "other"), TRANSPOSE, ("ADD", "other")], 1),
    ],
)
def test_a_layout_change_is_avoidable_between_operators(
    steps: list[tuple[str, Role]], avoidable: int
) -> None:
    found = avoidable_transposes(chain(*steps))
    assert len(found) == avoidable
    assert all("changes the layout between two operators" in entry.why for entry in found)


def test_transposes_of_one_pixel_and_of_attention_are_needed() -> None:
    steps: tuple[tuple[str, Role], ...] = (("CONV_2D", "other"), TRANSPOSE, ("ADD", "other"))
    pixel = chain(*steps, shape=(1, 8, 1, 1))
    assert avoidable_transposes(pixel) == ()
    network = chain(*steps)
    operators = list(network.operators)
    operators[1] = Operator("TRANSPOSE", ("t0",), ("t1",), "transpose", (0, 2, 1, 3))
    assert avoidable_transposes(Network(tuple(operators), network.tensors, ("x",), ("t2",))) == ()


def odd_scales(network: Network) -> list[dict[str, str]]:
    found = oddities(network, weights(network), activations(network))
    return [oddity.to_json() for oddity in found]


def integers(*names: str) -> dict[str, Tensor]:
    made = Quantization((0.1,), (0,))
    return {name: Tensor(name, (1, 4), "int8", quantization=made) for name in names}


@pytest.mark.parametrize(
    ("qdq", "between"),
    [
        (False, ["LAYER_NORM", "SQUARE", "SQRT"]),  # conversions, and float between them
        (True, ["SQUARE", "SQRT"]),  # a pair around one operator stands for integers
    ],
)
def test_float_between_integers(qdq: bool, between: list[str]) -> None:
    """A softmax comes after all integers, a cast of pixels before."""
    steps: tuple[tuple[str, Role], ...] = (
        ("CAST", "other"),
        ("QUANTIZE", "quantize"),
        ("RESIZE", "other"),
        ("DEQUANTIZE", "dequantize"),
        ("LAYER_NORM", "other"),
        ("QUANTIZE", "quantize"),
        ("RESIZE", "other"),
        ("DEQUANTIZE", "dequantize"),
        ("SQUARE", "other"),
        ("SQRT", "other"),
        ("QUANTIZE", "quantize"),
        ("RESIZE", "other"),
        ("DEQUANTIZE", "dequantize"),
        ("SOFTMAX", "other"),
    )
    network = chain(*steps)
    tensors = dict(network.tensors) | integers("t1", "t2", "t5", "t6", "t10", "t11")
    network = Network(network.operators, tensors, ("x",), network.outputs, qdq=qdq)
    assert [op.type for op in float_between(network)] == between


def test_a_batch_norm_written_as_factor_and_offset() -> None:
    sizes = {"x": (1, 4, 4, 8), "y": (1, 4, 4, 8), "m": (1, 4, 4, 8), "z": (1, 4, 4, 8)}
    tensors = {name: Tensor(name, size, "float32") for name, size in sizes.items()}
    for name, size in {"w": (8, 1, 1, 8), "factor": (8,), "offset": (1, 1, 1, 8)}.items():
        tensors[name] = Tensor(name, size, "float32", constant=True)
    operators = (
        Operator("CONV_2D", ("x", "w"), ("y",), "multiply", operands=("x", "w")),
        Operator("MUL", ("y", "factor"), ("m",)),
        Operator("ADD", ("m", "offset"), ("z",)),
    )
    left = (BatchNorm(name="m", foldable=True),)
    assert batch_norms(Network(operators, tensors, ("x",), ("z",))) == left
    tensors["factor"] = Tensor("factor", (1,), "float32", constant=True)
    assert batch_norms(Network(operators, tensors, ("x",), ("z",))) == ()


@pytest.mark.parametrize(
    ("scale", "zero", "why"),
    [
        ((0.0, 0.1), (0, 0), "1 of 2 scales are not above 0 and finite, as 0"),
        ((float("nan"), 0.1), (0, 0), "1 of 2 scales are not above 0 and finite, as nan"),
        ((0.1, 0.2), (0, 200), "a zero point lies outside int8"),
        ((0.1, 0.1), (0, 0), "all 2 channels have the scale 0.1"),
        ((0.1, 0.2), (0, 0), None),
    ],
)
def test_scales_of_weights_that_are_odd(
    scale: tuple[float, ...], zero: tuple[int, ...], why: str | None
) -> None:
    weight = Tensor("w", (2, 4), "int8", constant=True, quantization=Quantization(scale, zero, 0))
    tensors = integers("x", "y") | {"w": weight}
    operator = Operator("FULLY_CONNECTED", ("x", "w"), ("y",), "multiply", operands=("x", "w"))
    network = Network((operator,), tensors, ("x",), ("y",))
    odd = odd_scales(network)
    kind = "one scale" if why and why.startswith("all") else "broken"
    assert odd == ([{"tensor": "w", "why": why, "kind": kind}] if why else [])


@pytest.mark.parametrize(
    ("scale", "why"),
    [
        (260.0, "it reaches 66300, beyond float16"),  # 255 steps above the zero point
        (2.0**-25, "its scale 2.98023e-08 is 0 in float16"),
        (2.0**-24, None),
        (250.0, None),
    ],
)
def test_scales_of_activations_that_float16_cannot_hold(scale: float, why: str | None) -> None:
    tensors = integers("x") | {
        "y": Tensor("y", (1, 4), "int8", quantization=Quantization((scale,), (-128,)))
    }
    network = Network((Operator("ADD", ("x",), ("y",)),), tensors, ("x",), ("y",))
    odd = odd_scales(network)
    assert odd == ([{"tensor": "y", "why": why, "kind": "float16"}] if why else [])


def test_a_pair_whose_two_sides_disagree() -> None:
    """As coremltools leaves them around residual adds, where it may."""
    tensors = integers("x", "q") | {"y": Tensor("y", (1, 4), "float32")}
    other = Quantization((0.2,), (0,))
    operators = (
        Operator("add", ("x",), ("q",)),
        Operator("dequantize", ("q",), ("y",), "dequantize", quantization=other),
    )
    network = Network(operators, tensors, ("x",), ("y",))
    (entry,) = odd_scales(network)
    assert (entry["tensor"], entry["kind"]) == ("q", "unequal")
    assert "another scale or zero point" in entry["why"]
