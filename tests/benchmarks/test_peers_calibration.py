"""`peers calibration`: each method timed and judged, NNCF among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeskin.benchmarks.peers.__main__ import main


@pytest.mark.slow
def test_each_method_is_timed_and_held_against_float(
    run: Path, phantom_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["calibration", str(run), "--data", str(phantom_set), "--samples", "8"]
    assert main([*command, "--methods", "minmax,nncf", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["calibration_images"], found["test_images"]) == (8, 16)
    assert found["float"].keys() == {"wall_s", "cpu_s"}
    for entry in found["methods"].values():
        assert entry["wall_s"] > 0
        assert 0 < entry["cpu_s"] < 4 * entry["wall_s"]
        assert entry["sqnr_db"]["severity"] > 15  # eight bits of three layers


def test_what_cannot_be_measured_is_a_line(
    run: Path, phantom_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["calibration", str(run), "--data", str(phantom_set)]
    assert main([*command, "--methods", "guess"]) == 2
    assert "no calibration method 'guess'" in capsys.readouterr().err
    assert main([*command, "--methods", "minmax", "--samples", "1"]) == 0
    assert "cannot calibrate on 1 images" in capsys.readouterr().out
