"""The workflow of docs/ci.md, run as it stands on a small model, and its other blocks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from acne_network import make_run
from example_shell import shell

import edgeskin
from edgeskin.benchmarks.report.budget import Budget

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    (text,) = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


@pytest.fixture(scope="module")
def repository(phantom_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A team's repository: what is released, what is proposed, images, limits."""
    folder = tmp_path_factory.mktemp("repository")
    model = make_run(folder / "run", phantom_set, seed=0)
    edgeskin.pack(model, phantom_set, folder / "pack")
    edgeskin.convert(model, folder / "released", target="tflite", precision="fp16")
    shutil.copytree(folder / "released", folder / "models")
    (folder / "edgeskin.toml").write_text(block("toml"))
    return folder


def steps() -> dict[str, str]:
    """The commands of the workflow, by the name of their step."""
    jobs: dict[str, Any] = yaml.safe_load(block("yaml"))["jobs"]
    return {step["name"]: step["run"] for step in jobs["gate"]["steps"] if "run" in step}


@pytest.fixture(scope="module")
def measured(repository: Path) -> Path:
    """The repository after the step that measures.

    With a cache of its own: the lock of the device is there, which tests beside this one take too.
    """
    variables = {"PROTOCOL": "quick", "EDGESKIN_CACHE": str(repository / "cache")}
    done = shell("bash", "-euc", steps()["Measure"], cwd=repository, **variables)
    assert done.returncode == 0, done.stderr
    return repository


@pytest.mark.slow
def test_the_workflow_runs_as_it_stands(measured: Path) -> None:
    commands = steps()
    assert list(commands) == ["Install", "Measure", "Compare", "Comment"]
    done = shell("bash", "-euc", commands["Compare"], cwd=measured)
    # Two quick runs of one file: a time alone may be missed, where a test beside this one begins
    # between them.
    missed = [line for line in done.stderr.splitlines() if "missed: " in line]
    assert done.returncode == (1 if missed else 0), done.stdout + done.stderr
    assert all(re.search(r": (p50|whole_p90)_ms worse by", line) for line in missed)
    assert (measured / "compare.md").read_text().startswith("## edgeskin: ")
    assert json.loads((measured / "compare.sarif").read_text())["version"] == "2.1.0"
    assert "<testsuites" in (measured / "compare.xml").read_text()


@pytest.mark.slow
def test_a_larger_file_stops_the_workflow(measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("comp*"))
    (path,) = (tmp_path / "results/new").glob("*.json")
    document = json.loads(path.read_text())
    document["artifact"]["bytes"] = round(1.1 * document["artifact"]["bytes"])
    path.write_text(json.dumps(document))
    done = shell("bash", "-euc", steps()["Compare"], cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "on host, xnnpack: size_mb worse by 10.00%, 5% allowed" in done.stderr
    assert (tmp_path / "compare.md").read_text().startswith("## edgeskin: Missed")


def test_the_budget_of_the_page_is_one(tmp_path: Path) -> None:
    file = tmp_path / "edgeskin.toml"
    file.write_text(block("toml"))
    assert Budget.load(file).on("adb:X1").max_latency_ms == 40
