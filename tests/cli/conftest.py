"""A run, its program and its artifacts, made by the real commands once a session."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from acne_network import make_run

import edgeskin
from edgeskin.cli.main import run
from edgeskin.data.manifest import load_split
from edgeskin.files import sha256

RECIPE = "size = 64\nresize_to = 72\npretrained = false\nbatch_size = 8\n"


@pytest.fixture(scope="session")
def lively_run(phantom_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("lively") / "run", phantom_set, seed=0)


@pytest.fixture(scope="session")
def other_run(phantom_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network with other weights."""
    return make_run(tmp_path_factory.mktemp("other") / "run", phantom_set, seed=1)


@pytest.fixture(scope="session")
def program(lively_run: Path, phantom_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("program") / "p.pt2"
    arguments = ["calibrate", str(lively_run), "--data", str(phantom_set), "--out", str(out)]
    assert run([*arguments, "--method", "minmax", "--samples", "8"]) == 0
    return out


@pytest.fixture(scope="session")
def int8(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as an ONNX file, made from Python."""
    out = tmp_path_factory.mktemp("int8") / "files"
    (made,) = edgeskin.convert(str(program), str(out), target="onnx")
    return made.path


@pytest.fixture(scope="session")
def converted(lively_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fp32 for the three targets, with the manifest. Do not change it: copy it."""
    out = tmp_path_factory.mktemp("converted") / "files"
    assert run(["convert", str(lively_run), "--out", str(out)]) == 0
    return out


@pytest.fixture
def files(converted: Path, tmp_path: Path) -> Path:
    """A copy of `converted` for a test to spoil."""
    return Path(shutil.copytree(converted, tmp_path / "files"))


@pytest.fixture
def spoiled_run(lively_run: Path, tmp_path: Path) -> Path:
    """A copy of `lively_run` for a test to spoil."""
    return Path(shutil.copytree(lively_run, tmp_path / "run"))


@pytest.fixture
def spoiled_set(phantom_set: Path, tmp_path: Path) -> Path:
    """A copy of `phantom_set` for a test to spoil."""
    return Path(shutil.copytree(phantom_set, tmp_path / "set"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def measured() -> Callable[[Path, Path, Path], Path]:
    return _measured


def _measured(artifact: Path, data: Path, folder: Path) -> Path:
    """The result of a device that computes what this machine does, in another order."""
    dataset = load_split(data, "test")
    with edgeskin.load(artifact) as predictor:
        outputs = predictor.run_all(dataset.pixels(predictor.spec.input)[::-1])
    document = {
        "version": 1,
        "artifact": {"sha256": sha256(artifact)},
        "pack": {"source_sha256": [sha256(path) for path in dataset.paths[::-1]]},
        "device": {"name": "a phone"},
        "engine": {"version": "1.0", "accelerator": "none"},
        "accuracy": {"bit_equal_inputs": 1.0},
    }
    path = folder / "result.json"
    path.write_text(json.dumps(document))
    np.savez(path.with_suffix(".npz"), **outputs)
    return path
