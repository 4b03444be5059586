"""What each format says of itself, in files whose contents are known: see `model_files`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeskin.converters.audit.examine import audit
from edgeskin.formats.model_audit import BatchNorm, LayerSize, WeightTypes
from edgeskin.formats.tflite.metadata_writer import _table, _vector

VALUES = model_files.WEIGHTS.size


# TFLite


def test_a_tflite_file(tmp_path: Path) -> None:
    found = audit(model_files.tflite(tmp_path / "hand.tflite"))
    assert found.multiply_adds.to_json() == {
        "total": model_files.CONV,
        "uncounted": 0,
        "int8_share": 1.0,
        "by_types": {"int8 x int8": model_files.CONV},
    }
    assert [end.to_json() for end in found.inputs] == [
        {
            "name": "image",
            "dtype": "int8",
            "shape": [1, 6, 5, 4],
            "scale": [0.5],
            "zero_point": [3],
        }
    ]
    assert found.deployment == {
        "schema_version": 3,
        "needs": "TensorFlow Lite 2.3.0, or LiteRT",
        "operator_versions": {"CONV_2D": 3, "RELU": 2},
    }
    assert found.file_metadata == {"description": "by hand"}
    layer = {"name": "features", "type": "CONV_2D", "bytes": VALUES + 2 * 4}
    assert found.sizes.to_json() == {"constants": VALUES + 8, "other": 0, "layers": [layer]}
    # 127 - 3 = 124 steps above and 131 below the zero point of the image, of 0.5 each.
    assert found.float16.largest == 131 * 0.5
    assert found.float16.headroom == 65504 / 65.5


def test_a_tflite_file_with_an_open_batch(tmp_path: Path) -> None:
    """Its `shape` says one image, its `shape_signature` -1: counted as of one."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    path = model_files.tflite(tmp_path / "hand.tflite")
    closed = audit(path)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = np.array([-1, *tensor.shape[1:]], np.int32)
    b = Builder(1024)
    b.Finish(model.Pack(b), file_identifier=b"TFL3")
    path.write_bytes(bytes(b.Output()))
    found = audit(path)
    for field in ("multiply_adds", "weights", "inputs", "operators"):
        assert getattr(found, field) == getattr(closed, field), field


