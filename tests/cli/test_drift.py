"""`drift`: its rows, those of other processors and devices among them, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeskin.cli.main import run
from edgeskin.data.phantoms import write_set

pytestmark = pytest.mark.slow
Refused = Callable[..., str]
NEAREST = ("--preprocess", "nearest")


def test_drift_of_a_float_file_has_no_quantization(
    measured: Callable[..., Path],
    files: Path,
    lively_run: Path,
    phantom_set: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    artifact, picture = files / "acne-test-fp32.onnx", tmp_path / "drift.svg"
    command = ["drift", str(artifact), "--reference", str(lively_run), "--data", str(phantom_set)]
    further = ("--under", "nice -n 1", "--measured", str(measured(artifact, phantom_set, tmp_path)))
    told = ("--json", "--plot", str(picture), "--images", "5")
    assert run([*command, *told, *further]) == 0
    stdout, stderr = capsys.readouterr()
    assert "running under nice -n 1: 5/5" in stderr.splitlines()
    document = json.loads(stdout)
    assert document["images"] == 5
    steps = [stage["stage"] for stage in document["stages"]]
    assert steps == ["trained", "preprocessing", "conversion", "kernels"]
    assert [stage["stage"] for stage in document["elsewhere"]] == ["nice -n 1", "a phone"]
    for stage in document["elsewhere"]:
        assert stage["sqnr_db"] == "inf"  # the same kernels on the same machine
    assert document["stages"][1]["what"] == "pixels by core: the same bytes"
    assert document["metrics"]["severity_accuracy"]["total"]["value"] == 0.0
    assert picture.is_file()


def test_drift_of_an_int8_file_needs_its_program(
    measured: Callable[..., Path],
    int8: Path,
    lively_run: Path,
    program: Path,
    tmp_path: Path,
    refused: Refused,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(tmp_path / "larger", train=1, val=0, test=8, size=100)  # so that there is a resize
    command = ("drift", int8, "--reference", lively_run, "--data", tmp_path / "larger")
    assert "pass it with --program" in refused(*command)
    line = refused(*command, "--metric", "accuracy")
    assert "no metric 'accuracy'; there are severity_accuracy, " in line
    phone = measured(int8, tmp_path / "larger", tmp_path)
    line = refused(*command, "--program", program, "--measured", phone, *NEAREST)
    assert "is of pixels by core, which is what runs on devices" in line
    told = (*command, "--program", program, *NEAREST, "--json")
    assert run([str(argument) for argument in told]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [stage["stage"] for stage in document["stages"]][2] == "quantization"
    for found in document["metrics"].values():
        total = sum(float(step["change"]["value"]) for step in found["steps"])
        whole = float(found["total"]["value"])  # NaN, as text, where a class is missing
        assert total == pytest.approx(whole, abs=1e-9, nan_ok=True)
    assert document["stages"][1]["sqnr_db"] < 60.0  # other pixels, other answers
