"""`edgeskin qat` as a command: what it writes, what it survives, what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import COMMAND, has_loaded, interrupt, snapshot, the_line

from edgeskin.calibration.options import CalibrationOptions
from edgeskin.calibration.program import load_program
from edgeskin.calibration.qat_recipe import QatRecipe
from edgeskin.calibration.qat_run import qat
from edgeskin.calibration.record import QatRecord
from edgeskin.cli.main import run
from edgeskin.errors import InvalidRun, NotBetter

Refused = Callable[..., str]
LINE = "interrupted; nothing was left half-written"


@pytest.fixture
def command(lively_run: Path, phantom_set: Path, program: Path, tmp_path: Path) -> list[str]:
    """Without --out. The run is untrained: at this rate every epoch is better than its start."""
    recipe = tmp_path / "qat.toml"
    recipe.write_text("batch_size = 8\nepochs = 2\nlearning_rate = 1e-3\ndistill = 0.0\n")
    start = ["qat", str(lively_run), "--data", str(phantom_set), "--program", str(program)]
    return [*start, "--recipe", str(recipe)]


@pytest.mark.slow
def test_it_learns_says_how_and_writes_one_program(
    command: list[str], program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "q.pt2"
    assert run([*command, "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    start, epochs = document["start"], document["epochs"]
    assert len(epochs) == 2
    assert min(epoch["loss"] for epoch in epochs) < start["loss"]
    assert epochs[-1]["loss"] < start["loss"]
    assert document["metric"] == "severity_accuracy"
    assert (document["held_out_of"], document["held_out_images"]) == ("val", 8)
    assert document["recipe"]["distill"] == 0.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.pt2", "qat.toml"]
    made, before = load_program(out), load_program(program)
    assert made.calibration.method == "qat"
    assert made.calibration.qat == QatRecord.from_json(document)
    assert made.calibration.sha256 == before.calibration.sha256
    for ours, theirs in zip(made.module.graph.nodes, before.module.graph.nodes, strict=True):
        assert (ours.op, ours.target) == (theirs.op, theirs.target)


@pytest.mark.slow
@pytest.mark.parametrize("ranges", ["learned", "moving"])
def test_a_killed_training_goes_on_to_the_same_program(
    ranges: str, command: list[str], tmp_path: Path
) -> None:
    command = [*command, "--ranges", ranges, "--out"]
    assert run([*command, str(tmp_path / "whole.pt2")]) == 0
    out = tmp_path / "killed.pt2"
    killed = subprocess.Popen([*COMMAND, *command, str(out)], stderr=subprocess.PIPE)
    checkpoint = tmp_path / "killed.pt2.checkpoint" / "last.pt"
    for _ in range(2400):
        if checkpoint.exists() or killed.poll() is not None:
            break
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert checkpoint.exists()
    assert not out.exists()
    subprocess.run([*COMMAND, *command, str(out)], check=True, capture_output=True)
    assert out.read_bytes() == (tmp_path / "whole.pt2").read_bytes()
    assert not checkpoint.parent.exists()


@pytest.mark.slow
def test_it_calibrates_first_and_holds_out_a_tenth_without_a_val_split(
    lively_run: Path, spoiled_set: Path, tmp_path: Path
) -> None:
    manifest = spoiled_set / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",val,", ",train,"))
    recipe = QatRecipe(batch_size=8, epochs=1, learning_rate=10.0, distill=1.0)  # bound to fail
    with pytest.raises(NotBetter, match="on 3 held-out images") as caught:
        options = CalibrationOptions(method="minmax", samples=4)
        qat(lively_run, spoiled_set, tmp_path / "q.pt2", options, recipe=recipe)
    record = caught.value.record
    assert record["start_method"] == "minmax"
    assert (record["held_out_of"], record["held_out_images"]) == ("train", 3)
    assert record["train_images"] == 29
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.slow
def test_a_program_that_gets_no_better_is_not_written(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a rate that destroys it, the network is farther from the float one than its start."""
    recipe = tmp_path / "qat.toml"
    recipe.write_text("batch_size = 8\nepochs = 1\nlearning_rate = 10.0\ndistill = 1.0\n")
    assert run([*command, "--out", str(tmp_path / "new" / "q.pt2"), "--json"]) == 1
    stdout, stderr = capsys.readouterr()
    line = the_line(stderr)
    document = json.loads(stdout)
    assert line.startswith("QAT ends below the calibrated program on 8 held-out images: epoch 1")
    assert f"the program {document['start']['loss']:.3g} (metric" in line
    assert "change the learning rate" in line
    assert [path.name for path in tmp_path.iterdir()] == ["qat.toml"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_or_nothing(command: list[str], tmp_path: Path) -> None:
    out = [*command, "--out", str(tmp_path / "new" / "q.pt2")]
    code, stderr, _ = interrupt(out, lambda pid: has_loaded("libtorch_cpu", pid))
    assert (code, the_line(stderr)) == (130, LINE)
    assert list(snapshot(tmp_path)) == ["qat.toml"]


def test_what_it_refuses(
    command: list[str], other_run: Path, phantom_set: Path, program: Path, refused: Refused
) -> None:
    line = refused("qat", other_run, *command[2:], "--out", "q.pt2")
    assert "was not calibrated from" in line
    assert line.endswith("Calibrate this run, or leave --program out.")
    line = refused(*command, "--out", "q.pt2", "--distill", "2")
    assert line.startswith("recipe: distill: Input should be less than")
    line = refused(*command, "--out", "q.pt2", "--ranges", "guessed")
    assert line.startswith("recipe: ranges: Input should be 'learned' or 'moving'")
    line = refused("qat", phantom_set, *command[2:], "--out", "q.pt2")
    assert "spec.json" in line
    assert "exists already" in refused(*command, "--out", program)


def test_a_train_image_that_is_a_test_image_is_refused(
    command: list[str], spoiled_set: Path, refused: Refused
) -> None:
    manifest = spoiled_set / "manifest.csv"
    rows = manifest.read_text().splitlines()
    test = next(row for row in rows if ",test," in row)
    manifest.write_text("\n".join([*rows, test.replace(",test,", ",train,")]) + "\n")
    line = refused(*command[:3], spoiled_set, *command[4:], "--out", "q.pt2")
    assert line.startswith("1 train images are test images too")


@pytest.mark.slow
def test_a_checkpoint_of_other_settings_is_refused(
    lively_run: Path, phantom_set: Path, program: Path, tmp_path: Path
) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("qat") and done:
            raise InterruptedError("after one epoch")

    recipe = QatRecipe(batch_size=8, epochs=2)
    given = (lively_run, phantom_set, tmp_path / "q.pt2")
    with pytest.raises(InterruptedError, match="after one epoch"):
        qat(*given, recipe=recipe, program=program, progress=stop)
    other = recipe.model_copy(update={"temperature": 3.0})
    with pytest.raises(InvalidRun, match="belongs to another recipe"):
        qat(*given, recipe=other, program=program)


def test_a_checkpoint_calibrated_otherwise_is_refused(
    lively_run: Path, phantom_set: Path, program: Path, tmp_path: Path
) -> None:
    start = tmp_path / "q.pt2.checkpoint" / "start.pt2"
    start.parent.mkdir()
    shutil.copy(program, start)
    method = load_program(program).calibration.method
    with pytest.raises(
        InvalidRun, match=f"{method}, asked are w8a8 and {method} without network.heads.0"
    ):
        qat(
            *(lively_run, phantom_set, tmp_path / "q.pt2"),
            CalibrationOptions(method=method, exclude=["network.heads.0"]),
            recipe=QatRecipe(batch_size=8),
        )
