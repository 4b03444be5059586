"""Files for any provider or delegate: no rewrite for this CPU, and Qualcomm's NPU takes them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from qualcomm import npu
from samples import acne_spec
from small_network import SIZE, make_network
from tiny_network import network, tiny_job, tiny_spec
from torch import Tensor, nn

from edgeskin.artifacts import Metadata
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.from_run import calibrate
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.converters import selfcheck, to_onnx
from edgeskin.converters.audit.stored import differences
from edgeskin.converters.legalize.onnx import (
    FLOAT,
    ONNX_RUNTIME,
    PORTABLE,
    PORTABLE16,
    TENSORRT,
    find_form,
)
from edgeskin.converters.legalize.onnx.integers import own_constants
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.data.manifest import load_split
from edgeskin.data.phantoms import write_set
from edgeskin.formats import FORMATS, open_session, read_network
from edgeskin.metrics import sqnr_db
from edgeskin.models import MEAN
from edgeskin.models.run import BUILTIN
from edgeskin.spec import InputSpec

_FOLDERS: list[TemporaryDirectory[str]] = []
QDQ = ("QuantizeLinear", "DequantizeLinear")
MOVES = {"Transpose", "Reshape", "Flatten", "TRANSPOSE", "RESHAPE"}


@cache
def job(name: str) -> Job:
    """A program of the tiny network or the small one; `exact` is tiny on pixels as integers."""
    if name == "tiny":
        return tiny_job("int8")
    size = InputSpec(height=SIZE, width=SIZE, resize="squash", mean=MEAN, std=(128 / 255,) * 3)
    spec, floats = acne_spec(input=size), make_network()
    if name == "exact":
        changes = {"height": 40, "width": 48, "color_order": "BGR"}
        spec, floats = tiny_spec(input=size.model_copy(update=changes)), network("fp32")
    scheme = "w8a16" if name == "small16" else "w8a8"
    program = calibrate_network(floats, spec, images(spec.input), method="minmax", scheme=scheme)
    return Job(program.module, Metadata(spec, "app", "int8"))


every_network = pytest.mark.parametrize("name", ["tiny", "exact", "small"])


def convert(job: Job, target: str, folder: Path, *, portable: bool = True) -> Path:
    path = folder / f"portable-{portable}{FORMATS[target].suffix}"
    FORMATS[target].convert(replace(job, portable=portable), path)
    return path


@cache
def made(name: str, target: str, *, portable: bool = True) -> Path:
    """The file of `job(name)`, converted once; it goes with the process."""
    kept = TemporaryDirectory()
    _FOLDERS.append(kept)
    return convert(job(name), target, Path(kept.name), portable=portable)


def assert_the_same(job: Job, path: Path) -> None:
    """It computes what its program does, from the integers that its program has."""
    selfcheck.measure(job, path)
    assert differences(job.network, read_network(path)) == []  # type: ignore[arg-type]


def moves(path: Path) -> Counter[str]:
    return Counter(op.type for op in read_network(path).operators if op.type in MOVES)


@pytest.mark.slow
@every_network
def test_onnx(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but quantize and dequantize steps meets bare integers, and nothing is moved more."""
    path = made(name, "onnx")
    assert_the_same(job(name), path)
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    values = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
    assert max(len(value.shape.dim) for value in values.values()) <= 4
    bare = {n for n, v in values.items() if v.elem_type in (TensorProto.INT8, TensorProto.UINT8)}
    assert {"image"} < bare
    for node in graph.node:
        assert node.op_type in QDQ or not bare.intersection(node.input, node.output), node.name
    assert moves(made(name, "onnx", portable=False)) != moves(path)
    monkeypatch.setattr(to_onnx, "find_form", lambda *args, **options: FLOAT)
    assert moves(convert(job(name), "onnx", tmp_path, portable=False)) == moves(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "small16"])
def test_no_constant_is_read_with_two_scales(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which Qualcomm's provider reads with the first: a hard swish was the identity there."""
    assert max(scales_by_constant(made(name, "onnx")).values()) == 1
    form = PORTABLE16 if name == "small16" else PORTABLE
    others = tuple(rewrite for rewrite in form.rewrites if rewrite is not own_constants)
    monkeypatch.setattr(to_onnx, "find_form", lambda *_, **__: replace(form, rewrites=others))
    assert max(scales_by_constant(convert(job(name), "onnx", tmp_path)).values()) > 1


def scales_by_constant(path: Path) -> Counter[str]:
    """With how many scales each constant is read."""
    graph = onnx.load(path).graph
    stored = {t.name: numpy_helper.to_array(t).tobytes() for t in graph.initializer}
    readers = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    pairs = {(n.input[0], stored[n.input[1]]) for n in readers if n.input[0] in stored}
    return Counter(name for name, _ in pairs)


@pytest.mark.slow
def test_sixteen_bits_are_unsigned_and_clamps_come_last() -> None:
    path = made("small16", "onnx")
    assert_the_same(job("small16"), path)
    held = read_network(path)
    kinds = Counter(op.type for op in held.operators)
    plain = Counter(
        op.type for op in read_network(made("small16", "onnx", portable=False)).operators
    )
    assert plain["Clip"] > 0
    assert kinds["Clip"] == kinds["Relu"] == 0
    assert kinds["Max"] >= plain["Clip"]
    assert "int16" not in {tensor.dtype for tensor in held.tensors.values()}
    layers = [op for op in held.operators if op.type in ("Conv", "Gemm")]
    for op in layers:  # an NPU takes what is quantized on all sides
        assert [held.producer[name].type for name in op.inputs] == ["DequantizeLinear"] * 3
        assert {user.type for user in held.consumers[op.outputs[0]]} <= {
            "QuantizeLinear", "Softmax",
        }, op.name  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "small"])