def test_image_settings_in_tflite_metadata(tmp_path: Path) -> None:
    """NormalizationOptions and ImageProperties, built as metadata_schema.fbs has them."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    b = flatbuffers.Builder(256)
    mean, std = (_floats(b, values) for values in ([127.5], [128.0]))
    unit = _union(b, 1, _offsets(b, {0: mean, 1: std}))
    content = _union(b, 2, _table(b, {0: 1}))
    name = b.CreateString("face")
    tensor = _offsets(b, {0: name, 3: content, 4: _vector(b, [unit])})
    root = _table(b, {0: "hand", 5: "CC0", 3: [_table(b, {2: [tensor]})]})
    b.Finish(root, file_identifier=b"M001")
    path = model_files.tflite(tmp_path / "hand.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model_files.add_metadata(model, "TFLITE_METADATA", bytes(b.Output()))
    found = audit(model_files.pack(model, path))
    assert [image.to_json() for image in found.images] == [
        {
            "input": "face",
            "said_by": "TFLite Metadata",
            "colour": "RGB",
            "mean": [127.5],
            "std": [128.0],
        }
    ]
    assert found.file_metadata["license"] == "CC0"


def _offsets(b: Any, slots: dict[int, int]) -> int:
    b.StartObject(max(slots) + 1)
    for slot, offset in slots.items():
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(b.EndObject())


def _union(b: Any, kind: int, table: int) -> int:
    b.StartObject(2)
    b.PrependUint8Slot(0, kind, 0)
    b.PrependUOffsetTRelativeSlot(1, table, 0)
    return int(b.EndObject())


def _floats(b: Any, values: list[float]) -> int:
    return int(b.CreateNumpyVector(np.array(values, np.float32)))


def test_other_subgraphs_are_named(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    path = model_files.tflite(tmp_path / "hand.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.subgraphs.append(model.subgraphs[0])
    found = audit(model_files.pack(model, path))
    assert found.beside == ("subgraph 1: 2 operators",)
    assert found.multiply_adds.total == model_files.CONV


# ONNX


@pytest.mark.parametrize("external", ["", "weights.bin"])
def test_an_onnx_file(external: str, tmp_path: Path) -> None:
    found = audit(model_files.onnx_qdq(tmp_path / "hand.onnx", external=external))
    assert found.multiply_adds.by_types == {"uint8 x int8": model_files.CONV}
    (weight,) = (t for t in found.tensors if t.kind == "weight")
    assert weight.scale == pytest.approx([0.1, 0.2])
    # ONNX 1.13 brought opset 18 and IR version 8 (onnx/docs/Versioning.md).
    assert found.deployment == {
        "ir_version": 8,
        "opsets": {"ai.onnx": 18},
        "needs": "ONNX 1.13.0",
    }
    assert found.file_metadata == {"producer": "by hand"}
    (layer,) = found.sizes.layers
    assert (layer.name, layer.bytes) == ("features", VALUES)
    assert found.sizes.other == 4 + 1 + 2 * 4 + 2  # scales and zero points
    assert found.fast_path.providers.keys() == {"CPUExecutionProvider"}


def test_an_open_batch_is_counted_as_one(tmp_path: Path) -> None:
    found = audit(model_files.onnx_qdq(tmp_path / "hand.onnx", batch="N"))
    assert found.multiply_adds.total == model_files.CONV


def test_open_sizes_are_not_counted(tmp_path: Path) -> None:
    path = model_files.onnx_qdq(tmp_path / "hand.onnx")
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(model, path)
    adds = audit(path).multiply_adds
    assert (adds.total, adds.uncounted, adds.int8_share) == (0, 1, None)


def test_integer_operators_of_onnx(tmp_path: Path) -> None:
    """QLinearConv: its scales are inputs of its own, no pairs stand around it."""
    numbers = {
        "s": np.array(0.5, np.float32),
        "z": np.array(3, np.uint8),
        "ws": np.array([0.1, 0.2], np.float32),
        "wz": np.zeros(2, np.int8),
        "w": model_files.WEIGHTS.transpose(0, 3, 1, 2).copy(),
    }
    inputs = ["q", "s", "z", "w", "ws", "wz", "s", "z"]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"]),
            helper.make_node("QLinearConv", inputs, ["out"], pads=[1, 1, 1, 1]),
        ],
        "hand",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, 6, 5])],
        [helper.make_tensor_value_info("out", TensorProto.UINT8, [1, 2, 6, 5])],
        [numpy_helper.from_array(values, name) for name, values in numbers.items()],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "q.onnx")
    found = audit(tmp_path / "q.onnx")
    assert found.multiply_adds.int8_share == 1.0
    scales = {tensor.name: tensor.scale for tensor in found.tensors}
    assert scales == {
        "image": None,
        "q": (0.5,),
        "out": (0.5,),
        "w": pytest.approx([0.1, 0.2]),
    }


def test_functions_are_inlined(tmp_path: Path) -> None:
    path = model_files.onnx_qdq(tmp_path / "hand.onnx")
    model = onnx.load(path)
    relu = helper.make_node("Relu", ["x"], ["y"])
    opset = helper.make_opsetid("", 18)
    model.functions.append(helper.make_function("mine", "Act", ["x"], ["y"], [relu], [opset]))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Act", "mine"
    onnx.save(model, path)
    types = [row.type for row in audit(path).operators]
    assert types == ["QuantizeLinear", "DequantizeLinear", "Conv", "Relu"]


# Core ML


def test_an_ml_program(tmp_path: Path) -> None:
    found = audit(model_files.mlpackage(tmp_path / "hand.mlpackage"))
    assert found.multiply_adds.by_types == {"float16 x int8": model_files.CONV}
    (weight,) = (t for t in found.tensors if t.kind == "weight")
    assert (weight.scale, weight.axis) == (pytest.approx([0.1, 0.2], rel=1e-3), 0)
    assert found.deployment["needs"] == "iOS 17, macOS 14"
    assert found.file_metadata == {"author": "by hand"}
    layers = {layer.type: layer.bytes for layer in found.sizes.layers}
    assert layers["conv"] >= VALUES + 2 * 2  # and the zero point and axis, in protobuf
    (off,) = found.fast_path.off
    assert off.type == "gather"
    assert "Hollemans" in off.why


def test_what_an_ml_program_holds_beside_its_main_function(tmp_path: Path) -> None:
    path = model_files.mlpackage(tmp_path / "hand.mlpackage")
    file = path / "Data/com.apple.CoreML/model.mlmodel"
    spec = model_files.messages("Model_pb2").Model.FromString(file.read_bytes())
    functions = spec.mlProgram.functions
    functions["adapter"].CopyFrom(functions["main"])
    relu = functions["main"].block_specializations["CoreML7"].operations[2]
    relu.type = "cond"
    relu.blocks.add().operations.add(type="relu")
    file.write_bytes(spec.SerializeToString())
    assert audit(path).beside == ("cond positive: 1 operators", "function adapter")


def test_a_custom_layer_is_reported_to_leave_the_neural_engine(tmp_path: Path) -> None:
    path = model_files.mlmodel(tmp_path / "hand.mlmodel")
    spec = model_files.messages("Model_pb2").Model.FromString(path.read_bytes())
    custom = spec.neuralNetworkClassifier.layers[2].custom
    custom.className = "Act"
    custom.parameters["slope"].doubleValue = 0.1
    custom.weights.add().floatValue.extend([1.0] * 5)
    path.write_bytes(spec.SerializeToString())
    found = audit(path)
    (off,) = found.fast_path.off
    assert (off.type, "Hollemans" in off.why) == ("custom", True)
    assert LayerSize(name="positive", type="custom", bytes=20) in found.sizes.layers


def test_a_model_of_layers(tmp_path: Path) -> None:
    found = audit(model_files.mlmodel(tmp_path / "hand.mlmodel"))
    conv, dense = 2 * 6 * 5 * 3 * 3 * 3, 60 * 2
    assert found.multiply_adds.to_json() == {
        "total": conv + dense,
        "uncounted": 0,
        "int8_share": 0.0,
        "by_types": {"uint8 x float16": conv, "float x 4-bit palette": dense},
    }
    assert found.weights == {
        "float16": WeightTypes(tensors=1, values=54),
        "4-bit palette": WeightTypes(tensors=1, values=120),
    }
    assert found.batch_norms == (BatchNorm(name="normed", foldable=True),)
    assert found.deployment["needs"] == "iOS 13, macOS 10.15"
    image = found.images[0].to_json()
    assert (image["colour"], image["width"], image["height"]) == ("RGB", 5, 6)
    assert image["scale"] == pytest.approx(1 / 127.5)
    assert image["bias"] == [-1.0, 0.0, -0.5]  # red, green, blue
    stored = {layer.type: layer.bytes for layer in found.sizes.layers}
    assert stored == {"convolution": 54 * 2 + 2 * 4, "innerProduct": 60, "batchnorm": 2 * 4}


def test_sizes_that_a_model_of_layers_does_not_say(tmp_path: Path) -> None:
    path = model_files.mlmodel(tmp_path / "hand.mlmodel")
    spec = model_files.messages("Model_pb2").Model.FromString(path.read_bytes())
    del spec.neuralNetworkClassifier.layers[0].outputTensor[:]
    path.write_bytes(spec.SerializeToString())
    adds = audit(path).multiply_adds
    assert (adds.total, adds.uncounted, adds.int8_share) == (120, 1, None)


@pytest.mark.slow
def test_files_that_coremltools_writes(tmp_path: Path) -> None:
    """Palettized and sparse weights, and an image input with scale and bias."""
    importlib.import_module("torch")  # before coremltools, which may bring TensorFlow
    import coremltools as ct
    from coremltools.converters.mil import Builder

    weights = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)

    @Builder.program(input_specs=[Builder.TensorSpec(shape=(1, 3, 8, 8))])
    def program(image: Any) -> Any:
        return Builder.relu(x=Builder.conv(x=image, weight=weights, pad_type="same"), name="out")

    made = ct.convert(
        program,
        inputs=[ct.ImageType(name="image", shape=(1, 3, 8, 8), scale=2.0, bias=[1.0, 2.0, 3.0])],
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
    )
    optimize = ct.optimize.coreml
    configs = {
        "palette": (
            optimize.palettize_weights,
            optimize.OpPalettizerConfig(nbits=2, weight_threshold=0),
        ),
        "sparse": (
            optimize.prune_weights,
            optimize.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0),
        ),
    }
    found = {}
    for name, (function, config) in configs.items():
        changed = function(made, optimize.OptimizationConfig(global_config=config))
        changed.save(str(tmp_path / f"{name}.mlpackage"))
        found[name] = audit(tmp_path / f"{name}.mlpackage")
    products = 8 * 8 * 8 * 27
    assert found["palette"].multiply_adds.by_types == {"float16 x 2-bit palette": products}
    assert found["sparse"].multiply_adds.by_types == {"float16 x sparse float16": products}
    assert found["palette"].sizes.constants < found["sparse"].sizes.constants
    image = found["palette"].images[0].to_json()
    assert [step["type"] for step in image["arithmetic"]] == ["mul", "add"]
    assert image["arithmetic"][1]["values"] == [1.0, 2.0, 3.0]
    assert json.dumps(found["palette"].to_json())  # JSON takes all of it
