"""What calibration says on stderr beside making a program."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from edgeskin.artifacts import read_manifest
from edgeskin.calibration.program import load_program
from edgeskin.cli.main import run


def test_warnings_are_lines_on_stderr_and_stdout_is_the_result(
    lively_run: Path, phantom_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.pt2"
    command = ["calibrate", str(lively_run), "--data", str(phantom_set), "--out", str(out)]
    code = run([*command, "--samples", "2", "--exclude", "network.heads.*"])
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


def test_parts_stay_in_float_until_the_sqnr_is_met(
    lively_run: Path, phantom_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, files = tmp_path / "p.pt2", tmp_path / "files"
    command = ["calibrate", str(lively_run), "--data", str(phantom_set), "--samples", "8"]
    assert run([*command, "--out", str(tmp_path / "plain.pt2"), "--min-sqnr-db", "1"]) == 0
    line = capfd.readouterr().err
    plain_db = float(re.search(r"edgeskin: ([\d.]+) dB on 8 held-out images of the val", line)[1])
    assert "with 0 parts in float" in line
    assert run([*command, "--out", str(out), "--min-sqnr-db", f"{plain_db + 1:.1f}"]) == 0
    said = capfd.readouterr().err
    record = load_program(out).calibration
    control = record.accuracy_control
    assert control is not None
    kept = [part.part for part in control.kept]
    assert 0 < len(kept) < len(control.parts)
    assert len(record.exclude) >= len(kept)
    rows = [row.split() for row in said.splitlines() if " of weights " in row]
    assert [row[-1] for row in rows] == [part.part for part in control.parts]
    assert [row[-1] for row in rows if row[0] == "float"] == kept
    # The file has them in float as its program says, and manifest and card name them.
    assert run(["convert", str(out), "--target", "onnx", "--no-timing", "--out", str(files)]) == 0
    (entry,) = read_manifest(files).values()
    assert entry.scales is not None
    assert [part["part"] for part in entry.scales["kept_in_float"]["parts"]] == kept
    (card,) = files.glob("*.card.md")
    text = card.read_text(encoding="utf-8")
    assert f"| {kept[0]} |" in text.split("## Kept in float")[1]
    assert f"--samples 8 --min-sqnr-db {plain_db + 1:.1f}\n" in text


def test_an_sqnr_out_of_reach_is_a_missed_gate(
    lively_run: Path, phantom_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.pt2"
    command = ["calibrate", str(lively_run), "--data", str(phantom_set), "--out", str(out)]
    assert run([*command, "--samples", "4", "--min-sqnr-db", "300"]) == 1
    assert "asked for are 300 dB" in capfd.readouterr().err
    assert not out.exists()


def test_metrics_need_a_val_split(
    lively_run: Path, phantom_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "p.pt2"
    shutil.copytree(phantom_set, data)
    table = data / "manifest.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace(",val,", ",train,"), encoding="utf-8")
    command = ["calibrate", str(lively_run), "--data", str(data), "--out", str(out)]
    assert run([*command, "--max-drop", "0.5"]) == 2
    assert "has no val split to measure metrics on" in capfd.readouterr().err
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
