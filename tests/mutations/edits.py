"""Mutants that a hand on the finished file makes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgeskin.artifacts import Metadata, labels
from edgeskin.formats import read_network
from edgeskin.formats.coreml.package import messages
from edgeskin.formats.network import Network, Operator
from edgeskin.formats.tflite.flatbuffer import Graph
from edgeskin.formats.tflite.metadata import ENTRY
from mutations.world import SPEC, World

_MODEL = "Data/com.apple.CoreML/model.mlmodel"
_WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


def said(path: Path, metadata: Metadata, **changes: str) -> Path:
    """`path`, saying `metadata` of itself, with single entries changed."""
    entries = {**metadata.entries(), **changes}
    if path.suffix == ".onnx":
        model = onnx.load(path)
        onnx.helper.set_model_props(model, entries)
        onnx.save(model, path)
    elif path.suffix == ".tflite":
        files = {f"{name}.txt": "\n".join(x) + "\n" for name, x in labels(metadata.spec).items()}
        model_alone = Graph(path.read_bytes()).pack()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(ENTRY, json.dumps(entries))
            for name, text in files.items():
                archive.writestr(name, text)
        path.write_bytes(model_alone + packed.getvalue())
    else:
        edit_coreml(path, lambda model: model.description.metadata.userDefined.update(entries))
    return path


def edit_coreml(path: Path, edit: Callable[[Any], None]) -> None:
    file = path / _MODEL
    model = messages().Model.FromString(file.read_bytes())
    edit(model)
    file.write_bytes(model.SerializeToString())


def says(**changes: str) -> Callable[[World, str], Path]:
    """A good file with other entries, `spec` and `labels` among them."""

    def make(world: World, target: str) -> Path:
        entries = {f"edgeskin.{name}": text for name, text in changes.items()}
        return said(world.copy(target, "fp32"), world.job("fp32").metadata, **entries)

    return make


def spec_with(**changes: object) -> str:
    document = SPEC.model_dump(mode="json")
    document["input"].update(changes)
    return json.dumps(document)


def labels_shuffled_in_spec() -> str:
    document = SPEC.model_dump(mode="json")
    document["heads"][0]["labels"] = ["many", "none", "some"]
    return json.dumps(document)


def truncated(world: World, target: str) -> Path:
    path = world.copy(target, "fp32")
    file = path / _WEIGHTS if path.is_dir() else path
    content = file.read_bytes()
    file.write_bytes(content[: 2 * len(content) // 3])
    return path


def foreign_manifest(world: World, target: str) -> Path:
    path = world.copy(target, "fp32")
    entry = {"sha256": "0" * 64, "precision": "fp32"}
    document = {"version": 1, "artifacts": {path.name: entry}}
    (path.parent / "manifest.json").write_text(json.dumps(document))
    return path


def one_scale(world: World, target: str) -> Path:
    """The scales of the last convolution's channels become their mean; its integers stay."""
    path = world.copy(target, "int8")
    return {"onnx": _one_scale_onnx, "tflite": _one_scale_tflite, "coreml": _one_scale_coreml}[
        target
    ](path)


def _one_scale_onnx(path: Path) -> Path:
    model = onnx.load(path)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[1] in stored:
            scales = numpy_helper.to_array(stored[node.input[1]])
            if scales.shape == (16,):
                mean = np.full_like(scales, scales.mean())
                stored[node.input[1]].CopyFrom(numpy_helper.from_array(mean, node.input[1]))
                break
    onnx.save(model, path)
    return path


def _one_scale_tflite(path: Path) -> Path:
    def edit(graph: Graph) -> None:
        used = [o.inputs[1] for o in graph.operators if "CONV_2D" in graph.name(o)]
        grids = [graph.body.tensors[weight].quantization for weight in used]
        grid = next(grid for grid in grids if len(grid.scale) == 16)
        grid.scale = np.full_like(grid.scale, grid.scale.mean())

    return edit_tflite(path, edit)


def _one_scale_coreml(path: Path) -> Path:
    model = messages().Model.FromString((path / _MODEL).read_bytes())
    stored = next(
        op.attributes["scale"]
        for op in _operations(model)
        if op.type == "constexpr_affine_dequantize"
        and op.attributes["scale"].HasField("blobFileValue")
    )
    with (path / _WEIGHTS).open("r+b") as file:
        file.seek(stored.blobFileValue.offset)
        _, _, size, start = struct.unpack("<IIQQ", file.read(24))
        file.seek(start)
        scales = np.frombuffer(file.read(size), np.float16)
        file.seek(start)
        file.write(np.full_like(scales, scales.mean()).tobytes())
    return path


def _operations(model: Any) -> Any:
    function = model.mlProgram.functions["main"]
    return function.block_specializations[function.opset].operations