def test_tflite(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first convolution sees pixels as they are, and nothing is moved more than before."""
    legalize = pytest.importorskip("edgeskin.converters.legalize.tflite.xnnpack")
    path = made(name, "tflite")
    assert_the_same(job(name), path)
    held = read_network(path)
    assert max(len(tensor.shape or ()) for tensor in held.tensors.values()) <= 4
    assert _first_weight(path)[3] == 3
    assert _first_weight(made(name, "tflite", portable=False))[3] == 6
    monkeypatch.setattr(legalize, "PORTABLE", ())
    plain = moves(convert(job(name), "tflite", tmp_path))
    assert moves(path) <= plain


def _first_weight(path: Path) -> Any:
    held = read_network(path)
    first = next(op for op in held.operators if op.type == "CONV_2D")
    return held.tensors[first.inputs[1]].shape


def test_which_form() -> None:
    plain, symmetric = {("int8", -3), ("int8", 4)}, {("int8", 0)}
    assert find_form(plain) is ONNX_RUNTIME
    assert find_form(plain, portable=True) is find_form(set(), portable=True) is PORTABLE
    assert find_form(symmetric, portable=True) is TENSORRT
    assert find_form(set()) is FLOAT


def on_npu(path: Path, rows: Any, folder: Path) -> subprocess.CompletedProcess[str]:
    np.save(folder / "in.npy", rows)
    script = Path(__file__).parents[1] / "on_qnn.py"
    command = [sys.executable, script, path, folder / "in.npy", folder / "out.npz"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def agreement_db(path: Path, rows: Any, folder: Path) -> dict[str, float]:
    """Of the NPU's simulator with the CPU, by output; no operator fell back."""
    done = on_npu(path, rows, folder)
    assert done.returncode == 0, done.stderr
    given = np.load(folder / "out.npz")
    with open_session(path) as session:
        expected = [session.run({"image": row[None]}) for row in rows]
    return {
        name: sqnr_db(np.concatenate([row[name] for row in expected]), given[name])
        for name in given.files
    }


@npu
@pytest.mark.slow
@every_network
def test_qualcomm(name: str, tmp_path: Path) -> None:
    rows = np.stack(images(job(name).metadata.spec.input))
    path = made(name, "onnx")
    assert min(agreement_db(path, rows, tmp_path).values()) >= 30.0
    # The reason for all of it: where this no longer fails, so much need not be left out.
    assert on_npu(made(name, "onnx", portable=False), rows, tmp_path).returncode


@npu
@pytest.mark.slow
def test_qualcomm_in_sixteen_bits(tmp_path: Path) -> None:
    rows = np.stack(images(job("small16").metadata.spec.input))
    path = made("small16", "onnx")
    assert min(agreement_db(path, rows, tmp_path).values()) >= 40.0


@npu
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_qualcomm_float(precision: Any, tmp_path: Path) -> None:
    floats = tiny_job(precision)
    path = convert(floats, "onnx", tmp_path)
    rows = np.stack(images(floats.metadata.spec.input))
    assert min(agreement_db(path, rows, tmp_path).values()) >= 45.0


class PoolAndConvolution(nn.Module):
    """The tiny network with a convolution behind its pool, as in MobileNetV3 and V4."""

    def __init__(self, tiny: Any):
        super().__init__()
        self.tiny, self.last = tiny, nn.Conv2d(16, 16, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.tiny.stem(x)
        features = self.last(self.tiny.pool(x)).flatten(1)
        return (*(head(features) for head in self.tiny.heads), self.tiny.pixels(x))


@npu
@pytest.mark.slow
def test_qualcomm_takes_a_convolution_behind_a_pool(tmp_path: Path) -> None:
    """torch's exporter writes a Gather between them, over which the provider aborts."""
    floats = tiny_job("fp32")
    pooled = replace(floats, network=PoolAndConvolution(floats.network).eval())
    path = convert(pooled, "onnx", tmp_path)
    assert "Gather" not in {op.type for op in read_network(path).operators}
    rows = np.stack(images(floats.metadata.spec.input))
    assert min(agreement_db(path, rows, tmp_path).values()) >= 45.0


@npu
@pytest.mark.slow
def test_qualcomm_takes_the_demos_model(tmp_path: Path) -> None:
    write_set(tmp_path / "phantoms", train=8, val=0, test=4, size=224)
    data, source = tmp_path / "phantoms", tmp_path / "p.pt2"
    program = calibrate(BUILTIN, data, source, CalibrationOptions(method="minmax", samples=8))
    path = convert(Job(program.module, Metadata(program.spec, "app", "int8")), "onnx", tmp_path)
    rows = load_split(data, "test").pixels(program.spec.input)
    assert min(agreement_db(path, rows, tmp_path).values()) >= 15.0
