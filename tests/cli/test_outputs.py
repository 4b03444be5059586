"""Where outputs go: what exists stays, a read-only or full disk is one line and no debris."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from commands import refusal, snapshot

from edgeskin.cli.main import run

Refused = Callable[..., str]
# Mounts a small file system on $1 for one command alone, and lists what that leaves in $2.
IN_A_NAMESPACE = """
mount -t tmpfs -o "$1" none "$2" || exit 99
listing=$3; folder=$2; shift 3
"$@"; code=$?
find "$folder" -mindepth 1 > "$listing"
exit $code
"""


@cache
def unshare() -> tuple[str, ...]:
    """How a mount of one's own can be had here: as root, or as root of a user namespace."""
    for flags in ("-m", "-Urm"):
        command = ("unshare", flags, "sh", "-c")
        try:
            subprocess.run([*command, "mount -t tmpfs none /mnt"], check=True, capture_output=True)
        except (FileNotFoundError, subprocess.CalledProcessError):
            continue
        return command
    pytest.skip("NOT TESTED: full and read-only disks; `unshare -m` and `mount` do not work here")


class Disk:
    """An empty file system on `self.path`, for the commands that `refusal` runs."""

    def __init__(self, path: Path, options: str):
        self.path = path
        self.path.mkdir()
        self.listing = path.with_name("listing")
        self.before = (*unshare(), IN_A_NAMESPACE, "sh", options, str(path), str(self.listing))

    def refusal(self, *arguments: object) -> str:
        line = refusal(*arguments, before=self.before)
        assert self.listing.read_text() == ""
        return line


COMMANDS = {
    "train": "train --task acne --arch mobilenet_v3_small --recipe {recipe} --data {data}",
    "calibrate": "calibrate {run} --data {data} --method minmax --samples 2",
    "convert": "convert {run} --target onnx",
    "import": 'import --model torchvision.models:squeezenet1_1 --model-args {{"num_classes":4}} '
    "--weights {weights} --spec {spec}",
}


@pytest.fixture(scope="session")
def foreign_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    import torchvision

    path = tmp_path_factory.mktemp("foreign") / "weights.pth"
    torch.save(torchvision.models.squeezenet1_1(num_classes=4).state_dict(), path)
    return path


@pytest.fixture(params=COMMANDS)
def command(
    request: pytest.FixtureRequest,
    lively_run: Path,
    phantom_set: Path,
    foreign_weights: Path,
    recipe: Path,
    tmp_path: Path,
) -> list[str]:
    """Every command that makes something, without its --out."""
    from samples import SEVERITY, acne_spec

    from edgeskin.spec import ClassificationHead

    spec = tmp_path / "spec.json"
    head = ClassificationHead(name="severity", labels=SEVERITY)
    spec.write_text(acne_spec(heads=(head,)).to_json())
    given = {"run": lively_run, "data": phantom_set, "weights": foreign_weights}
    line = COMMANDS[request.param].format(**given, recipe=recipe, spec=spec)
    return line.split()


@pytest.mark.slow
def test_no_space_left(command: list[str], tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", "size=48k")
    line = disk.refusal(*command, "--out", disk.path / "new" / "out.pt2")
    assert line.startswith("cannot write ")
    assert line.endswith("no space left on the disk. Free some and run the command again.")


@pytest.mark.slow
def test_read_only(command: list[str], tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", "ro")
    out = disk.path / "new" / "out.pt2"
    line = disk.refusal(*command, "--out", out)
    assert line.startswith(f"cannot write {disk.path}")
    assert line.endswith("the file system is read-only. Choose another --out.")


def test_an_output_that_exists(command: list[str], tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "out.pt2"
    if command[0] == "calibrate":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "acne-test-fp32.onnx").write_text("mine")
    line = refused(*command, "--out", out)
    assert line.endswith("exists already. Pass --force to replace it.")
    assert line.startswith(str(out))


def test_an_output_inside_a_file(command: list[str], tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("mine")
    line = refused(*command, "--out", tmp_path / "file" / "out.pt2")
    assert line.endswith("a part of the path is a file, not a folder. Choose another --out.")


@pytest.mark.slow
def test_force_replaces(command: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.pt2"
    names = {"calibrate": "", "convert": "acne-test-fp32.onnx"}
    old = out / names.get(command[0], "spec.json")  # a run is known by its spec
    old.parent.mkdir(exist_ok=True)
    old.write_text("mine")
    short = ["--epochs", "1"] if command[0] == "train" else []
    assert run([*command, *short, "--out", str(out), "--force"]) == 0
    assert old.read_bytes() != b"mine"
    assert not [name for name in snapshot(tmp_path) if ".edgeskin-" in name]


@pytest.mark.parametrize("command", ["train", "import"], indirect=True)
def test_force_does_not_replace_other_peoples_folders(
    command: list[str], tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "face.jpg").write_text("mine")
    line = refused(*command, "--out", tmp_path / "photos", "--force")
    assert "is a folder that edgeskin did not write, so --force does not replace it" in line
