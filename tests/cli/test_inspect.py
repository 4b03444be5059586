"""`edgeskin inspect`: a table, a JSON document, and one line for what is no model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

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
    assert document == edgeskin.inspect(int8)
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
    assert "is none of .tflite, .onnx, .mlpackage, .mlmodel" in refused("inspect", tmp_path)
    assert "is none of" in refused("inspect", tmp_path / "model.h5")
