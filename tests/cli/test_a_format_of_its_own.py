"""A fourth format is one folder and one row of the table: every command takes it then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parents[1]
# At the start of every Python, the workers included.
ROW = """
from edgeskin.formats import FORMATS
from tiny_format import TINY
FORMATS[TINY.name] = TINY
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sitecustomize.py").write_text(ROW)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(TESTS)))}


def test_every_command_takes_it(
    program: Path, phantom_set: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    def run(*arguments: object) -> Any:
        command = [*COMMAND, *map(str, arguments), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    (made,) = run("convert", program, "--target", "tiny", "--no-timing", "--out", tmp_path / "app")
    file = Path(made["path"])
    assert file.name == "acne-test-int8.tiny"
    audit = run("inspect", file)
    assert (audit["format"], audit["multiply_adds"]["int8_share"]) == ("Tiny", 1.0)
    assert audit["metadata"]["name"] == "acne-test"
    (answer,) = [run("predict", file, next(phantom_set.rglob("*.png")))]
    assert "severity" in json.dumps(answer)
    given = ("--reference", program, "--data", phantom_set)
    layers = ("--layers", "--images", "1", "--repro", tmp_path / "repro")
    report = run("verify", file, *given, *layers)
    assert report["images"] == 16
    matched, products = report["layers"]["matched_products"].split(" of ")
    assert matched == products
    script = [sys.executable, tmp_path / "repro" / "run.py"]
    assert subprocess.run(script, capture_output=True, check=True).stdout.startswith(b"SQNR ")


def test_without_the_row_nothing_knows_it(tmp_path: Path) -> None:
    (tmp_path / "model.tiny").write_bytes(b"x")
    done = subprocess.run(
        [*COMMAND, "inspect", str(tmp_path / "model.tiny")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "is none of .tflite, .mlpackage, .mlmodel, .onnx" in done.stderr
