"""`edgeskin advise`: the table and its sources, and which of a folder's files come first."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import edgeskin
from edgeskin.advice import table
from edgeskin.artifacts import Compiled, ManifestEntry, read_manifest, write_manifest
from edgeskin.cli.main import run
from edgeskin.conversion import Tried
from edgeskin.destinations import DESTINATIONS
from edgeskin.errors import InvalidArtifact, UnknownName
from edgeskin.formats import FORMATS

ROOT = Path(__file__).resolve().parents[1]


def entry(target: str, precision: str, *destinations: str, **more: Any) -> ManifestEntry:
    return ManifestEntry(
        sha256="0" * 64, target=target, precision=precision, destinations=destinations, **more
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chip = Compiled(chip="SM8750", sdk="2.51.0", source_sha256="0" * 64)
    refused = {"snapdragon": Tried(whole=False, reason="rank 5")}
    measured = {"skin/test": {"sqnr_db": 31.25}}
    entries = {
        "m-int8.onnx": entry("onnx", "int8", "snapdragon", "gpu", tried=refused),
        "m-fp32.onnx": entry("onnx", "fp32", "snapdragon"),
        "m-int8-SM8750.tflite": entry("tflite", "int8", "snapdragon:SM8750", compiled=chip),
        "m-fp32.tflite": entry("tflite", "fp32", "cpu", verification=measured),
    }
    write_manifest(tmp_path, entries)
    return tmp_path


def test_every_destination_has_advice_with_sources() -> None:
    assert table().keys() == DESTINATIONS.keys()
    for name, (kinds, why) in table().items():
        assert {kind.target for kind in kinds} <= set(FORMATS)
        assert all(DESTINATIONS[name].takes(kind.target) for kind in kinds)
        assert {kind.precision for kind in kinds} <= {"fp32", "fp16", "int8"}
        assert len(set(kinds)) == len(kinds)
        for path in re.findall(r"docs/[\w/.-]+", " ".join(why)):
            place = ROOT / path
            assert place.exists() or list(place.parent.glob(f"{place.name}*")), path


@pytest.mark.parametrize(
    ("destination", "file"),
    [
        ("snapdragon:SM8750", "m-int8-SM8750.tflite"),
        ("snapdragon:SM8650", "m-int8.onnx"),  # nobody tried it there
        ("snapdragon", "m-fp32.onnx"),  # the better one was refused
        ("cpu", "m-fp32.tflite"),
        ("gpu", None),  # the one file of its type is for CPUs
        ("tensorrt", "m-fp32.onnx"),  # the INT8 one has zero points
        ("ane", None),
    ],
)
def test_which_file(destination: str, file: str | None, folder: Path) -> None:
    (advice,) = edgeskin.advise(folder, [destination])
    assert advice.file == file
    assert advice.why


def test_what_was_measured_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["advise", str(folder), "--for", "snapdragon:SM8750,cpu"]) == 0
    shown = capsys.readouterr().out
    assert "snapdragon:SM8750: m-int8-SM8750.tflite" in shown
    assert "measured: compiled for SM8750 by QAIRT 2.51.0" in shown
    assert "measured: 31.2 dB beside the float model on skin/test, on this machine" in shown
    assert run(["advise", str(folder), "--for", "gpu", "--json"]) == 1
    stdout, stderr = capsys.readouterr()
    (told,) = json.loads(stdout)
    assert told["file"] is None
    assert "has nothing for gpu, which wants tflite fp16: convert --for gpu" in stderr


def test_what_it_cannot_answer(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no destination 'moon'"):
        edgeskin.advise(folder, ["moon"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArtifact, match=r"has no manifest\.json with files"):
        edgeskin.advise(tmp_path / "empty", ["cpu"])


def test_a_file_compiled_from_one_that_is_no_more_is_none(folder: Path) -> None:
    entries = read_manifest(folder)
    old = entries["m-int8-SM8750.tflite"].compiled.model_copy(update={"source_sha256": "2" * 64})
    entries["m-int8-SM8750.tflite"] = entry("tflite", "int8", "snapdragon:SM8750", compiled=old)
    write_manifest(folder, entries)
    (advice,) = edgeskin.advise(folder, ["snapdragon:SM8750"])
    assert advice.file == "m-int8.onnx"


def test_one_model_at_a_time(folder: Path) -> None:
    write_manifest(folder, {**read_manifest(folder), "n-fp32.onnx": entry("onnx", "fp32", "cpu")})
    with pytest.raises(InvalidArtifact, match=r"holds several models \(m, n\)"):
        edgeskin.advise(folder, ["cpu"])
