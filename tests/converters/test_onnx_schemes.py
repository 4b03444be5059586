"""What each scheme becomes in an ONNX file: TensorRT's rules, int16, weights only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, numpy_helper
from tiny_network import tiny_spec
from torch import Tensor, nn

from edgeskin.artifacts import Metadata
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.converters import to_onnx
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.formats import open_session
from edgeskin.formats.onnx.saturation import OPTION
from edgeskin.metrics import sqnr_db

pytestmark = pytest.mark.slow
QDQ = ("QuantizeLinear", "DequantizeLinear")


class Residual(nn.Module):
    """conv + batch norm + ReLU, a residual without activation before its add, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 1)
        )
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        return (self.head(torch.relu(x + self.body(x)).mean((2, 3))),)


def convert(scheme: str, path: Path) -> tuple[Job, ModelProto]:
    torch.manual_seed(1)
    spec = tiny_spec()
    spec = spec.model_copy(update={"heads": spec.heads[:1]})
    network = Residual().eval()
    program = calibrate_network(network, spec, images(spec.input), scheme=scheme, method="minmax")
    job = Job(program.module, Metadata(spec, "tensor", "int8"))
    to_onnx.convert(job, path)
    return job, onnx.load(path)


def agreement_db(job: Job, path: Path) -> float:
    """Of the file on ONNX Runtime with the program in torch, on one picture of noise."""
    x = torch.randn(1, 3, 40, 48, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = job.network(x)[0].numpy()
    with open_session(path) as session:
        (given,) = session.run({"image": x.numpy()}).values()
    return sqnr_db(expected, given)


def tensorrt_faults(model: ModelProto) -> list[str]:
    """What NVIDIA's rules for explicit quantization forbid, or where they see no fusion."""
    graph, faults = model.graph, []
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}

    def maker(name: str) -> Any:
        return makers[name].op_type if name in makers else None

    for node in graph.node:
        if node.op_type in QDQ:
            zero = constants[node.input[2]]
            if zero.dtype != np.int8 or zero.any():
                faults.append(f"{node.name}: zero point {zero}")
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            faults += [f"{node.name}: {n} is float" for n in node.input[:2] if maker(n) != QDQ[1]]
            if len(node.input) > 2 and node.input[2] not in constants:
                faults.append(f"{node.name}: its bias is quantized")
        if node.op_type in ("Relu", "Clip") and maker(node.input[0]) == QDQ[1]:
            faults.append(f"{node.name}: parted from its layer")
        if node.op_type == "Add" and {maker(n) for n in node.input} != {"Conv", QDQ[1]}:
            faults.append(f"{node.name}: no convolution and quantized residual to fuse")
        if node.op_type == "BatchNormalization":
            faults.append(f"{node.name}: not folded")
    return faults


def test_symmetric_scheme_follows_tensorrts_rules(tmp_path: Path) -> None:
    job, model = convert("w8a8_symmetric", tmp_path / "a.onnx")
    assert tensorrt_faults(model) == []
    assert model.opset_import[0].version == 17
    # One rounding of the program's is left out; it is half a step in about 100.
    assert agreement_db(job, tmp_path / "a.onnx") > 30


def test_affine_scheme_is_not_for_tensorrt(tmp_path: Path) -> None:
    """The checker sees what is wrong with the form for ONNX Runtime."""
    _, model = convert("w8a8", tmp_path / "a.onnx")
    faults = " ".join(tensorrt_faults(model))
    assert "zero point" in faults
    assert "its bias is quantized" in faults


def test_sixteen_bit_activations_stay_sixteen_bits(tmp_path: Path) -> None:
    job, model = convert("w8a16", tmp_path / "a.onnx")
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    quantizes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {constants[node.input[2]].dtype for node in quantizes} == {np.dtype(np.int16)}
    assert model.opset_import[0].version == 21
    assert agreement_db(job, tmp_path / "a.onnx") > 60  # a flipped step of 1/32768 at most


def test_weights_only_leaves_activations_float(tmp_path: Path) -> None:
    job, model = convert("w8", tmp_path / "a.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("DequantizeLinear") == 4
    assert "QuantizeLinear" not in kinds
    assert agreement_db(job, tmp_path / "a.onnx") > 100  # float rounding


@pytest.mark.parametrize("scheme", ["w8a8", "w8a8_symmetric", "w8a16", "w8"])
def test_every_file_loads_with_sums_in_32_bits(scheme: str, tmp_path: Path) -> None:
    """What x86 without VNNI needs; ONNX Runtime refuses weights that share zero points then."""
    convert(scheme, tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(OPTION, "1")
    onnxruntime.InferenceSession(tmp_path / "m.onnx", options, providers=["CPUExecutionProvider"])
