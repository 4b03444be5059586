"""Whole networks: what exporters make of one, and that it calibrates as the one they came from."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import SHAPE, answers, image, read_both, save_model
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from samples import acne_spec
from small_network import SIZE, SmallNet, make_network
from tiny_network import tiny_job
from torch import Tensor, nn

from edgeskin.artifacts import Io, Precision
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.graphs import layer_name, layers
from edgeskin.calibration.rewrites import flatten
from edgeskin.converters import to_onnx
from edgeskin.metrics import sqnr_db
from edgeskin.sources.onnx_graph import read_onnx
from edgeskin.sources.onnx_graph.naming import module_path
from edgeskin.sources.onnx_graph.onnx_network import OnnxNetwork
from edgeskin.sources.source_model import SourceModel
from edgeskin.spec import InputSpec

# Float rounding of a few hundred sums lies at 110 to 130 dB.
FLOAT_DB = 100.0


class Parts(nn.Module):
    """What exporters take apart: layer norm, GELU, attention, hard-swish; and an odd size."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.norm = nn.LayerNorm(16)
        self.mix = nn.Linear(16, 48)
        self.act = nn.GELU()
        self.out = nn.Linear(16, 5)
        self.gate = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.patches(x).flatten(2).transpose(1, 2))
        q, k, v = self.mix(x).chunk(3, -1)
        x = x + (q @ k.transpose(-2, -1) / 4).softmax(-1) @ v
        return self.out(self.gate(self.act(x)).mean(1))


