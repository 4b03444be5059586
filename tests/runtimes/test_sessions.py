"""Sessions on files that other tools wrote: they promise nothing about who made a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeskin.errors import InvalidArtifact, MissingPackage, ShapeMismatch
from edgeskin.formats import open_session
from edgeskin.runtimes import TensorSpec


@pytest.fixture(scope="module")
def affine_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """doubled = 2 x, shifted = x + 1, for x float32 (N, 3)."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "one"], ["shifted"]),
            helper.make_node("Add", ["x", "x"], ["doubled"]),
        ],
        "affine",
        [value("x", TensorProto.FLOAT, ["N", 3])],
        [
            value("doubled", TensorProto.FLOAT, ["N", 3]),
            value("shifted", TensorProto.FLOAT, ["N", 3]),
        ],
        [numpy_helper.from_array(np.ones(3, np.float32), "one")],
    )
    opset = helper.make_opsetid("", 18)
    path = tmp_path_factory.mktemp("foreign") / "affine.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def quantized_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 tensor handed through RELU, without a signature: scale 0.5, zero point -3."""
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model, graph, code, op = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), None
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    for name in ("in", "out"):
        tensor, quantization = schema.TensorT(), schema.QuantizationParametersT()
        tensor.name, tensor.shape, tensor.type = name, [1, 4], schema.TensorType.INT8
        quantization.scale, quantization.zeroPoint = [0.5], [-3]
        tensor.quantization = quantization
        graph.tensors = [*(graph.tensors or []), tensor]
    op = schema.OperatorT()
    op.inputs, op.outputs = [0], [1]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [op]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path = tmp_path_factory.mktemp("foreign") / "relu.tflite"
    path.write_bytes(builder.Output())
    return path


def test_onnx_names_outputs_and_leaves_free_dimensions_free(affine_onnx: Path) -> None:
    with open_session(affine_onnx) as session:
        assert session.inputs == (TensorSpec("x", (-1, 3), "float32"),)
        x = np.arange(6, dtype=np.float32).reshape(2, 3)
        out = session.run({"x": x})
    assert list(out) == ["doubled", "shifted"]
    np.testing.assert_array_equal(out["doubled"], 2 * x)
    np.testing.assert_array_equal(out["shifted"], x + 1)


def test_litert_tells_scale_and_zero_point_and_falls_back_to_tensor_names(
    quantized_tflite: Path,
) -> None:
    with open_session(quantized_tflite) as session:
        assert session.inputs == (TensorSpec("in", (1, 4), "int8", 0.5, -3),)
        assert session.outputs == (TensorSpec("out", (1, 4), "int8", 0.5, -3),)
        out = session.run({"in": np.array([[-128, -4, -3, 5]], np.int8)})
    # Real values below 0, q below the zero point, become 0.
    np.testing.assert_array_equal(out["out"], [[-3, -3, -3, 5]])


@pytest.mark.parametrize("model", ["affine_onnx", "quantized_tflite"])
def test_outputs_are_copies(model: str, request: pytest.FixtureRequest) -> None:
    with open_session(request.getfixturevalue(model)) as session:
        given = session.inputs[0]
        shape = tuple(abs(size) for size in given.shape)
        ones, zeros = np.ones(shape, given.dtype), np.zeros(shape, given.dtype)
        first = session.run({given.name: ones})
        kept = {name: value.copy() for name, value in first.items()}
        session.run({given.name: zeros})
        for name, value in first.items():
            np.testing.assert_array_equal(value, kept[name])
            value[:] = 7  # and they can be written to


@pytest.mark.parametrize(
    ("feeds", "why"),
    [
        ({}, r"takes \['x'\], it was fed \[\]"),
        ({"y": np.zeros((1, 3), np.float32)}, r"it was fed \['y'\]"),
        ({"x": np.zeros((1, 4), np.float32)}, r"input x is float32 \(-1, 3\)"),
        ({"x": np.zeros(3, np.float32)}, r"it was fed float32 \(3,\)"),
        ({"x": np.zeros((1, 3), np.uint8)}, "it was fed uint8"),
    ],
)
def test_wrong_feeds_are_named(feeds: dict[str, Any], why: str, affine_onnx: Path) -> None:
    with open_session(affine_onnx) as session, pytest.raises(ShapeMismatch, match=why):
        session.run(feeds)


@pytest.mark.parametrize(("suffix", "who"), [(".onnx", "ONNX Runtime"), (".tflite", "LiteRT")])
def test_damaged_file_is_one_line(suffix: str, who: str, tmp_path: Path) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(b"\0\0\0\0TFL3" + b"\xff" * 64)
    with pytest.raises(InvalidArtifact, match=f"{who} refuses") as caught:
        open_session(path)
    assert "\n" not in str(caught.value)


def test_missing_runtime_names_the_extra(
    affine_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackage, match=r"pip install 'edgeskin\[run-onnx\]'"):
        open_session(affine_onnx)
