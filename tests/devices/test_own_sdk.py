"""A QAIRT SDK of the user's: a folder as Qualcomm lays it out, of the package's libraries."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from qualcomm import npu

from edgeskin.artifacts import read_metadata
from edgeskin.benchmarks.devices import Device
from edgeskin.benchmarks.devices.simulated import SimulatedLink
from edgeskin.cli.main import run
from edgeskin.errors import InvalidSdk
from edgeskin.snapdragon import qnn
from edgeskin.snapdragon.sdk import Sdk, own_sdk
from edgeskin.verbs import try_on

Convert = Callable[..., Path]
HTP = "lib/x86_64-linux-clang/libQnnHtp.so"


def laid_out(folder: Path) -> Path:
    """Links to the package's libraries, and to those that they look for one folder further."""
    libraries, package = folder / "lib/x86_64-linux-clang", qnn.libraries()
    libraries.mkdir(parents=True)
    for library in package.glob("libQnn*.so"):
        (libraries / library.name).symlink_to(library)
    (libraries.parent / "onnxruntime_qnn.libs").symlink_to(f"{package}.libs")
    return folder


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("QAIRT_SDK_ROOT", "QNN_SDK_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    folder = laid_out(tmp_path / "qairt")
    monkeypatch.setenv("QNN_SDK_ROOT", str(folder))
    return folder


@npu
@pytest.mark.slow
def test_its_libraries_compile_and_its_version_is_kept(
    sdk: Path, tiny_file: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = own_sdk()
    assert found is not None
    assert found.libraries == sdk / "lib/x86_64-linux-clang"
    monkeypatch.setenv("QNN_SDK_ROOT", "")
    assert own_sdk() is None
    assert found.version.startswith(f"{qnn.sdk_version()}."), "as the package says, and the build"
    monkeypatch.setenv("QAIRT_SDK_ROOT", str(sdk))
    compiled = tmp_path / "compiled.tflite"
    assert try_on(tiny_file("tflite", "int8"), "snapdragon:SM8750", keep=compiled).whole
    known = read_metadata(compiled).compiled
    assert known is not None
    assert known.sdk == found.version
    pushed = qnn.files()
    assert pushed[qnn.BACKEND] == sdk / HTP
    assert pushed[qnn.PROVIDER].parent == qnn.site_packages() / "onnxruntime_qnn"
    with Device(SimulatedLink("htp", tmp_path / "work")) as device:
        assert f"with the SDK of QAIRT_SDK_ROOT (QAIRT {found.version})" in device.probe().cpu


def truncated(library: Path) -> None:
    whole = library.resolve()
    library.unlink()
    with whole.open("rb") as file:
        library.write_bytes(file.read(1_000_000))


def no_library(library: Path) -> None:
    library.unlink()
    library.write_text("not a library")


BROKEN = {
    "has no lib/x86_64-linux-clang/libQnnHtp.so": os.unlink,
    "do not load: one is damaged": truncated,
    "do not load: .*: file too short": no_library,
}


@npu
@pytest.mark.parametrize(("reason", "broken"), BROKEN.items())
def test_a_broken_one_is_refused_in_a_line(
    reason: str,
    broken: Callable[[Path], None],
    sdk: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken(sdk / HTP)
    with pytest.raises(InvalidSdk, match=reason):
        own_sdk()
    out = tmp_path / "out"
    command = ["convert", str(tmp_path / "program.pt2"), "--out", str(out), "--for", "snapdragon"]
    capsys.readouterr()
    assert run(command) == 2
    assert capsys.readouterr().err.count("QNN_SDK_ROOT") == 1  # before it looks for the program
    assert not out.exists()


def test_a_folder_that_is_not_there(sdk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAIRT_SDK_ROOT", str(sdk / "nowhere"))  # the first of the two variables
    with pytest.raises(InvalidSdk, match="QAIRT_SDK_ROOT names .*nowhere, and there is no such"):
        own_sdk()


@npu
def test_an_older_one_than_the_provider_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    # What QAIRT 2.49.40 says of itself: the provider of 2.51 goes on without it, on the CPU.
    old = Sdk("QNN_SDK_ROOT", Path("lib"), "2.49.40.260810104044", (2, 38, 0))
    monkeypatch.setattr(qnn, "own_sdk", lambda: old)
    with pytest.raises(InvalidSdk, match=r"API 2\.\d+\.0 or newer, and the SDK of QNN_SDK_ROOT"):
        qnn.backend()
