"""Every target and precision: what is in the file, and that it computes the same function."""

from __future__ import annotations

import copy
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from tiny_network import tiny_job

from edgeskin.artifacts import Io, Precision, read_metadata
from edgeskin.converters import PRECISIONS, selfcheck
from edgeskin.files import sha256
from edgeskin.formats import FORMATS, open_session

pytestmark = pytest.mark.slow
Convert = Callable[..., Path]
DECODED = ("severity", "count", "count_distribution", "area", "mask")
RAW = ("severity", "count", "area", "mask")
# Float rounding through a handful of layers; float16 holds 11 bits; an INT8 file may
# round a few of its integers to the other side than torch does, by one step each.
AT_LEAST_DB = {"fp32": 100.0, "fp16": 45.0, "int8": 25.0}
every_target = pytest.mark.parametrize("target", FORMATS)
every_precision = pytest.mark.parametrize("precision", PRECISIONS)
every_io = pytest.mark.parametrize("io", ["app", "tensor"])


@every_target
@every_precision
@every_io
def test_metadata_is_inside(target: str, precision: Precision, io: Io, converted: Convert) -> None:
    path = converted(target, precision, io)
    assert read_metadata(path) == tiny_job(precision, io).metadata


@pytest.mark.parametrize("target", ["tflite", "onnx"])
@every_precision
@every_io
def test_file_computes_what_torch_computes(
    target: str, precision: Precision, io: Io, converted: Convert
) -> None:
    report = selfcheck.measure(tiny_job(precision, io), converted(target, precision, io))
    assert tuple(report.outputs) == DECODED
    for name, output in report.outputs.items():
        sqnr = output.sqnr_db
        assert sqnr is None or sqnr >= AT_LEAST_DB[precision], (name, output)


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_bgr_networks_still_take_rgb_pixels(target: str, tmp_path: Path) -> None:
    size = tiny_job("fp32").metadata.spec.input
    job = tiny_job("fp32", input=size.model_copy(update={"color_order": "BGR"}))
    path = tmp_path / f"bgr{FORMATS[target].suffix}"
    FORMATS[target].convert(job, path)
    outputs = selfcheck.measure(job, path).outputs
    assert all(o.sqnr_db is None or o.sqnr_db >= 100 for o in outputs.values())


@pytest.mark.parametrize("target", ["tflite", "onnx"])
@every_precision
def test_app_takes_pixels_and_gives_named_floats(
    target: str, precision: Precision, converted: Convert
) -> None:
    with open_session(converted(target, precision)) as session:
        (image,) = session.inputs
        assert (image.name, image.shape, image.dtype) == ("image", (1, 40, 48, 3), "uint8")
        assert tuple(spec.name for spec in session.outputs) == DECODED
        assert {spec.dtype for spec in session.outputs} == {"float32"}
        assert session.outputs[-1].shape == (1, 20, 24, 2)


@pytest.mark.parametrize(
    ("target", "precision", "dtype", "shape"),
    [
        ("tflite", "fp32", "float32", (1, 40, 48, 3)),
        ("tflite", "fp16", "float32", (1, 40, 48, 3)),
        ("tflite", "int8", "int8", (1, 40, 48, 3)),
        ("onnx", "fp32", "float32", (1, 3, 40, 48)),
        ("onnx", "fp16", "float32", (1, 3, 40, 48)),
        ("onnx", "int8", "float32", (1, 3, 40, 48)),
    ],
)
def test_tensor_io_is_the_bare_network(
    target: str, precision: Precision, dtype: str, shape: tuple[int, ...], converted: Convert
) -> None:
    with open_session(converted(target, precision, "tensor")) as session:
        given = session.inputs[0]
        assert (given.name, given.dtype, given.shape) == ("image", dtype, shape)
        assert (given.scale is not None) == (dtype == "int8")
        assert tuple(spec.name for spec in session.outputs) == RAW


@every_target
@every_precision
def test_same_conversion_gives_the_same_bytes(
    target: str, precision: Precision, converted: Convert, tmp_path: Path
) -> None:
    first = converted(target, precision)
    again = tmp_path / first.name
    FORMATS[target].convert(tiny_job(precision), again)
    assert sha256(again) == sha256(first)


