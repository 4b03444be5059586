"""`verify`: its document, its gates, its evidence in the manifest, and what it finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskin.artifacts import read_manifest
from edgeskin.cli.main import run
from edgeskin.cli.verify import gates
from edgeskin.converters.parity import Verification
from edgeskin.estimate import Estimate
from edgeskin.evaluation import MetricChange
from edgeskin.files import sha256

Verify = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def verify(phantom_set: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """`verify(artifact, run, *options)`: exit code, JSON document, stderr."""

    def call(artifact: Path, reference: Path, *options: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        command = ["verify", str(artifact), "--reference", str(reference)]
        code = run([*command, "--data", str(phantom_set), "--json", *options])
        stdout, stderr = capsys.readouterr()
        return code, json.loads(stdout), stderr

    return call


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_a_float_artifact_agrees_with_its_run(
    suffix: str, files: Path, lively_run: Path, verify: Verify
) -> None:
    artifact = files / f"acne-test-fp32{suffix}"
    code, document, _ = verify(artifact, lively_run, "--min-sqnr-db", "60", "--max-drop", "0")
    assert code == 0
    assert list(document) == [
        *("version", "artifact", "data", "split", "runtime", "images", "sqnr_db"),
        *("agreement", "equal_decisions", "metrics"),
        *("pixels_sha256", "reference_sha256", "precision", "floor_db", "rounding_db"),
        *("cause", "disagrees", "faults", "missed_gates"),
    ]
    assert (document["artifact"], document["split"]) == (artifact.name, "test")
    assert (document["images"], document["missed_gates"]) == (16, [])
    assert list(document["agreement"]) == ["severity", "count", "count_distribution"]
    assert document["sqnr_db"] == min(a["sqnr_db"] for a in document["agreement"].values())
    assert document["equal_decisions"] == {"severity": 1.0, "count": 1.0}
    for metric in document["metrics"].values():
        assert metric["change"]["low"] <= metric["change"]["value"] <= metric["change"]["high"]
    kept = read_manifest(files)[artifact.name].verification[f"{document['data']}/test"]
    assert kept == {key: value for key, value in document.items() if key != "missed_gates"}


@pytest.mark.slow
def test_other_weights_are_found_out(files: Path, other_run: Path, verify: Verify) -> None:
    code, document, stderr = verify(files / "acne-test-fp32.onnx", other_run, "--min-sqnr-db", "20")
    assert code == 1
    # Two unrelated answers: the noise is as large as the signal, 0 dB, or larger.
    assert document["sqnr_db"] < 5.0
    assert document["equal_decisions"]["severity"] < 0.9
    gate, weights = document["missed_gates"]
    assert gate == f"SQNR is {document['sqnr_db']:.1f} dB, the gate is 20 dB"
    assert "another epoch or another run" in weights
    assert stderr.splitlines()[-2:] == [f"edgeskin: {gate}", f"edgeskin: {weights}"]


@pytest.mark.slow
def test_int8_loses_more_than_float_and_the_gate_sees_it(
    int8: Path, lively_run: Path, verify: Verify
) -> None:
    any_int8 = ("--min-sqnr-db", "4")  # the floor is not met by an untrained network
    code, document, _ = verify(int8, lively_run, *any_int8)
    assert code == 0
    assert 5.0 < document["sqnr_db"] < 60.0
    high = str(document["sqnr_db"] + 1.0)
    low = str(document["sqnr_db"] - 1.0)
    assert verify(int8, lively_run, "--min-sqnr-db", high)[0] == 1
    assert verify(int8, lively_run, "--min-sqnr-db", low)[0] == 0
    assert verify(int8, lively_run, *any_int8, "--split", "val")[1]["images"] == 8


@pytest.mark.slow
def test_core_ml_is_verified_everywhere(files: Path, lively_run: Path, verify: Verify) -> None:
    """By Core ML on macOS, elsewhere by the meaning of its program, and the document says which."""
    import sys

    artifact = files / "acne-test-fp32.mlpackage"
    code, document, _ = verify(artifact, lively_run, "--min-sqnr-db", "60")
    assert code == 0
    who = "Core ML on macOS" if sys.platform == "darwin" else "MIL semantics, not an Apple device"
    assert document["runtime"].startswith(who)
    kept = read_manifest(files)[artifact.name].verification[f"{document['data']}/test"]
    assert kept["runtime"] == document["runtime"]
    assert verify(artifact, lively_run, "--min-sqnr-db", "300")[0] == 1


@pytest.mark.slow
def test_the_table_for_people(
    files: Path, lively_run: Path, phantom_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["verify", str(files / "acne-test-fp32.onnx"), "--reference", str(lively_run)]
    assert run([*command, "--data", str(phantom_set)]) == 0
    stdout = capsys.readouterr().out
    for words in ("16 images", "SQNR dB", "equal decisions, severity: 100.0 %", "paired 95 %"):
        assert words in stdout


@pytest.mark.slow
def test_an_artifact_alone_is_verified_without_a_manifest(
    converted: Path, lively_run: Path, tmp_path: Path, verify: Verify
) -> None:
    artifact = Path(shutil.copy(converted / "acne-test-fp32.onnx", tmp_path))
    assert verify(artifact, lively_run)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == [artifact.name]


FLOOR_DB = 6.0


def verification(sqnr_db: float, change: float) -> Verification:
    def metric(unit: str, change: float) -> MetricChange:
        return MetricChange(
            unit=unit,
            higher_is_better=unit == "ratio",
            reference=0.0,
            candidate=change,
            change=Estimate(value=change, low=change, high=change),
        )

    return Verification(
        artifact="a.onnx",
        data="d",
        split="test",
        runtime="none",
        images=1,
        sqnr_db=sqnr_db,
        agreement={},
        equal_decisions={},
        metrics={"accuracy": metric("ratio", change), "mae": metric("lesions", 99.0)},
        pixels_sha256="0",
        reference_sha256="1",
        precision="int8",
        floor_db=FLOOR_DB,
        rounding_db=None,
        cause=None,
        disagrees=(),
        faults=(),
    )


@pytest.mark.parametrize(
    ("sqnr_db", "change", "missed"),
    [
        (30.0, -0.01, 0),  # exactly at both gates
        (29.9, -0.01, 1),
        (30.0, -0.0101, 1),
        (29.9, -0.02, 2),
        (np.inf, 0.5, 0),
        (np.nan, 0.0, 1),  # what is not a number misses the gate
        (30.0, np.nan, 1),
    ],
)
def test_gates_at_their_edges(sqnr_db: float, change: float, missed: int) -> None:
    assert len(gates(verification(sqnr_db, change), 30.0, 1.0)) == missed
    below_floor = not sqnr_db >= FLOOR_DB
    assert len(gates(verification(sqnr_db, change), None, None)) == below_floor


@pytest.mark.slow
def test_layers_picture_and_folder_of_a_good_file(
    files: Path, lively_run: Path, verify: Verify, tmp_path: Path
) -> None:
    picture, folder = tmp_path / "layers.png", tmp_path / "repro"
    artifact = files / "acne-test-fp32.onnx"
    options = ("--images", "2", "--plot", str(picture), "--repro", str(folder))
    code, document, _ = verify(artifact, lively_run, *options)
    assert code == 0
    layers = document["layers"]
    matched, _, total = layers["matched_products"].partition(" of ")
    assert matched == total
    assert int(total) == 5 + 2  # convolutions and heads
    products = [row for row in layers["layers"] if row["kind"] == "multiply"]
    assert layers["sha256"] == sha256(artifact)
    assert min(float(row["own_sqnr_db"]) for row in products) > 60.0  # "inf" is text in JSON
    assert picture.is_file()
    assert sorted(p.name for p in folder.iterdir()) == [
        *("case.json", "expected.npy", "input_0.npy", "model.onnx", "run.py")
    ]
    assert (
        "layers" not in read_manifest(files)[artifact.name].verification[f"{document['data']}/test"]
    )


@pytest.mark.slow
def test_a_bad_layer_is_a_missed_gate(
    files: Path, other_run: Path, phantom_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Held against a run of other weights, the very first layer is wrong."""
    command = ["verify", str(files / "acne-test-fp32.onnx"), "--reference", str(other_run)]
    assert run([*command, "--data", str(phantom_set), "--layers", "--images", "1"]) == 1
    stdout, stderr = capsys.readouterr()
    assert "BAD" in stdout
    (line,) = [line for line in stderr.splitlines() if line.startswith("edgeskin: layer ")]
    assert line.startswith("edgeskin: layer network.stem.0 agrees to ")
    assert "by itself, its floor is " in line
    assert "addition" not in line  # all sums are there
    assert "another epoch or another run" in stderr


@pytest.mark.slow
def test_a_float_file_is_a_reference(files: Path, int8: Path, verify: Verify) -> None:
    options = ("--min-sqnr-db", "4", "--layers", "--images", "1")
    code, document, _ = verify(int8, files / "acne-test-fp32.tflite", *options)
    matched, _, total = document["layers"]["matched_products"].partition(" of ")
    assert matched == total
    assert code == bool(document["layers"]["bad"])
    assert 5.0 < document["sqnr_db"] < 60.0
    assert document["equal_decisions"].keys() == {"severity", "count"}


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_what_layers_and_references_refuse(
    files: Path, phantom_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = files / "acne-test-fp32.onnx"
    told = ("--data", phantom_set)
    float_ = files / "acne-test-fp32.tflite"
    line = refused(capsys, "verify", artifact, "--reference", float_)
    assert "the artifact has a spec, so that it is verified on images: pass --data" in line
    line = refused(capsys, "verify", artifact, "--reference", tmp_path / "none", *told)
    assert "is missing. Give what edgeskin train" in line
    (tmp_path / "picture.png").write_text("mine")
    plot = ("--plot", tmp_path / "picture.png")
    line = refused(capsys, "verify", artifact, "--reference", float_, *told, *plot)
    assert "exists already" in line
