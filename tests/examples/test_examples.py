"""Every example runs as it stands, and does what its first lines say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from example_shell import EXAMPLES, shell, unavailable
from PIL import Image

from edgeskin.models.run import BUILTIN
from edgeskin.preprocess import preprocess
from edgeskin.spec import Spec

pytestmark = pytest.mark.slow


def test_a_torchvision_network_becomes_a_verified_file(own_network: Path) -> None:
    said = (own_network / "stdout").read_text()
    assert "equal decisions, severity" in said
    assert said.splitlines()[-1].startswith("data/images/test_00000.png: severity ")
    (entry,) = json.loads((own_network / "app/manifest.json").read_text())["artifacts"].values()
    assert entry["verification"]["data/test"]["images"] == 32


def test_the_gate_passes_a_good_file_and_keeps_the_evidence(own_network: Path) -> None:
    gate = EXAMPLES / "ci_gate" / "gate.sh"
    arguments = ("program.pt2", "run", "data", "gated")
    done = shell("bash", gate, *arguments, cwd=own_network, TARGET="onnx", MAX_DROP="10")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "gate: passed"
    assert json.loads((own_network / "gated/verify.json").read_text())["images"] == 32


def test_the_gate_says_whether_it_was_missed_or_could_not_run(tmp_path: Path) -> None:
    """With a command in edgeskin's place: the codes are the contract, and cost nothing."""
    (tmp_path / "out").mkdir()
    command = tmp_path / "edgeskin"
    for converts, verifies, expected, line in (
        (0, 1, 1, "gate: missed; the lines above say which"),
        (0, 2, 2, "gate: could not run"),
        (2, 0, 2, "gate: could not run"),
    ):
        command.write_text(f'#!/bin/sh\n[ "$1" = convert ] && exit {converts}\nexit {verifies}\n')
        command.chmod(0o755)
        done = subprocess.run(
            ["bash", EXAMPLES / "ci_gate" / "gate.sh", "program.pt2", "run", "data", "out"],
            cwd=tmp_path,
            env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout.splitlines()[-1]) == (expected, line)


def test_the_notebook_runs(own_network: Path) -> None:
    try:
        import nbformat
        from nbclient import NotebookClient
    except ModuleNotFoundError as error:
        unavailable(f"the notebook was not run: no {error.name}: pip install -e '.[dev]'")

    notebook = nbformat.read(EXAMPLES / "what_int8_lost.ipynb", as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs"), "the notebook is committed without outputs"
    place = {"metadata": {"path": str(own_network)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = [o.text for o in outputs if o.get("name") == "stdout"]
    assert texts[0].startswith("32 images, ")
    assert "severity_accuracy" in texts[-1]
    assert sum("image/png" in o.get("data", ()) for o in outputs) == 2


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ example, unoptimised: its bytes are those of every build."""
    beside = Path(sys.executable).parent / "cmake"  # of the dev extra
    cmake = str(beside) if beside.exists() else shutil.which("cmake")
    if cmake is None or shutil.which("c++") is None:
        unavailable("the C++ example was not built: no cmake (pip install cmake) or no compiler")
    folder = tmp_path_factory.mktemp("cpp_app")
    source = EXAMPLES / "cpp_app"
    for command in (
        [cmake, "-S", source, "-B", folder, "-DCMAKE_BUILD_TYPE=Debug"],
        [cmake, "--build", folder, "--parallel", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "app"


def test_the_app_gives_the_pixels_and_answers_of_python(app: Path, tmp_path: Path) -> None:
    spec = Spec.load(BUILTIN)
    rng = np.random.default_rng(5)
    photo = rng.integers(0, 256, (300, 420, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.ppm")
    logits = rng.normal(0, 3, 4 + 65).astype(np.float32)
    (tmp_path / "logits.bin").write_bytes(logits.tobytes())

    command = (app, BUILTIN / "spec.json", "photo.ppm", "input.bin", "logits.bin")
    done = shell(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = preprocess(photo, spec.input)
    assert (tmp_path / "input.bin").read_bytes() == expected.tobytes()

    # Python's decoding of the same logits, by its formulas.
    severity = np.exp(logits[:4] - logits[:4].max(), dtype=np.float64)
    counts = np.exp(logits[4:] - logits[4:].max(), dtype=np.float64)
    severity, counts = severity / severity.sum(), counts / counts.sum()
    first, second = done.stdout.splitlines()
    label = spec.heads[0].labels[severity.argmax()]
    assert first.rpartition(" ")[0] == f"severity {label}"
    assert float(first.split()[-1]) == pytest.approx(severity.max(), abs=1e-6)
    assert float(second.split()[1]) == pytest.approx(counts @ np.arange(1, 66), abs=1e-4)


def test_the_app_refuses_a_broken_spec(app: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.ppm")
    (tmp_path / "spec.json").write_text('{"input": {}}')
    done = shell(app, "spec.json", "photo.ppm", "input.bin", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("ES_BAD_SPEC: ")
