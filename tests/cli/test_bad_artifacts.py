"""Artifacts that are damaged, foreign, newer, or not the one that their manifest names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgeskin.files import sha256

Refused = Callable[..., str]
SUFFIXES = (".tflite", ".onnx", ".mlpackage")
MODEL = "Data/com.apple.CoreML/model.mlmodel"


@pytest.fixture
def image(phantom_set: Path) -> Path:
    return sorted(phantom_set.rglob("*.png"))[0]


@pytest.fixture(params=["predict", "verify"])
def use(
    request: pytest.FixtureRequest,
    image: Path,
    lively_run: Path,
    phantom_set: Path,
    refused: Refused,
) -> Refused:
    """`use(artifact)`: what each command that opens an artifact says about it."""
    rest = {"predict": [image], "verify": ["--reference", lively_run, "--data", phantom_set]}
    return lambda artifact: refused(request.param, artifact, *rest[request.param])


def model_file(artifact: Path) -> Path:
    return artifact / MODEL if artifact.is_dir() else artifact


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_not_the_one_its_manifest_names(
    suffix: str, files: Path, use: Refused
) -> None:
    artifact = files / f"acne-test-fp32{suffix}"
    expected = sha256(artifact)[:16]
    with model_file(artifact).open("r+b") as file:  # one byte in the middle of the weights
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))
    line = use(artifact)
    assert line.startswith(f"{artifact} is not the file its manifest names: sha256 ")
    assert f"against {expected}... It was changed or replaced; convert it again." in line


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_a_truncated_file(suffix: str, keep: float, files: Path, use: Refused) -> None:
    (files / "manifest.json").unlink()  # which would have said so first
    artifact = files / f"acne-test-fp32{suffix}"
    if suffix == ".mlpackage" and keep == 0.999:
        pytest.skip("the model file of a Core ML package is all metadata: see test_artifacts.py")
    whole = model_file(artifact)
    os.truncate(whole, int(keep * whole.stat().st_size))
    line = use(artifact)
    assert str(artifact) in line
    assert any(word in line for word in ("truncated", "not a TFLite file", "not a whole model"))


def test_a_missing_file_that_the_manifest_names(files: Path, use: Refused) -> None:
    (files / "acne-test-fp32.onnx").unlink()
    assert use(files / "acne-test-fp32.onnx") == f"{files / 'acne-test-fp32.onnx'} is missing"


def test_a_damaged_manifest(files: Path, use: Refused) -> None:
    (files / "manifest.json").write_text("{")
    assert "manifest.json is damaged" in use(files / "acne-test-fp32.onnx")


def test_a_file_type_that_nobody_knows(tmp_path: Path, use: Refused) -> None:
    (tmp_path / "model.h5").write_bytes(b"x")
    assert "model.h5 is none of .tflite, .mlpackage, .onnx" in use(tmp_path / "model.h5")


def test_an_artifact_of_another_tool(tmp_path: Path, use: Refused) -> None:
    path = tmp_path / "foreign.onnx"
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value], [out])
    onnx.save(helper.make_model(graph), path)
    line = use(path)
    assert "carries no edgeskin spec: it was converted by another tool" in line
    assert line.endswith("Convert it with edgeskin convert.")


def test_a_spec_of_a_newer_version_inside(files: Path, use: Refused) -> None:
    (files / "manifest.json").unlink()
    path = files / "acne-test-fp32.onnx"
    model = onnx.load(path)
    entry = next(p for p in model.metadata_props if p.key == "edgeskin.spec")
    entry.value = json.dumps(json.loads(entry.value) | {"version": 2})
    onnx.save(model, path)
    line = use(path)
    assert f"the spec inside {path} has version 2; this edgeskin reads up to 1. Upgrade" in line


def test_a_graph_that_its_runtime_refuses(files: Path, use: Refused) -> None:
    (files / "manifest.json").unlink()
    path = files / "acne-test-fp32.onnx"
    model = onnx.load(path)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, path)
    assert f"ONNX Runtime refuses {path}" in use(path)


def test_an_artifact_that_expects_another_input(
    files: Path, lively_run: Path, phantom_set: Path, tmp_path: Path, refused: Refused
) -> None:
    """Its reference was changed afterwards: other preprocessing, other heads."""
    reference = Path(shutil.copytree(lively_run, tmp_path / "reference"))
    spec = json.loads((reference / "spec.json").read_text())
    verify = ["verify", files / "acne-test-fp32.onnx", "--data", phantom_set]
    changed = spec | {"input": spec["input"] | {"resize_to": 80}}
    (reference / "spec.json").write_text(json.dumps(changed))
    line = refused(*verify, "--reference", reference)
    assert "preprocess differently (resize_to 80 against 72). Pass the run that" in line
    heads = [spec["heads"][0] | {"name": "grade"}, spec["heads"][1]]
    (reference / "spec.json").write_text(json.dumps(spec | {"heads": heads}))
    line = refused(*verify, "--reference", reference)
    assert "the reference gives grade, count, count_distribution, the artifact severity" in line


# Images that predict is given


@pytest.mark.parametrize("size", [0, 20, 800])
def test_an_image_that_is_not_whole(
    size: int, converted: Path, image: Path, tmp_path: Path, refused: Refused
) -> None:
    spoiled = Path(shutil.copy(image, tmp_path / "face.png"))
    os.truncate(spoiled, size)
    line = refused("predict", converted / "acne-test-fp32.onnx", image, spoiled)
    assert str(spoiled) in line


def test_an_image_that_is_none(
    converted: Path, lively_run: Path, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "text.jpg").write_text("I am not a face")
    for model in (converted / "acne-test-fp32.tflite", lively_run):
        assert "text.jpg" in refused("predict", model, tmp_path / "text.jpg")
        assert "none.jpg" in refused("predict", model, tmp_path / "none.jpg")
        assert str(tmp_path) in refused("predict", model, tmp_path)
