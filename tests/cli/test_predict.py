"""`predict` needs nothing but the file."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND

from edgeskin.cli.main import run


@pytest.fixture(scope="session")
def images(phantom_set: Path) -> list[Path]:
    return sorted(phantom_set.rglob("*.png"))[:6]


def predictions(command: list[object], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run([str(a) for a in ("predict", *command, "--json")]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_a_file_alone_predicts_as_the_run_does(
    suffix: str,
    converted: Path,
    lively_run: Path,
    images: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    alone = tmp_path / "empty" / f"renamed{suffix}"
    alone.parent.mkdir()
    shutil.copy(converted / f"acne-test-fp32{suffix}", alone)
    command = [*COMMAND, "predict", alone.name, *map(str, images), "--json"]
    done = subprocess.run(command, cwd=alone.parent, capture_output=True, text=True, check=True)
    found, expected = json.loads(done.stdout), predictions([lively_run, *images], capsys)
    assert list(found) == [str(image) for image in images]
    for image, one in found.items():
        other = expected[image]
        assert one["severity"]["label"] == other["severity"]["label"]
        # float32 in another order of additions: about 1e-5 of the probabilities.
        assert one["severity"]["probabilities"] == pytest.approx(
            other["severity"]["probabilities"], abs=1e-4
        )
        assert one["count"]["value"] == pytest.approx(other["count"]["value"], abs=1e-2)
        assert one["count"]["grade"] == other["count"]["grade"]
    assert len({one["severity"]["label"] for one in found.values()}) > 1
    assert [path.name for path in alone.parent.iterdir()] == [alone.name]


def test_a_line_an_image(
    lively_run: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = predictions([lively_run, *images[:2]], capsys)
    assert run(["predict", str(lively_run), *map(str, images[:2])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line, (image, document) in zip(lines, expected.items(), strict=True):
        label = document["severity"]["label"]
        assert line.startswith(f"{image}: severity {label} (")
        assert f"count {document['count']['value']:.1f} lesions (80 %: " in line


def test_core_ml_predicts_as_the_run_does(
    converted: Path, lively_run: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = predictions([lively_run, images[0]], capsys)
    found = predictions([converted / "acne-test-fp32.mlpackage", images[0]], capsys)
    ((image, want),) = expected.items()
    assert found[image]["severity"]["label"] == want["severity"]["label"]
    assert found[image]["count"]["value"] == pytest.approx(want["count"]["value"], rel=1e-3)


def test_folders_bad_images_and_lines(
    lively_run: Path, images: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    shutil.copy(images[0], folder / "inner" / "a\nb.png")
    (folder / "bad.png").write_bytes(images[1].read_bytes()[:40])
    (folder / "notes.txt").touch()
    assert run(["predict", str(lively_run), str(folder)]) == 2
    command = ["predict", str(lively_run), str(folder), "--keep-going"]
    capfd.readouterr()
    assert run(command) == 1
    shown = capfd.readouterr()
    assert len(shown.out.splitlines()) == 1  # the line break in the name is not printed as one
    assert r"a\nb.png: severity" in shown.out
    assert "bad.png" in shown.err
    assert run([*command, "--json-lines"]) == 1
    good, bad = sorted(map(json.loads, capfd.readouterr().out.splitlines()), key=len, reverse=True)
    assert good["image"].endswith("b.png")
    assert good["severity"]["label"]
    assert "bad.png" in bad["error"]
    (tmp_path / "none").mkdir()
    assert run(["predict", str(lively_run), str(tmp_path / "none")]) == 2
    assert "holds no image" in capfd.readouterr().err


@pytest.mark.slow
def test_litert_says_nothing(converted: Path, images: list[Path]) -> None:
    command = [*COMMAND, "predict", converted / "acne-test-fp32.tflite", images[0]]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
