"""`edgeskin convert --portable`, from the command line to the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeskin.artifacts import read_manifest
from edgeskin.cli.main import run
from edgeskin.formats import read_network


@pytest.mark.slow
def test_a_portable_file(
    program: Path, int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "files"
    command = ["convert", str(program), "--out", str(out), "--target", "onnx", "--portable"]
    capsys.readouterr()
    assert run([*command, "--json"]) == 0, "slower here or not, it is not for this CPU"
    (told,) = json.loads(capsys.readouterr().out)
    (entry,) = read_manifest(out).values()
    assert told["portable"] is entry.portable is True
    assert entry.speed.p50_ms.keys() >= {"int8", "fp32"}
    assert entry.speed.for_speed is False
    assert moves(Path(told["path"])) < moves(int8)
    (ordinary,) = read_manifest(int8.parent).values()
    assert ordinary.portable is False
    assert ordinary.speed.for_speed is True


def moves(path: Path) -> int:
    return sum(op.type in ("Transpose", "Reshape") for op in read_network(path).operators)
