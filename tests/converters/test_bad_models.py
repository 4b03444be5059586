"""Damaged and impossible models: each is one clear line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_files
import onnx
import pytest

import edgeskin
from edgeskin.converters.audit import sandbox
from edgeskin.converters.audit.examine import audit
from edgeskin.converters.audit.sandbox import audit_in_sandbox
from edgeskin.errors import InvalidArtifact, InvalidData

HOLD = "Data/com.apple.CoreML"


def refused(path: Path) -> str:
    with pytest.raises(InvalidArtifact, match=path.name) as caught:
        audit(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ONNX


def changed_onnx(path: Path, change: Callable[[Any], None], external: str = "") -> Path:
    model_files.onnx_qdq(path, external=external)
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def entry(model: Any, key: str) -> Any:
    (tensor,) = (t for t in model.graph.initializer if t.name == "w")
    return next(e for e in tensor.external_data if e.key == key)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("location", "../weights.bin", "is stored outside the file's folder, in '../weights.bin'"),
        ("location", "/etc/passwd", "is stored outside the file's folder, in '/etc/passwd'"),
        ("location", "other.bin", "is stored in 'other.bin', which is missing"),
        ("offset", "1", "reaches to byte 73 of 'weights.bin', which has 72"),
        ("length", "71", "takes 72 bytes and has 71 of 'weights.bin'"),
        ("length", "-1", "which has 72"),
        ("offset", "one", "has no number as its place in 'weights.bin'"),
    ],
)
def test_external_data(key: str, value: str, why: str, tmp_path: Path) -> None:
    (tmp_path.parent / "weights.bin").write_bytes(bytes(72))

    def change(model: Any) -> None:
        entry(model, key).value = value

    line = refused(changed_onnx(tmp_path / "bad.onnx", change, external="weights.bin"))
    assert "its tensor 'w' (2x4x3x3) " in line
    assert why in line


def test_external_data_behind_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(72))
    folder = tmp_path / "models"
    folder.mkdir()
    path = model_files.onnx_qdq(folder / "bad.onnx", external="weights.bin")
    (folder / "weights.bin").unlink()
    os.symlink(secret, folder / "weights.bin")
    assert "is stored outside the file's folder, in 'weights.bin'" in refused(path)


def grown(model: Any) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def unknown_operator(model: Any) -> None:
    model.graph.node[-1].op_type = "NoSuchOperator"


def future(model: Any) -> None:
    model.opset_import[0].version = 99


def without_inputs(model: Any) -> None:
    del model.graph.input[:]


def unmade(model: Any) -> None:
    model.graph.output[0].name = "other"


def endless(model: Any) -> None:
    """The Relu feeds the convolution that it follows."""
    model.graph.node[3].input[0] = "out"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (grown, "'w' (1099511627776x4x3x3) takes 39582418599936 bytes and has 72 of them"),
        (unknown_operator, "NoSuchOperator"),
        (future, "99"),
        (without_inputs, "has no inputs"),
        (unmade, "Graph output (other) does not exist in the graph"),
        (endless, "Conv 'features' reads 'out', which is made after it"),
    ],
)
def test_an_onnx_model(change: Callable[[Any], None], why: str, tmp_path: Path) -> None:
    assert why in refused(changed_onnx(tmp_path / "bad.onnx", change))


# TFLite


def changed_tflite(path: Path, change: Callable[[Any], None]) -> Path:
    from ai_edge_litert import schema_py_generated as schema

    model_files.tflite(path)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    change(model)
    return model_files.pack(model, path)


def short_weights(model: Any) -> None:
    model.buffers[1].data = model.buffers[1].data[:10]


def huge_weights(model: Any) -> None:
    model.subgraphs[0].tensors[1].shape = [1 << 30, 1 << 30, 3, 3]


def tensor_of_nobody(model: Any) -> None:
    model.subgraphs[0].operators[0].inputs = [99, 1, 2]


def unknown_version(model: Any) -> None:
    model.operatorCodes[0].version = 99


def custom_operator(model: Any) -> None:
    model.operatorCodes[1].builtinCode = model.operatorCodes[1].deprecatedBuiltinCode = 32
    model.operatorCodes[1].customCode = "Landmarks"


def no_inputs(model: Any) -> None:
    model.subgraphs[0].inputs = []


def two_zero_points(model: Any) -> None:
    model.subgraphs[0].tensors[1].quantization.zeroPoint = [0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (short_weights, "'weights' is 2x3x3x4 int8 in 10 bytes"),
        (huge_weights, "int8 in 72 bytes"),
        (tensor_of_nobody, "index out of range"),
        (unknown_version, "'CONV_2D' version '99'"),
        (custom_operator, "Landmarks"),
        (no_inputs, "it has no inputs"),
        (two_zero_points, "2 scales have 1 zero points"),
    ],
)
def test_a_tflite_model(change: Callable[[Any], None], why: str, tmp_path: Path) -> None:
    assert why in refused(changed_tflite(tmp_path / "bad.tflite", change))


# Core ML


def changed_mil(path: Path, change: Callable[[Any], None]) -> Path:
    model_files.mlpackage(path)
    file = path / HOLD / "model.mlmodel"
    spec = model_files.messages("Model_pb2").Model.FromString(file.read_bytes())
    change(spec)
    file.write_bytes(spec.SerializeToString())
    return path


def block(spec: Any) -> Any:
    return spec.mlProgram.functions["main"].block_specializations["CoreML7"]


def blob(spec: Any) -> Any:
    return block(spec).operations[0].attributes["quantized_data"]


def outside(spec: Any) -> None:
    blob(spec).blobFileValue.fileName = "@model_path/../../../../secret.bin"


def elsewhere(spec: Any) -> None:
    blob(spec).blobFileValue.offset = 65


def too_large(spec: Any) -> None:
    blob(spec).type.tensorType.dimensions[0].constant.size = 1 << 40


def no_function(spec: Any) -> None:
    spec.description.defaultFunctionName = "predict"


def mil_without_inputs(spec: Any) -> None:
    del spec.mlProgram.functions["main"].inputs[:]


def other_opset(spec: Any) -> None:
    spec.mlProgram.functions["main"].opset = "CoreML99"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            outside,
            "weights outside of itself: 'Data/com.apple.CoreML/../../../../secret.bin'",
        ),
        (elsewhere, "weight.bin has no weight at 65"),
        (too_large, "takes 39582418599936 bytes, weight.bin has 72 for it"),
        (no_function, "has no function 'predict'; there are main"),
        (mil_without_inputs, "it has no inputs"),
        (other_opset, "its function is written for CoreML99, and holds CoreML7 only"),
    ],
)
def test_an_ml_program(change: Callable[[Any], None], why: str, tmp_path: Path) -> None:
    assert why in refused(changed_mil(tmp_path / "bad.mlpackage", change))


@pytest.mark.parametrize("keep", [0, 64, 130, 200])
def test_weights_that_are_cut_off(keep: int, tmp_path: Path) -> None:
    path = model_files.mlpackage(tmp_path / "bad.mlpackage")
    os.truncate(path / HOLD / "weights/weight.bin", keep)
    assert "weight.bin has " in refused(path)


def test_a_model_that_is_no_network(tmp_path: Path) -> None:
    spec = model_files.messages("Model_pb2").Model()
    spec.treeEnsembleClassifier.SetInParent()
    (tmp_path / "tree.mlmodel").write_bytes(spec.SerializeToString())
    assert "is a treeEnsembleClassifier, which has no network" in refused(tmp_path / "tree.mlmodel")


def test_the_network_in_a_pipeline(tmp_path: Path) -> None:
    inner = model_files.mlmodel(tmp_path / "inner.mlmodel")
    spec = model_files.messages("Model_pb2").Model()
    spec.specificationVersion = 4
    models = spec.pipelineClassifier.pipeline.models
    models.add().scaler.SetInParent()
    models.add().ParseFromString(inner.read_bytes())
    (tmp_path / "pipeline.mlmodel").write_bytes(spec.SerializeToString())
    found = audit(tmp_path / "pipeline.mlmodel")
    assert found.beside == ("scaler in the pipeline",)
    assert found.operators[0].type == "convolution"


# The process around it


def test_the_audit_apart_is_the_audit(tmp_path: Path) -> None:
    path = model_files.tflite(tmp_path / "hand.tflite")
    assert edgeskin.inspect(path) == audit(path)


def test_a_refusal_comes_through(tmp_path: Path) -> None:
    path = changed_tflite(tmp_path / "bad.tflite", no_inputs)
    with pytest.raises(InvalidArtifact, match="it has no inputs"):
        audit_in_sandbox(path)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os.abort()", r"makes its runtime crash \(SIGABRT\)"),
        ("import time; time.sleep(60)", "took longer than 1 s and was ended"),
        ("raise RuntimeError('what a day')", "cannot be examined: RuntimeError: what a day"),
    ],
)
def test_an_audit_that_ends_otherwise(
    code: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model_files.tflite(tmp_path / "hand.tflite")
    monkeypatch.setattr(sandbox, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(InvalidArtifact, match=f"hand.tflite {why}"):
        audit_in_sandbox(path, seconds=1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process asks for")
def test_a_file_that_asks_for_too_much_memory(tmp_path: Path) -> None:
    """An image of 60 000 x 60 000 pixels: the convolution's output alone takes 7.2 GB."""

    def grow(model: Any) -> None:
        for index, channels in ((0, 4), (3, 2), (4, 2)):
            model.subgraphs[0].tensors[index].shape = [1, 60_000, 60_000, channels]

    path = changed_tflite(tmp_path / "large.tflite", grow)
    with pytest.raises(InvalidArtifact, match=r"large.tflite"):
        audit_in_sandbox(path, memory=1 << 30)


def test_a_reference_without_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="need both, --reference RUN and --data DIR"):
        edgeskin.inspect(tmp_path / "x.onnx", reference=tmp_path)
