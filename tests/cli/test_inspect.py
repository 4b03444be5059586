"""`edgeskin inspect`: a table, a JSON document, and one line for what is no model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import edgeskin
from edgeskin.cli.main import run

Refused = Callable[..., str]
SUFFIXES = (".tflite", ".onnx", ".mlpackage")
MODEL = "Data/com.apple.CoreML/model.mlmodel"


@pytest.mark.slow
def test_a_table_and_a_document(int8: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(int8)]) == 0
    shown = capsys.readouterr().out
    assert "100.0 % in INT8" in shown
    assert "batch norms left: 0" in shown
    assert "off the fast path of ONNX Runtime" in shown
    assert run(["inspect", str(int8), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == edgeskin.inspect(int8).to_json() | {"tried": {}, "missed_gates": []}
    assert document["metadata"]["name"] == "acne-test"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_truncated_file(suffix: str, keep: float, files: Path, refused: Refused) -> None:
    (files / "manifest.json").unlink()  # which would have said so first
    artifact = files / f"acne-test-fp32{suffix}"
    whole = artifact / MODEL if artifact.is_dir() else artifact
    os.truncate(whole, int(keep * whole.stat().st_size))
    line = refused("inspect", artifact)
    assert str(artifact) in line
    assert any(word in line for word in ("truncated", "not a TFLite file", "not a whole model"))


@pytest.mark.slow
def test_weights_that_are_missing(files: Path, refused: Refused) -> None:
    (files / "manifest.json").unlink()
    artifact = files / "acne-test-fp32.mlpackage"
    (artifact / "Data/com.apple.CoreML/weights/weight.bin").unlink()
    assert "weights/weight.bin, are missing" in refused("inspect", artifact)


@pytest.mark.slow
def test_a_file_that_is_not_the_one_its_manifest_names(files: Path, refused: Refused) -> None:
    artifact = files / "acne-test-fp32.onnx"
    with artifact.open("ab") as file:
        file.write(b"x")
    assert "is not the file its manifest names" in refused("inspect", artifact)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_model(suffix: str, tmp_path: Path, refused: Refused) -> None:
    assert "is missing" in refused("inspect", tmp_path / f"no{suffix}")
    wrong = tmp_path / f"wrong{suffix}"
    if suffix == ".mlpackage":
        wrong.write_text("no package")
        assert "is a file, which a .mlpackage model never is" in refused("inspect", wrong)
    else:
        wrong.mkdir()
        assert f"is a folder, which a {suffix} model never is" in refused("inspect", wrong)
        wrong.rmdir()
        wrong.write_text("not a model at all")
        assert str(wrong) in refused("inspect", wrong)


def test_other_files(tmp_path: Path, refused: Refused) -> None:
    assert "is none of .tflite, .mlpackage, .mlmodel, .onnx" in refused("inspect", tmp_path)
    assert "is none of" in refused("inspect", tmp_path / "model.h5")


def half_quantized(path: Path) -> Path:
    """Nobody's "int8" file: of 96 multiply-adds, 64 are of integers, 32 of a float weight."""
    grid = ["scale", "zero"], {"scale": np.float32(0.1), "zero": np.uint8(128)}
    weight = ["w_scale", "w_zero"], {"w_scale": np.float32(0.1), "w_zero": np.int8(0)}
    stored = {**grid[1], **weight[1], "w": np.ones((4, 8), np.int8)}
    stored |= {"left": np.ones((8, 2), np.float32)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *grid[0]], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *grid[0]], ["dq"]),
        helper.make_node("DequantizeLinear", ["w", *weight[0]], ["dw"]),
        helper.make_node("MatMul", ["dq", "dw"], ["inner"]),
        helper.make_node("MatMul", ["inner", "left"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(*end) for end in (("x", 1, [2, 4]), ("y", 1, [2, 2]))]
    held = [numpy_helper.from_array(np.asarray(v), name) for name, v in stored.items()]
    graph = helper.make_graph(nodes, "half", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    onnx.save(model, path)
    return path


def test_a_gate_on_the_share_of_int8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(half_quantized(tmp_path / "theirs-int8.onnx"))
    share = 100 * 64 / (64 + 2 * 8 * 2)
    assert run(["inspect", path]) == 0
    assert run(["inspect", path, "--min-int8-share", f"{share - 0.1}"]) == 0
    capsys.readouterr()
    assert run(["inspect", path, "--min-int8-share", "95", "--json"]) == 1
    (line,) = json.loads((caught := capsys.readouterr()).out)["missed_gates"]
    assert line == (
        f"{share:.2f} % of the multiply-adds are in INT8, the gate is 95 %; 1 weights are float, "
        "first left"
    )
    assert line in caught.err
