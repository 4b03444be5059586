"""What calibration says on stderr beside making a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeskin.artifacts import read_manifest
from edgeskin.cli.main import run


def test_warnings_are_lines_on_stderr_and_stdout_is_the_result(
    lively_run: Path, phantom_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.pt2"
    command = ["calibrate", str(lively_run), "--data", str(phantom_set), "--out", str(out)]
    code = run([*command, "--samples", "2", "--exclude", "heads.0", "--exclude", "heads.1"])
    said = capfd.readouterr()
    assert (code, said.out) == (0, f"{out}\n")
    lines = [line for line in said.err.splitlines() if line.startswith("edgeskin: ")]
    assert "edgeskin: left in float: linear x2" in lines
    assert any("no calibration image of severity" in line for line in lines)  # 4 classes, 2 images
    assert any("between two halves of the images" in line for line in lines)
    assert len(lines) <= 4


def test_a_pattern_that_matches_no_layer(
    lively_run: Path, phantom_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.pt2"
    command = ["calibrate", str(lively_run), "--data", str(phantom_set), "--out", str(out)]
    assert run([*command, "--samples", "2", "--exclude", "nothing.*"]) == 2
    assert "no layer matches 'nothing.*'" in capfd.readouterr().err
    assert not out.exists()


def test_convert_says_what_its_own_calibration_found(
    lively_run: Path, phantom_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "files"
    command = ["convert", str(lively_run), "--data", str(phantom_set), "--out", str(out)]
    command += ["--target", "onnx", "--precision", "int8", "--samples", "2", "--no-timing"]
    assert run(command) == 0
    said = capfd.readouterr().err
    assert "no calibration image of severity" in said  # 4 classes, 2 images
    (entry,) = read_manifest(out).values()
    assert all(f"edgeskin: {line}" in said for line in entry.warnings)
