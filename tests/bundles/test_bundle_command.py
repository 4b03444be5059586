"""`edgeskin bundle` and `edgeskin verify-bundle`: what they print, write and refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import snapshot, the_line

import edgeskin
from edgeskin.cli.main import run
from edgeskin.files import sha256

Make = Callable[[str, str], Path]
Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *arguments: object) -> str:
    capsys.readouterr()
    assert run([str(word) for word in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return the_line(err)


def test_it_says_what_was_written_and_what_it_weighs(
    artifact_of: Make, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "tiny"
    artifact = artifact_of("tiny", "onnx")
    assert run(["bundle", str(artifact), "--platform", "linux", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "CMake project, GroesseModel" in printed
    assert "models/" in printed
    assert "aarch64" in printed
    assert f"how to use it, in ten lines: {out / 'README.md'}" in printed
    assert run(["verify-bundle", str(out)]) == 0
    assert "0 64-bit libraries, signature: none" in capsys.readouterr().out


def test_its_json_is_the_document(artifact_of: Make, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "tiny"
    command = ["bundle", str(artifact_of("tiny", "onnx")), "--platform", "linux"]
    assert run([*command, "--out", str(out), "--release", "2.1.0", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((out / "bundle.json").read_text())
    assert document["release"] == "2.1.0"
    assert document["files"]["models/tiny.onnx"] == sha256(artifact_of("tiny", "onnx"))


def test_it_is_there_from_python(bundled: Path) -> None:
    check = edgeskin.verify_bundle(bundled)
    assert check.passed
    assert edgeskin.bundle.__name__ == "bundle"


def test_above_the_budget_it_exits_with_1_and_writes_nothing(
    artifact_of: Make, tmp_path: Path, capsys: Capture
) -> None:
    command = ["bundle", str(artifact_of("tiny", "onnx")), "--platform", "linux"]
    assert run([*command, "--out", str(tmp_path / "out"), "--budget-mb", "0.01"]) == 1
    assert "more than the budget of 0.01 MB" in the_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_replaced_with_force_and_nothing_else_is(
    artifact_of: Make, spoiled: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = ["bundle", artifact_of("tiny", "onnx"), "--platform", "linux", "--out"]
    assert "exists already. Pass --force" in refused(capsys, *command, spoiled)
    (spoiled / "README.md").write_text("another one")
    assert run([*map(str, command), str(spoiled), "--force"]) == 0
    assert edgeskin.verify_bundle(spoiled).passed
    other = tmp_path / "photos"
    other.mkdir()
    (other / "photo.png").write_bytes(b"a photo")
    line = refused(capsys, *command, other, "--force")
    assert "is a folder that edgeskin did not write" in line
    assert (other / "photo.png").read_bytes() == b"a photo"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--platform", "windows"], "no platform 'windows'; there are android, ios, linux"),
        (["--platform", "ios"], "is ONNX, and a bundle for ios takes coreml"),
        (["--platform", "linux", "--name", "!!!"], "--name '!!!' is no name of a class"),
        (["--platform", "linux", "--name", "123"], "--name '123' is no name of a class"),
        (
            ["--platform", "linux", "--name", "class"],
            "class is a name of C++, CMake or the bundle's",
        ),
        (["--platform", "linux", "--name", "test"], "test is a name of C++, CMake or the bundle's"),
        (["--platform", "linux", "--name", "Network"], "network is a name of C++, CMake or the"),
        (["--platform", "linux", "--name", "Values"], "Values is a name of C++, CMake or the"),
        (["--platform", "linux", "--package", "Com.Acne"], "is no package: give one as com."),
        (["--platform", "linux", "--release", "1.0"], "is no version: give three numbers"),
        (["--platform", "linux", "--pack", "pack"], "give --diff OLD too"),
        (["--platform", "linux", "--diff", "nowhere"], "nowhere is missing"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    artifact_of: Make, tmp_path: Path, capsys: Capture, options: list[str], line: str
) -> None:
    artifact = artifact_of("tiny", "onnx")
    assert line in refused(capsys, "bundle", artifact, "--out", tmp_path / "out", *options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_compared_is_looked_at_before_anything_is_written(
    artifact_of: Make, bundled: Path, spoiled: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    command = ["bundle", artifact_of("tiny", "onnx"), "--platform", "linux", "--out", out, "--diff"]
    line = refused(capsys, *command, bundled, "--pack", tmp_path / "none")
    assert "none is no pack" in line
    document = json.loads((spoiled / "bundle.json").read_text())
    (spoiled / "bundle.json").write_text(json.dumps(document | {"platform": "android"}))
    assert "is a bundle for android, this one is for linux" in refused(capsys, *command, spoiled)
    assert not out.exists()


def test_an_int8_file_with_a_float_manifest_is_refused(
    artifact_of: Make, tmp_path: Path, capsys: Capture
) -> None:
    artifact = tmp_path / "tiny.onnx"
    shutil.copyfile(artifact_of("tiny", "onnx"), artifact)
    entry = {"sha256": sha256(artifact), "target": "onnx", "precision": "int8"}
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"version": 1, "artifacts": {"tiny.onnx": entry}}))
    before = snapshot(tmp_path)
    command = ["bundle", artifact, "--platform", "linux", "--out", tmp_path / "out"]
    assert "says that it is fp32, its manifest int8" in refused(capsys, *command)
    entry["sha256"] = "0" * 64
    manifest.write_text(json.dumps({"version": 1, "artifacts": {"tiny.onnx": entry}}))
    assert "is not the file its manifest names" in refused(capsys, *command)
    assert snapshot(tmp_path).keys() == before.keys()


def test_one_changed_file_exits_with_1(spoiled: Path, capsys: Capture) -> None:
    (spoiled / "README.md").write_text("another one")
    assert run(["verify-bundle", str(spoiled), "--json"]) == 1
    out, err = capsys.readouterr()
    line = "README.md was changed: its SHA-256 is not that of bundle.json"
    assert json.loads(out)["faults"] == [line]
    assert the_line(err) == line


def test_what_is_no_bundle_exits_with_2(tmp_path: Path, capsys: Capture) -> None:
    assert "has no bundle.json" in refused(capsys, "verify-bundle", tmp_path)


def test_a_signature_that_was_not_looked_at_is_said(spoiled: Path, capsys: Capture) -> None:
    (spoiled / "bundle.sig").write_text("{}")
    assert run(["verify-bundle", str(spoiled)]) == 0
    out, err = capsys.readouterr()
    assert "signature: not checked" in out
    assert the_line(err).startswith("it is signed, and the signature was not checked: give --key")


def test_a_diff_is_printed_beside_the_bundle(
    artifact_of: Make, bundled: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = ["bundle", str(artifact_of("tiny", "onnx")), "--platform", "linux", "--out"]
    command += [str(tmp_path / "new"), "--diff", str(bundled)]
    assert run([*command, "--name", "OtherModel"]) == 0
    printed = capsys.readouterr().out
    assert "tiny_model 1.0.0 -> other_model 1.0.0: needs an app update" in printed
    assert "! api: class TinyModel: there -> gone" in printed
    assert run([*command, "--name", "TinyModel", "--force", "--json"]) == 0
    diff = json.loads(capsys.readouterr().out)["diff"]
    assert (diff["verdict"], diff["changes"]) == ("model only", [])