def _paths_of_this_machine() -> bytes:
    roots = (Path.cwd(), Path.home(), Path(tempfile.gettempdir()), Path(sys.prefix))
    return b"|".join([rb"site-packages|\.py\b", *(re.escape(f"{r}/").encode() for r in roots)])


@every_target
def test_no_path_of_this_machine_is_inside(target: str, converted: Convert) -> None:
    path = converted(target, "fp32")
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    for file in files:
        assert not re.search(_paths_of_this_machine(), file.read_bytes())


# TFLite


def tflite_tensors(path: Path) -> list[tuple[str, list[str]]]:
    """Operators in order, each with the types of its inputs, by LiteRT's own schema."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    operators = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    types = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    return [
        (
            operators[model.operatorCodes[op.opcodeIndex].builtinCode],
            [types[graph.tensors[i].type] for i in op.inputs if i >= 0],
        )
        for op in graph.operators
    ]


def test_tflite_int8_leaves_no_float_convolution_and_no_layout_change(converted: Convert) -> None:
    operators = tflite_tensors(converted("tflite", "int8"))
    compute = [
        inputs[:2]
        for name, inputs in operators
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    ]
    assert compute == [["INT8", "INT8"]] * 6  # 3 convolutions and 3 heads
    names = [name for name, _ in operators]
    assert "TRANSPOSE" not in names
    assert names.count("QUANTIZE") - names.count("DEQUANTIZE") == 1 - 5  # pixels in, 4 heads out


def test_tflite_int8_tensor_io_is_all_integer(converted: Convert) -> None:
    operators = tflite_tensors(converted("tflite", "int8", "tensor"))
    assert "FLOAT32" not in {kind for _, inputs in operators for kind in inputs}


def test_tflite_fp16_stores_weights_as_float16(converted: Convert) -> None:
    operators = tflite_tensors(converted("tflite", "fp16"))
    halves = [inputs for name, inputs in operators if name == "DEQUANTIZE"]
    assert halves.count(["FLOAT16"]) >= 6  # the weights of 3 convolutions and 3 heads


def test_tflite_metadata_by_its_published_schema(converted: Convert) -> None:
    """Slots by metadata_schema.fbs; the whole table was also read with tflite-support 0.4.4."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    from flatbuffers import encode, number_types, table

    content = converted("tflite", "fp32").read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    entry = next(e for e in model.metadata if e.name == b"TFLITE_METADATA")
    data = bytes(model.buffers[entry.buffer].data)
    assert data[4:8] == b"M001"
    root = table.Table(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))

    def text(of: table.Table, slot: int) -> bytes:
        return bytes(of.String(of.Offset(4 + 2 * slot) + of.Pos))

    def children(of: table.Table, slot: int) -> list[table.Table]:
        at = of.Offset(4 + 2 * slot)
        start = of.Vector(at) if at else 0
        count = of.VectorLen(at) if at else 0
        return [table.Table(data, of.Indirect(start + 4 * i)) for i in range(count)]

    assert [text(root, slot) for slot in (0, 5, 7)] == [b"tiny", b"CC0-1.0", b"1.0.0"]
    assert [text(file, 0) for file in children(root, 6)] == [b"edgeskin.json"]
    (subgraph,) = children(root, 3)
    assert [text(tensor, 0) for tensor in children(subgraph, 2)] == [b"image"]
    outputs = children(subgraph, 3)
    assert [text(tensor, 0).decode() for tensor in outputs] == list(DECODED)
    assert [text(file, 0) for file in children(outputs[0], 6)] == [b"severity.txt"]


# ONNX


