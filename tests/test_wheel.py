"""The wheel: what it holds, that it works by itself without torch, and that it builds for arm64."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import SITECUSTOMIZE
from PIL import Image
from platforms import missing, zig

from edgeskin.benchmarks.emulation.debian import unpack
from edgeskin.benchmarks.emulation.qemu import qemu
from edgeskin.benchmarks.store import kept
from edgeskin.data.phantoms import render_phantom
from edgeskin.errors import NotSupportedHere

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLACES = {folder: name for name, folder in PROJECT["tool"]["setuptools"]["package-dir"].items()}
NOT_PACKED = tuple(f"edgeskin/benchmarks/{name}/" for name in ("peers", "systems", "accelerators"))
"""They measure other tools, and real sets: run from a checkout."""
NOT_NEEDED_TO_RUN = "torch,torchvision,timm,torchao,nncf,litert_torch,ai_edge_quantizer,onnxscript"
# What a core made for another machine must do there: load, and know a picture's format.
USE_THE_CORE = """
import platform, sys
sys.path.insert(0, sys.argv[1])
from _edgeskin import ffi, lib
image, error = ffi.new("es_image *"), ffi.new("es_error *")
status = lib.es_image_init(lib.ES_NV12, 640, 480, image, error)
print(platform.machine(), status == lib.ES_OK, lib.ES_VERSION)
"""
Edgeskin = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the repository holds: setuptools builds inside the tree."""
    tree = tmp_path_factory.mktemp("tree")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\n")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    return tree


def build(tree: Path, **environment: str) -> Path:
    out = tree / "dist" / environment.get("_PYTHON_HOST_PLATFORM", "here")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", str(out), str(tree)], check=True, env=os.environ | environment)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    return build(tree)


def test_it_holds_what_users_run(tree: Path, wheel: Path) -> None:
    """Every file of the four folders but what only measures; nothing of tests."""
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if not name.split("/")[0].endswith("dist-info")}
    wanted = set()
    for folder, package in PLACES.items():
        for path in (tree / folder).rglob("*"):
            if path.is_file():
                inside = path.relative_to(tree / folder).as_posix()
                wanted.add(f"{package.replace('.', '/')}/{inside}")
    compiled = {name for name in packed if name.endswith((".so", ".pyd"))}
    assert [Path(name).name.partition(".")[0] for name in compiled] == ["_edgeskin"]
    assert packed - compiled == {name for name in wanted if not name.startswith(NOT_PACKED)}


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with edgeskin from the wheel, and no download.

    All other packages are this environment's, whose folder a `.pth` file adds. Python does
    not read the `.pth` files in a folder that is added so: this checkout stays unknown.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = str(folder / "bin/python")
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture
def edgeskin(environment: Path, tmp_path: Path) -> Edgeskin:
    """`edgeskin(*arguments)` of the wheel; `without` names packages that are not to be found."""
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)

    def call(*arguments: object, without: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [environment / "bin/edgeskin", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(tmp_path), "MISSING": without},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return call


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_it_converts_the_built_in_model_and_runs_it_without_torch(
    environment: Path, edgeskin: Edgeskin, tmp_path: Path
) -> None:
    ask = "import edgeskin; print(edgeskin.__file__)"
    where = subprocess.check_output([environment / "bin/python", "-c", ask], cwd=tmp_path)
    package = Path(where.decode()).parent
    assert package.is_relative_to(environment)
    run, image, files = package / "models/builtin", tmp_path / "face.png", tmp_path / "files"
    Image.fromarray(render_phantom(0, size=256).image).save(image)
    expected = answer(edgeskin("predict", run, image, "--json"))[str(image)]["severity"]["label"]
    done = edgeskin("convert", run, "--precision", "fp32", "--out", files)
    assert done.returncode == 0, done.stderr
    for suffix, format in ((".tflite", "TFLite"), (".onnx", "ONNX"), (".mlpackage", "Core ML")):
        (file,) = files.glob(f"*{suffix}")
        audit = answer(edgeskin("inspect", file, "--json", without=NOT_NEEDED_TO_RUN))
        assert audit["format"] == format
        if suffix == ".mlpackage" and sys.platform != "darwin":
            continue
        found = answer(edgeskin("predict", file, image, "--json", without=NOT_NEEDED_TO_RUN))
        assert found[str(image)]["severity"]["label"] == expected


@pytest.mark.slow
def test_it_builds_for_arm64_and_its_core_runs_there(tree: Path, tmp_path: Path) -> None:
    cc, cxx = (" ".join(command) for command in zig("aarch64-linux-gnu.2.28"))
    wheel = build(
        tree,
        CC=cc,
        CXX=cxx,
        LDSHARED=f"{cc} -shared",
        LDCXXSHARED=f"{cxx} -shared",
        _PYTHON_HOST_PLATFORM="linux-aarch64",
    )
    assert wheel.name.endswith("-cp311-abi3-linux_aarch64.whl")
    (core,) = (n for n in zipfile.ZipFile(wheel).namelist() if "/_edgeskin." in n)
    zipfile.ZipFile(wheel).extract(core, tmp_path)
    try:
        emulator, root = qemu("aarch64"), kept("python-aarch64-1", _debian_python)
    except NotSupportedHere as error:
        missing(f"the core for arm64 was built, and did not run: {error}")
    command = [emulator, "-L", root, root / "usr/bin/python3", "-c", USE_THE_CORE]
    said = subprocess.check_output([*command, (tmp_path / core).parent], text=True)
    header = (ROOT / "edgeskin/native/edgeskin.h").read_text(encoding="utf-8")
    version = header.partition("#define ES_VERSION ")[2].split()[0]
    assert said == f"aarch64 True {version}\n"


def _debian_python(root: Path) -> None:
    """Python 3.11 for arm64 and what cffi needs, 74 MB: the oldest that the wheel is for."""
    packages = ["python3-minimal", "python3-cffi-backend"]
    unpack("bookworm", packages, root, architecture="arm64")