def export(network: nn.Module, path: Path, opset: int, shape: tuple[int, ...]) -> Path:
    """By TorchScript's exporter up to opset 17, from there by torch.export's."""
    options: dict[str, Any] = (
        {"dynamo": True, "external_data": False} if opset > 17 else {"dynamo": False}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter is deprecated
        torch.onnx.export(
            network.eval(),
            (torch.zeros(shape),),
            path,
            opset_version=opset,
            verbose=False,
            **options,
        )
    return path


def types(model: SourceModel) -> list[str]:
    assert isinstance(model.network, OnnxNetwork)
    return [call.type for call in model.network.calls]


@pytest.mark.parametrize("opset", [11, 17, 18])
def test_parts_are_put_together_again(opset: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Parts()
    with torch.no_grad():  # trained ones, so that equal ones are not stored once
        for value in network.parameters():
            value.add_(0.1 * torch.randn_like(value))
    path = export(network, tmp_path / "m.onnx", opset, (1, 3, 16, 24))
    model = read_onnx(path)
    [theirs], [ours] = answers(model, image(model.input.shape))
    assert sqnr_db(theirs, ours) > FLOAT_DB
    found = types(model)
    assert found.count("LayerNormalization") == 1
    assert found.count("Gelu") == 1
    assert "Erf" not in found
    graph = flatten(model.network, torch.zeros(model.input.shape))
    assert [layer_name(layer) for layer in layers(graph)] == ["patches", "mix", "out"]
    assert all(layer.args[2] is not None for layer in layers(graph))  # each has its bias


@cache
def small() -> SmallNet:
    return make_network()


@pytest.mark.slow
def test_calibration_gives_what_it_gives_from_torch(tmp_path: Path) -> None:
    """The same layers, and an INT8 network as near to the float one."""
    half = (0.5, 0.5, 0.5)
    spec = acne_spec(input=InputSpec(height=SIZE, width=SIZE, resize="squash", mean=half, std=half))
    coarse = np.random.default_rng(5).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    images = list(coarse.repeat(SIZE // 8, axis=1).repeat(SIZE // 8, axis=2))
    model = read_onnx(export(small(), tmp_path / "m.onnx", 17, (1, 3, SIZE, SIZE)))
    x = torch.from_numpy(images[0]).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        reference = small()(x)
        found = []
        for network in (small(), model.network):
            program = calibrate_network(network, spec, images, method="minmax")
            pairs = zip(reference, program.module(x), strict=True)
            found.append([sqnr_db(a.numpy(), b.numpy()) for a, b in pairs])
    assert np.abs(np.subtract(*found)).max() < 1.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "io", "least_db"),
    [
        ("fp32", "app", FLOAT_DB),
        ("fp16", "tensor", FLOAT_DB),
        ("fp16", "app", 60),
        ("int8", "app", 90),
    ],
)
def test_edgeskin_s_own_files(
    precision: Precision, least_db: float, io: Io, tmp_path: Path
) -> None:
    """float16 is computed in float32; behind pixels ONNX Runtime rounds after some operators."""
    to_onnx.convert(tiny_job(precision, io), tmp_path / "m.onnx")
    model = read_onnx(tmp_path / "m.onnx")
    assert model.layout == ("NHWC" if io == "app" else "NCHW")
    assert model.quantized == (precision == "int8")
    x = image(model.input.shape)
    if io == "app":  # whole numbers, as pixels are
        x = np.random.default_rng(2).integers(0, 256, x.shape).astype(np.float32)
    for theirs, ours in zip(*answers(model, x), strict=True):
        assert sqnr_db(theirs.astype(np.float32), ours.astype(np.float32)) > least_db
    torch.export.export(model.network, (torch.zeros(model.input.shape),))


class Images(CalibrationDataReader):
    def __init__(self, name: str, shape: tuple[int, ...]):
        self.images = iter([{name: image(shape, seed)} for seed in range(3)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.images, None)  # type: ignore[return-value]


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("activations", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("per_channel", [True, False])
def test_what_onnx_runtime_quantizes(
    form: QuantFormat, activations: QuantType, per_channel: bool, tmp_path: Path
) -> None:
    path = export(small(), tmp_path / "f.onnx", 17, (1, 3, SIZE, SIZE))
    name = onnx.load(path).graph.input[0].name
    quantize_static(
        path,
        tmp_path / "q.onnx",
        Images(name, (1, 3, SIZE, SIZE)),
        quant_format=form,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
    )
    model = read_onnx(tmp_path / "q.onnx")
    assert model.quantized
    for theirs, ours in zip(*answers(model, image(model.input.shape)), strict=True):
        # One step of the last tensor, where a sum rounds differently before it.
        assert sqnr_db(theirs, ours) > 35
    program = torch.export.export(model.network, (torch.zeros(model.input.shape),))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert "quantized_decomposed.dequantize_per_tensor.default" in targets


def test_sizes_computed_from_shapes_become_numbers(tmp_path: Path) -> None:
    """Reshape to (N, C, H * W) and back, as exporters with open sizes write it."""
    number = {
        n: numpy_helper.from_array(np.array([v]), n) for n, v in zip("tm", (2, -1), strict=True)
    }
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Slice", ["shape", "z", "t"], ["front"]),
        helper.make_node("Concat", ["front", "m"], ["flat"], axis=0),
        helper.make_node("Reshape", ["image", "flat"], ["r"]),
        helper.make_node("Softmax", ["r"], ["s"], axis=-1),
        helper.make_node("Reshape", ["s", "shape"], ["y"]),
    ]
    stored = [*number.values(), numpy_helper.from_array(np.array([0]), "z")]
    path = save_model(tmp_path / "m.onnx", nodes, stored, ["y"], shape=["n", 3, "h", "w"], opset=13)
    model = read_onnx(path, input_size=(6, 9))
    assert types(model) == ["Reshape", "Softmax", "Reshape"]
    theirs, ours = answers(model, image((1, 3, 6, 9)))
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)


def test_a_branch_on_a_shape_is_taken(tmp_path: Path) -> None:
    def branch(kind: str) -> onnx.GraphProto:
        result = helper.make_tensor_value_info(f"{kind}1", TensorProto.FLOAT, SHAPE)
        return helper.make_graph(
            [helper.make_node(kind, ["image"], [f"{kind}1"])], kind, [], [result]
        )

    nodes = [
        helper.make_node("Size", ["image"], ["size"]),
        helper.make_node("Greater", ["size", "few"], ["many"]),
        helper.make_node(
            "If", ["many"], ["y"], then_branch=branch("Neg"), else_branch=branch("Abs")
        ),
    ]
    few = numpy_helper.from_array(np.array(10), "few")
    path = save_model(tmp_path / "m.onnx", nodes, [few], ["y"])
    [theirs], [ours] = read_both(path)
    np.testing.assert_array_equal(theirs, -image())
    np.testing.assert_array_equal(ours, theirs)


def test_functions_of_the_model_are_inlined(tmp_path: Path) -> None:
    inner = helper.make_function(
        "org.example",
        "Twice",
        ["x"],
        ["y"],
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_opsetid("", 17)],
    )
    graph = helper.make_graph(
        [helper.make_node("Twice", ["image"], ["y"], domain="org.example")],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)]
    model = helper.make_model(graph, functions=[inner], opset_imports=imports, ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    [theirs], [ours] = read_both(tmp_path / "m.onnx")
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(theirs, 2 * image())


@pytest.mark.parametrize(
    ("operator", "path"),
    [
        ("/blocks/blocks.0/blocks.0.1/conv_pw/Conv", "blocks.0.1.conv_pw"),
        ("/features/features.1/block/block.0/block.0.0/Conv", "features.1.block.0.0"),
        ("model/stem/Conv2D", "model.stem"),
        ("Conv_12", ""),
        ("/train/type/Conv", "train_.type_"),
    ],
)
def test_module_paths(operator: str, path: str) -> None:
    assert module_path(operator) == path


def test_names_that_meet_stay_apart(tmp_path: Path) -> None:
    """A tensor that is called as a module, and two of one name but for its signs."""
    names = ("a", "a/b", "a.b", "a:0")
    nodes = [
        helper.make_node("Add", [f"t{k}" if k else "image", name], [f"t{k + 1}"])
        for k, name in enumerate(names)
    ]
    stored = [
        numpy_helper.from_array(np.full((1, 3, 1, 1), k, np.float32), name)
        for k, name in enumerate(names)
    ]
    path = save_model(tmp_path / "m.onnx", nodes, stored, ["t4"])
    [theirs], [ours] = read_both(path)
    np.testing.assert_array_equal(ours, theirs)
    held = [name for name, _ in read_onnx(path).network.named_parameters()]
    assert len(set(held)) == 4


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["image"], ["y"])
    path = save_model(tmp_path / "m.onnx", [node], [], ["y"])
    model = onnx.load(path)
    model.producer_name, model.producer_version = "maker", "2.1"
    model.metadata_props.add(key="names", value="{0: 'skin', 1: 'acne'}")
    onnx.save(model, path)
    read = read_onnx(path)
    assert read.name == "m"
    assert read.runtime.startswith("ONNX Runtime 1.")
    assert read.hints.labels == ("skin", "acne")
    assert read.hints.notes[0] == "made by maker 2.1"
    assert (read.input.name, read.input.shape, read.layout) == ("image", SHAPE, "NCHW")
    assert [(each.name, each.shape) for each in read.outputs] == [("y", SHAPE)]
    assert not read.quantized