def test_onnx_passes_its_checker_and_names_its_maker(converted: Convert) -> None:
    for precision in PRECISIONS:
        model = onnx.load(converted("onnx", precision))
        onnx.checker.check_model(model, full_check=True)
        assert model.producer_name == "edgeskin"
        assert model.opset_import[0].version == 20
        assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_onnx_fp16_computes_in_float16(converted: Convert) -> None:
    model = onnx.load(converted("onnx", "fp16"))
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    weights = [constants[n.input[1]] for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
    assert weights == [TensorProto.FLOAT16] * 6


def test_onnx_int8_has_uint8_activations_and_int8_weights(converted: Convert) -> None:
    model = onnx.load(converted("onnx", "int8"))
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    layers = [constants[n.input[0]].dtype for n in nodes if constants[n.input[2]].ndim == 1]
    activations = [n for n in nodes if constants[n.input[2]].ndim == 0]
    assert (layers.count(np.int8), layers.count(np.int32)) == (6, 6)  # weights, biases
    assert {constants[n.input[2]].dtype for n in activations} == {np.dtype(np.uint8)}
    assert len(layers) == 12
    assert len(activations) >= 12


# Core ML


def coreml_operators(path: Path) -> tuple[object, list[str]]:
    ct = pytest.importorskip("coremltools")
    spec = ct.models.MLModel(str(path), skip_model_load=True).get_spec()
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    return spec, [operation.type for operation in block.operations]


@every_precision
def test_coreml_takes_an_image_and_gives_named_floats(
    precision: Precision, converted: Convert
) -> None:
    spec, operators = coreml_operators(converted("coreml", precision))
    (image,) = spec.description.input  # type: ignore[attr-defined]
    kind = image.type.imageType
    assert (image.name, kind.height, kind.width) == ("image", 40, 48)
    assert kind.ColorSpace.Name(kind.colorSpace) == "RGB"
    outputs = spec.description.output  # type: ignore[attr-defined]
    assert tuple(output.name for output in outputs) == DECODED
    float32 = outputs[0].type.multiArrayType.FLOAT32
    assert {output.type.multiArrayType.dataType for output in outputs} == {float32}
    assert "batch_norm" not in operators


def test_coreml_int8_has_integer_weights_and_activations(converted: Convert) -> None:
    spec, operators = coreml_operators(converted("coreml", "int8"))
    assert operators.count("constexpr_affine_dequantize") == 7  # and one constant
    assert operators.count("quantize") >= 6
    assert spec.specificationVersion == 8  # type: ignore[attr-defined]  # iOS 17


def test_coreml_tensor_io_takes_an_array(converted: Convert) -> None:
    spec, _ = coreml_operators(converted("coreml", "fp16", "tensor"))
    (image,) = spec.description.input  # type: ignore[attr-defined]
    assert list(image.type.multiArrayType.shape) == [1, 3, 40, 48]
    assert tuple(o.name for o in spec.description.output) == RAW  # type: ignore[attr-defined]


# Self-check


def test_selfcheck_finds_a_file_of_another_network(converted: Convert, tmp_path: Path) -> None:
    path = tmp_path / "tiny-fp32.onnx"
    shutil.copy(converted("onnx", "fp32"), path)
    model = onnx.load(path)
    weights = next(t for t in model.graph.initializer if t.name.endswith("heads.2.weight"))
    weights.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weights), weights.name))
    onnx.save(model, path)
    with pytest.raises(selfcheck.ConversionFailed, match=r"output 'area' agrees to -?\d+\.\d dB"):
        selfcheck.measure(tiny_job("fp32"), path)


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_selfcheck_finds_values_that_do_not_fit_float16(target: str, tmp_path: Path) -> None:
    job = tiny_job("fp16")
    network = copy.deepcopy(job.network)
    with torch.no_grad():
        network.heads[2].weight *= 1e6  # type: ignore[union-attr, index, operator]
    path = tmp_path / f"tiny-fp16{FORMATS[target].suffix}"
    job = replace(job, network=network)
    FORMATS[target].convert(job, path)
    with pytest.raises(selfcheck.ConversionFailed, match="do not fit float16"):
        selfcheck.measure(job, path)


def test_selfcheck_images_are_the_same_each_time() -> None:
    size = tiny_job("fp32").metadata.spec.input
    first, again = selfcheck.images(size), selfcheck.images(size)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert {image.shape for image in first} == {(40, 48, 3)}
    assert min(image.std() for image in first) > 30  # no flat ones
