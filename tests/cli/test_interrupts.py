"""Ctrl-C in the middle: exit code 130, one line, nothing half-written, nobody left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commands import COMMAND, children, has_loaded, interrupt, snapshot, the_line
from processes import gone

LINE = "interrupted; nothing was left half-written"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc"),
]


@pytest.mark.parametrize("library", ["pydantic_core", "_multiarray_umath", "libtorch_cpu"])
def test_while_libraries_are_being_imported(library: str, lively_run: Path, tmp_path: Path) -> None:
    """Exactly one line, wherever the import is: no traceback, no noise of half-made modules."""
    command = ["predict", lively_run, tmp_path / "face.png"]
    code, stderr, _ = interrupt(command, lambda pid: has_loaded(library, pid))
    assert (code, stderr) == (130, f"edgeskin: {LINE}\n")


def test_training_goes_on_after_it(phantom_set: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    checkpoint = tmp_path / "out.checkpoint" / "last.pt"
    command = ["train", "--task", "acne", "--arch", "mobilenet_v3_small", "--data", phantom_set]
    command += ["--out", out, "--recipe", recipe, "--epochs", "6"]
    code, stderr, _ = interrupt(command, lambda pid: checkpoint.exists())
    assert (code, the_line(stderr)) == (130, LINE)
    assert sorted(snapshot(tmp_path)) == ["out.checkpoint", "out.checkpoint/last.pt", recipe.name]
    before = checkpoint.read_bytes()
    code, _, _ = interrupt(command, lambda pid: checkpoint.read_bytes() != before)
    assert code == 130  # a second time, after the first epochs were found again
    done = subprocess.run([*COMMAND, *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not checkpoint.parent.exists()
    assert (out / "weights.safetensors").is_file()


def test_training_in_its_first_epoch(phantom_set: Path, recipe: Path, tmp_path: Path) -> None:
    command = ["train", "--task", "acne", "--arch", "mobilenet_v3_small", "--data", phantom_set]
    command += ["--out", tmp_path / "new" / "out", "--recipe", recipe]
    code, stderr, _ = interrupt(command, lambda pid: has_loaded("libtorch_cpu", pid))
    assert (code, the_line(stderr)) == (130, LINE)
    assert list(snapshot(tmp_path)) == [recipe.name]


@pytest.mark.parametrize("library", ["torchao", "scipy"], ids=["torchao", "nncf"])
def test_calibration(library: str, lively_run: Path, phantom_set: Path, tmp_path: Path) -> None:
    """Once while torchao is loaded, once when NNCF, which brings scipy, is about to start."""
    command = ["calibrate", lively_run, "--data", phantom_set, "--out", tmp_path / "new" / "p.pt2"]
    command += ["--method", "nncf"]
    code, stderr, _ = interrupt(command, lambda pid: has_loaded(library, pid))
    assert (code, the_line(stderr)) == (130, LINE)
    assert snapshot(tmp_path) == {}


def test_conversion_ends_its_workers(lively_run: Path, tmp_path: Path) -> None:
    command = ["convert", lively_run, "--out", tmp_path / "new", "--target", "all"]

    def at_work(pid: int) -> bool:
        return any(has_loaded("libtorch_cpu", child) for child in children(pid))

    code, stderr, workers = interrupt(command, at_work)
    assert (code, the_line(stderr)) == (130, LINE)
    assert workers
    assert all(gone(worker) for worker in workers)
    assert snapshot(tmp_path) == {}


def test_verification_leaves_the_manifest_alone(
    files: Path, lively_run: Path, phantom_set: Path
) -> None:
    before = snapshot(files)
    command = ["verify", files / "acne-test-fp32.onnx", "--reference", lively_run]
    command += ["--data", phantom_set]
    code, stderr, _ = interrupt(command, lambda pid: has_loaded("onnxruntime", pid))
    assert (code, the_line(stderr)) == (130, LINE)
    assert snapshot(files) == before
