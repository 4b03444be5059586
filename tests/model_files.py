"""Small model files written by hand: no converter, so that their contents are known."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.formats.coreml.package import messages

WEIGHTS = np.arange(-36, 36, dtype=np.int8).reshape(2, 3, 3, 4)  # O, H, W, I: 72 values
FLOAT16, FLOAT32, INT8 = 10, 11, 21  # of MIL
CONV = 6 * 5 * 2 * 3 * 3 * 4  # multiply-adds: 6 x 5 pixels, 2 channels, 3 x 3 x 4 each


def tflite(path: Path, *, runtime: str = "2.3.0", version: int = 3) -> Path:
    """Image (1, 6, 5, 4) int8, a 3 x 3 convolution to 2 channels, RELU."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.description = 3, "by hand"
    bias = np.array([1, 2], np.int32)
    model.buffers = [_buffer(schema, data) for data in (b"", WEIGHTS, bias)]
    add_metadata(model, "min_runtime_version", runtime.encode())
    codes = schema.BuiltinOperator
    model.operatorCodes = [_code(schema, codes.CONV_2D, version), _code(schema, codes.RELU, 2)]
    graph = schema.SubGraphT()
    kinds = schema.TensorType
    graph.tensors = [
        _tensor(schema, "image", (1, 6, 5, 4), kinds.INT8, 0, [0.5], [3]),
        _tensor(schema, "weights", WEIGHTS.shape, kinds.INT8, 1, [0.1, 0.2], [0, 0]),
        _tensor(schema, "bias", (2,), kinds.INT32, 2, [0.05, 0.1], [0, 0]),
        _tensor(schema, "features", (1, 6, 5, 2), kinds.INT8, 0, [0.25], [-1]),
        _tensor(schema, "out", (1, 6, 5, 2), kinds.INT8, 0, [0.25], [-1]),
    ]
    conv = _operator(schema, 0, [0, 1, 2], [3])
    conv.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    conv.builtinOptions = schema.Conv2DOptionsT()
    conv.builtinOptions.strideH = conv.builtinOptions.strideW = 1
    graph.operators = [conv, _operator(schema, 1, [3], [4])]
    graph.inputs, graph.outputs = [0], [4]
    model.subgraphs = [graph]
    return pack(model, path)


def add_metadata(model: Any, name: str, content: bytes) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model.buffers.append(_buffer(schema, content))
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def pack(model: Any, path: Path) -> Path:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _buffer(schema: Any, data: bytes | NDArray[Any]) -> Any:
    made = schema.BufferT()
    content = data if isinstance(data, bytes) else data.tobytes()
    made.data = np.frombuffer(content, np.uint8) if content else None
    return made


def _code(schema: Any, number: int, version: int) -> Any:
    made = schema.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode, made.version = number, number, version
    return made


def _tensor(
    schema: Any,
    name: str,
    shape: tuple[int, ...],
    kind: int,
    buffer: int,
    scale: list[float],
    zero: list[int],
) -> Any:
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, list(shape), kind, buffer
    grid = schema.QuantizationParametersT()
    grid.scale, grid.zeroPoint = np.array(scale, np.float32), np.array(zero, np.int64)
    made.quantization = grid
    return made


def _operator(schema: Any, code: int, inputs: list[int], outputs: list[int]) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
    return made


def onnx_qdq(path: Path, *, external: str = "", batch: int | str = 1) -> Path:
    """Image (batch, 4, 6, 5), quantized, a 3 x 3 convolution in int8 to 2 channels, and a Relu."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    node, value = helper.make_node, helper.make_tensor_value_info
    weights = numpy_helper.from_array(WEIGHTS.transpose(0, 3, 1, 2).copy(), "w")
    graph = helper.make_graph(
        [
            node("QuantizeLinear", ["image", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["x"]),
            node("DequantizeLinear", ["w", "ws", "wz"], ["weights"], axis=0),
            node("Conv", ["x", "weights"], ["features"], pads=[1, 1, 1, 1]),
            node("Relu", ["features"], ["out"]),
        ],
        "by hand",
        [value("image", TensorProto.FLOAT, [batch, 4, 6, 5])],
        [value("out", TensorProto.FLOAT, [batch, 2, 6, 5])],
        [
            weights,
            numpy_helper.from_array(np.array(0.5, np.float32), "s"),
            numpy_helper.from_array(np.array(3, np.uint8), "z"),
            numpy_helper.from_array(np.array([0.1, 0.2], np.float32), "ws"),
            numpy_helper.from_array(np.zeros(2, np.int8), "wz"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model.producer_name = "by hand"
    if external:
        (stored,) = (t for t in model.graph.initializer if t.name == "w")
        (path.parent / external).write_bytes(stored.raw_data)
        onnx.external_data_helper.set_external_data(stored, external, 0, len(stored.raw_data))
        stored.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    return path


def mlpackage(path: Path) -> Path:
    """Pixels (1, 4, 6, 5) in float16, a 3 x 3 convolution with int8 weights, relu, gather."""
    model = messages("Model_pb2").Model()
    model.specificationVersion = 8
    feature = model.description.input.add(name="image").type.multiArrayType
    feature.shape.extend([1, 4, 6, 5])
    model.description.output.add(name="out")
    model.description.metadata.author = "by hand"
    function = model.mlProgram.functions["main"]
    function.opset = "CoreML7"
    _value_type(function.inputs.add(name="image").type, FLOAT16, (1, 4, 6, 5))
    block = function.block_specializations["CoreML7"]
    weights = path / "Data/com.apple.CoreML/weights/weight.bin"
    weights.parent.mkdir(parents=True)
    places = _blobs(weights, [(4, WEIGHTS.tobytes()), (1, np.array([0.1, 0.2], "f2").tobytes())])
    op = _mil(block, "constexpr_affine_dequantize", {}, "w", FLOAT16, (2, 4, 3, 3))
    _blob(op.attributes["quantized_data"], INT8, (2, 4, 3, 3), places[0])
    _blob(op.attributes["scale"], FLOAT16, (2,), places[1])
    _numbers(op.attributes["zero_point"], INT8, (), b"\0")
    _numbers(op.attributes["axis"], 23, (), [0])
    _mil(block, "conv", {"x": "image", "weight": "w"}, "features", FLOAT16, (1, 2, 6, 5))
    _mil(block, "relu", {"x": "features"}, "positive", FLOAT16, (1, 2, 6, 5))
    chosen = _mil(block, "const", {}, "chosen", 23, (1,))
    _numbers(chosen.attributes["val"], 23, (1,), [0])
    _mil(block, "gather", {"x": "positive", "indices": "chosen"}, "out", FLOAT16, (1, 2, 6, 5))
    block.outputs.append("out")
    (path / "Data/com.apple.CoreML/model.mlmodel").write_bytes(model.SerializeToString())
    return manifest(path)


def manifest(package: Path, model: str = "com.apple.CoreML/model.mlmodel") -> Path:
    """Write the Manifest.json that says where the package's model lies, below Data."""
    entry = {"author": "by hand", "name": "model.mlmodel", "path": model}
    document = {"fileFormatVersion": "1.0.0", "itemInfoEntries": {"model": entry}}
    text = json.dumps(document | {"rootModelIdentifier": "model"})
    (package / "Manifest.json").write_text(text)
    return package


