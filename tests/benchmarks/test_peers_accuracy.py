"""`peers accuracy`: a small run on phantoms through the stock tools and our own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeskin.benchmarks.peers.__main__ import main
from edgeskin.benchmarks.peers.builds import Failure
from edgeskin.benchmarks.peers.peer_accuracy import AccuracyResult, measure, table
from edgeskin.calibration.from_run import calibrate
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidData


@pytest.mark.slow
def test_every_file_is_held_against_the_float_run(
    run: Path, other: Path, phantom_set: Path, tmp_path: Path
) -> None:
    program = tmp_path / "ours.pt2"
    calibrate(run, phantom_set, program, CalibrationOptions(method="minmax"))
    told: list[str] = []
    found = measure(run, phantom_set, {"ptq": program}, tmp_path / "out", told.append)
    test = load_split(phantom_set, "test")
    assert found.test_images == len(test)
    for runtime, names in (("litert", {"float", "stock", "ptq"}), ("onnx", {"stock_x86"})):
        assert names <= found.runtimes[runtime].keys()
        for name, entry in found.runtimes[runtime].items():
            assert not isinstance(entry, Failure), entry
            # Float files differ by rounding alone; INT8 by eight bits of three layers.
            assert entry.sqnr_db["severity"] > (90 if name == "float" else 15), name
            change = entry.metrics["severity_accuracy"]
            assert change.reference == found.float.metrics["severity_accuracy"].value
            assert change.change.low <= change.change.value
            assert entry.p50_ms == pytest.approx(np.median(entry.cpu_ms), abs=1e-3)
    assert len(table(found).splitlines()) == 1 + 3 + 4
    text = json.dumps(found.to_json())  # a class without images has NaN, which equals nothing
    assert json.dumps(AccuracyResult.from_json(text).to_json()) == text

    with pytest.raises(InvalidData, match="holds the files of another run"):
        measure(other, phantom_set, {}, tmp_path / "out", told.append)


def test_a_missing_run_is_one_line(
    tmp_path: Path, phantom_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["accuracy", str(tmp_path / "none"), "a=b.pt2", "--data", str(phantom_set)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert "none" in line
