"""The page of accelerators: its cells, on a small network, and that it shows what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qualcomm import npu

from edgeskin.benchmarks.accelerators import cells
from edgeskin.benchmarks.accelerators.__main__ import main
from edgeskin.benchmarks.accelerators.cells import NetworkBench
from edgeskin.benchmarks.accelerators.cells_page import AcceleratorsResult, json_path, markdown
from edgeskin.errors import DeviceFull, InvalidRun

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results" / "accelerators.md"


def test_the_page_shows_what_is_in_the_json() -> None:
    result = AcceleratorsResult.from_json(json.loads(json_path(PAGE).read_bytes()))
    assert markdown(result) in PAGE.read_text(encoding="utf-8")


@npu
@pytest.mark.slow
def test_a_network_on_the_places_there_are(
    run: Path, phantom_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [p for p in cells.PLACES if p.device in (None, "simulated:htp:SM8750")]
    monkeypatch.setattr(cells, "PLACES", chosen)
    bench = NetworkBench("small", run, phantom_set, tmp_path / "out", images=3)
    found = bench.measure()
    assert (found.name, found.images) == ("small", 3)
    by_kind = {(c.place, c.target, c.precision): c for c in found.cells}
    assert len(by_kind) == len(chosen) * len(cells.PRECISIONS)
    for (place, target, precision), cell in by_kind.items():
        if precision == "w8a16" and target != "onnx":
            assert "cannot hold a w8a16 program" in (cell.refused or "")
            assert cell.metrics is None
            continue
        assert cell.refused is None
        assert cell.metrics
        assert cell.sqnr_db is not None
        assert cell.sqnr_db > {"fp32": 35.0, "w8a8": 10.0, "w8a16": 25.0}[precision]
        if "NPU" in place:
            assert cell.taken is not None
            assert cell.taken[0] == cell.taken[1] > 0
    here, there = (by_kind[p.title, p.target, "fp32"] for p in (chosen[1], chosen[-1]))
    assert here.sqnr_db > there.sqnr_db + 20, "the NPU's outputs, in float16"  # type: ignore[operator]

    def again(*_: Any, **__: Any) -> None:
        raise AssertionError("it is known")

    monkeypatch.setattr(NetworkBench, "_found", again)
    fresh = NetworkBench("small", run, phantom_set, tmp_path / "out", images=3)
    assert fresh.measure() == found
    with pytest.raises(InvalidRun, match="has cells of another run or other images"):
        NetworkBench("small", run, phantom_set, tmp_path / "out", images=2).measure()
    text = markdown(AcceleratorsResult(machine="here", tools={}, networks=(found,)))
    assert text.count("| Snapdragon SM8750's NPU, simulated") == 5
    assert "Not measured:" in text


@pytest.mark.slow
def test_what_this_machine_lacks_is_no_refusal(
    run: Path, phantom_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise DeviceFull("no space")

    monkeypatch.setattr(NetworkBench, "_found", full)
    with pytest.raises(DeviceFull):
        NetworkBench("small", run, phantom_set, tmp_path / "out", images=2).measure()
    assert not (tmp_path / "out" / "cells").exists()


def test_a_network_is_named_with_its_run_and_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["acne", "--out", str(tmp_path)]) == 2
    assert "'acne' is not NAME=RUN:DATA" in capsys.readouterr().err
    assert main([f"acne={tmp_path}:{tmp_path}", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("edgeskin: ")
    assert not (tmp_path / "out").exists()