def _mil(
    block: Any, kind: str, inputs: dict[str, str], made: str, dtype: int, shape: tuple[int, ...]
) -> Any:
    op = block.operations.add(type=kind)
    for key, name in inputs.items():
        op.inputs[key].arguments.add(name=name)
    _value_type(op.outputs.add(name=made).type, dtype, shape)
    return op


def _value_type(kind: Any, dtype: int, shape: tuple[int, ...]) -> None:
    kind.tensorType.dataType, kind.tensorType.rank = dtype, len(shape)
    for size in shape:
        kind.tensorType.dimensions.add().constant.size = size


def _blob(value: Any, dtype: int, shape: tuple[int, ...], at: int) -> None:
    _value_type(value.type, dtype, shape)
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = at


def _numbers(value: Any, dtype: int, shape: tuple[int, ...], numbers: bytes | list[int]) -> None:
    _value_type(value.type, dtype, shape)
    tensor = value.immediateValue.tensor
    if isinstance(numbers, bytes):
        tensor.bytes.values = numbers
    else:
        tensor.ints.values.extend(numbers)


def _blobs(path: Path, entries: list[tuple[int, bytes]]) -> list[int]:
    """A weights file as MILBlob/Blob/StorageFormat.hpp describes it; where each header is."""
    content, places = bytearray(struct.pack("<II", len(entries), 2).ljust(64, b"\0")), []
    for kind, data in entries:
        places.append(len(content))
        header = struct.pack("<IIQQ", 0xDEADBEEF, kind, len(data), len(content) + 64)
        content += header.ljust(64, b"\0") + data.ljust(-(-len(data) // 64) * 64, b"\0")
    path.write_bytes(content)
    return places


def mlmodel(path: Path) -> Path:
    """A classifier of layers: an image scaled, convolution in float16, batch norm, ReLU, dense."""
    model = messages("Model_pb2").Model()
    model.specificationVersion = 4
    image = model.description.input.add(name="image").type.imageType
    image.width, image.height, image.colorSpace = 5, 6, 20
    model.description.output.add(name="out").type.multiArrayType.shape.extend([2])
    body = model.neuralNetworkClassifier
    scaler = body.preprocessing.add(featureName="image").scaler
    scaler.channelScale, scaler.redBias, scaler.blueBias = 1 / 127.5, -1.0, -0.5
    conv = body.layers.add(name="conv", input=["image"], output=["features"])
    tensor = conv.outputTensor.add(rank=3)
    tensor.dimValue.extend([2, 6, 5])
    conv.convolution.kernelChannels, conv.convolution.outputChannels = 3, 2
    conv.convolution.kernelSize.extend([3, 3])
    conv.convolution.weights.float16Value = np.ones(54, "f2").tobytes()
    conv.convolution.bias.floatValue.extend([0.0, 1.0])
    norm = body.layers.add(name="norm", input=["features"], output=["normed"]).batchnorm
    norm.channels = 2
    norm.gamma.floatValue.extend([1.0, 1.0])
    relu = body.layers.add(name="relu", input=["normed"], output=["positive"]).activation
    relu.ReLU.SetInParent()
    dense = body.layers.add(name="dense", input=["positive"], output=["out"]).innerProduct
    dense.inputChannels, dense.outputChannels = 60, 2
    dense.weights.rawValue = bytes(60)  # 120 values of 4 bits
    dense.weights.quantization.numberOfBits = 4
    dense.weights.quantization.lookupTableQuantization.floatValue.extend([0.0] * 16)
    path.write_bytes(model.SerializeToString())
    return path