def edit_tflite(path: Path, edit: Callable[[Graph], None]) -> Path:
    """Edit the flatbuffer; the archive behind it stays."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    graph = Graph(content)
    edit(graph)
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    path.write_bytes(graph.pack() + again.getvalue())
    return path


def zero_point(world: World, target: str) -> Path:
    """The zero point of one inner tensor, everywhere it is named, is one more."""
    path = world.copy(target, "int8")
    return {"onnx": _zero_onnx, "tflite": _zero_tflite, "coreml": _zero_coreml}[target](path)


def _zero_onnx(path: Path) -> Path:
    model = onnx.load(path)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    made = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    first = made[2]
    readers = [n for n in model.graph.node if first.output[0] in n.input]
    for node in (first, *readers):
        value = numpy_helper.to_array(stored[node.input[2]])
        name = f"{node.name or node.output[0]}_shifted"
        model.graph.initializer.append(numpy_helper.from_array(value + value.dtype.type(1), name))
        node.input[2] = name
    onnx.save(model, path)
    return path


def _zero_tflite(path: Path) -> Path:
    def edit(graph: Graph) -> None:
        operator = next(o for o in graph.operators if graph.name(o) == "CONV_2D")
        grid = graph.body.tensors[operator.outputs[0]].quantization
        grid.zeroPoint = grid.zeroPoint + 1

    return edit_tflite(path, edit)


def _zero_coreml(path: Path) -> Path:
    def edit(model: Any) -> None:
        operations = _operations(model)
        first = [op for op in operations if op.type == "quantize"][1]
        (made,) = (out.name for out in first.outputs)
        readers = [
            op
            for op in operations
            if op.type == "dequantize" and op.inputs["input"].arguments[0].name == made
        ]
        named = {op.inputs["zero_point"].arguments[0].name for op in (first, *readers)}
        for op in operations:
            if op.outputs and op.outputs[0].name in named:
                tensor = op.attributes["val"].immediateValue.tensor
                kind = tensor.WhichOneof("value")
                if kind == "bytes":
                    tensor.bytes.values = bytes([(tensor.bytes.values[0] + 1) % 256])
                else:
                    tensor.ints.values[0] += 1

    edit_coreml(path, edit)
    return path


Change = Callable[[np.ndarray], np.ndarray]


def weights(change: Change) -> Callable[[World, str], Path]:
    """The integers of the heaviest product's weights, changed: (...) to (...)."""
    return lambda world, target: _changed(world.copy(target, "int8"), 1, change)


def biases(change: Change) -> Callable[[World, str], Path]:
    """The same of its biases: integers, or in Core ML real numbers."""
    return lambda world, target: _changed(world.copy(target, "int8"), 2, change)


def _changed(path: Path, place: int, change: Change) -> Path:
    network = read_network(path)
    heaviest = max(network.operators, key=lambda op: op.multiply_adds)
    name = network.stored(_given(heaviest, network)[place]).name
    changed = change(network.values(name).copy())
    write = {".onnx": _write_onnx, ".tflite": _write_tflite, ".mlpackage": _write_coreml}
    write[path.suffix](path, name, changed)
    assert np.array_equal(read_network(path).values(name), changed)
    return path


def _given(op: Operator, network: Network) -> tuple[str, ...]:
    assert network.stored(op.inputs[1]).constant
    return op.inputs


def _write_onnx(path: Path, name: str, array: np.ndarray) -> None:
    model = onnx.load(path)
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    stored.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, path)


def _write_tflite(path: Path, name: str, array: np.ndarray) -> None:
    def edit(graph: Graph) -> None:
        tensor = next(t for t in graph.body.tensors if t.name == name.encode())
        graph.model.buffers[tensor.buffer].data = np.frombuffer(array.tobytes(), np.uint8)

    edit_tflite(path, edit)


def _write_coreml(path: Path, name: str, array: np.ndarray) -> None:
    def edit(model: Any) -> None:
        for op in _operations(model):
            for key, value in op.attributes.items():
                made = op.outputs[0].name if op.outputs else ""
                if name not in (f"{made}.{key}", made if op.type == "const" else ""):
                    continue
                if value.WhichOneof("value") == "blobFileValue":
                    _write_blob(path / _WEIGHTS, value.blobFileValue.offset, array)
                elif key in ("val", name.rpartition(".")[2]):
                    value.immediateValue.tensor.bytes.values = array.tobytes()

    edit_coreml(path, edit)


def _write_blob(weights_file: Path, offset: int, array: np.ndarray) -> None:
    with weights_file.open("r+b") as file:
        file.seek(offset)
        _, _, size, start = struct.unpack("<IIQQ", file.read(24))
        assert size >= array.nbytes
        file.seek(start)
        file.write(array.tobytes())


def without_largest_filter(weight: np.ndarray) -> np.ndarray:
    """The filter with the largest sum, all zero; filters lie along the first axis."""
    sums = np.abs(weight.astype(int)).reshape(len(weight), -1).sum(axis=1)
    weight[sums.argmax()] = 0
    return weight


def largest_negated(weight: np.ndarray) -> np.ndarray:
    place = np.unravel_index(np.abs(weight.astype(int)).argmax(), weight.shape)
    weight[place] = -weight[place]
    return weight


def many_negated(weight: np.ndarray) -> np.ndarray:
    """298 of those that are not zero."""
    places = np.flatnonzero(weight)[:298]
    weight.reshape(-1)[places] *= -1
    return weight


def one_step_lower(weight: np.ndarray) -> np.ndarray:
    return np.where(weight != 0, np.maximum(weight.astype(int) - 1, -128), 0).astype(weight.dtype)
