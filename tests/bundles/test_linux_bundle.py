"""The CMake project: built, run, installed, used from outside, and beside `edgeskin predict`."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundle_files import CLASSES, KINDS
from PIL import Image
from platforms import missing

from edgeskin.benchmarks.emulation.debian import unpack
from edgeskin.benchmarks.emulation.qemu import qemu
from edgeskin.benchmarks.emulation.sysroot import runtime_root
from edgeskin.benchmarks.runner.libraries import library
from edgeskin.benchmarks.store import kept
from edgeskin.bundles.bundle_api import read_models
from edgeskin.bundles.bundle_plan import Plan
from edgeskin.bundles.bundling import bundle
from edgeskin.bundles.linux_bundle import linux_files
from edgeskin.bundles.words import joined
from edgeskin.data.phantom_faces import FACE_SET
from edgeskin.errors import NotSupportedHere
from edgeskin.loading import load

pytestmark = pytest.mark.slow


def start(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def run(*command: str | Path) -> str:
    done = start(*command)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    path = tmp_path / "grey.ppm"
    Image.fromarray(np.full((30, 20, 3), 120, np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def onnxruntime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Headers of Debian's package, the library of the wheel: laid out as a release's archive."""
    import onnxruntime

    root = tmp_path_factory.mktemp("onnxruntime")
    shutil.copytree(headers(), root / "include")
    (root / "lib").mkdir()
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (root / "lib" / name).symlink_to(library)
    return root


def headers() -> Path:
    def make(folder: Path) -> None:
        unpack("trixie", ["libonnxruntime-dev"], folder, alone=True)

    try:
        return kept("onnxruntime-headers-1", make) / "usr/include/onnxruntime"
    except NotSupportedHere as error:
        missing(str(error))
        raise


@pytest.fixture(scope="session")
def project(artifact_of, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of all kinds, each a class."""
    out = tmp_path_factory.mktemp("projects") / "all"
    artifacts = [artifact_of(kind, "onnx") for kind in KINDS]
    bundle(artifacts, out, platform="linux", check_at_load=True)
    return out


@pytest.fixture(scope="session")
def build(project: Path, onnxruntime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is built and installed, every warning an error."""
    folder = tmp_path_factory.mktemp("build")
    configure(project, folder, onnxruntime)
    run("cmake", "--build", folder)
    run("cmake", "--install", folder, "--prefix", folder / "installed")
    return folder


def program(kind: str, build: Path) -> Path:
    return build / "installed/bin" / joined(CLASSES[kind], "snake")


def configure(project: Path, build: Path, onnxruntime: Path, *more: str) -> None:
    flags = ("-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror", "-DCMAKE_CXX_FLAGS_RELEASE=-O0")
    root = f"-DONNXRUNTIME_ROOT={onnxruntime}"
    run("cmake", "-S", project, "-B", build, root, *flags, *more)


def test_golden_vectors_hold(build: Path) -> None:
    said = run("ctest", "--test-dir", build, "--output-on-failure", "--verbose")
    assert said.count("2 cases, 0 failures") == 2
    assert said.count("3 cases, 0 failures") == 2


def test_the_c_headers_are_c(build: Path) -> None:
    headers = sorted((build / "installed/include").glob("*/*.h"))
    assert len(headers) == len(KINDS)
    flags = "-std=c11 -Wall -Wextra -Werror -fsyntax-only"
    run("cc", *flags.split(), f"-I{build / 'installed/include'}", *headers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_pixel_fails(kind: str, project: Path, build: Path, tmp_path: Path) -> None:
    name = joined(CLASSES[kind], "snake")
    golden = tmp_path / "golden"
    shutil.copytree(project / "tests/golden" / name, golden)
    pixels = bytearray((golden / "upright.rgb").read_bytes())
    pixels[: len(pixels) // 2] = bytes(len(pixels) // 2)
    (golden / "upright.rgb").write_bytes(pixels)
    done = start(build / f"{name}_test", project / "models", golden)
    assert done.returncode == 1
    assert "FAILED: pixels of upright" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_says_what_predict_says(
    kind: str, project: Path, build: Path, artifact_of, tmp_path: Path
) -> None:
    picture, pixels = tmp_path / "face.ppm", FACE_SET.draw(7, 160).image
    Image.fromarray(pixels).save(picture)
    said = json.loads(run(program(kind, build), "--models", project / "models", picture))
    with load(artifact_of(kind, "onnx")) as predictor:
        expected = predictor.predict(pixels).to_json()
    expected.pop("first", None)  # what the first stage says is the pipeline's own business
    assert_same(said, expected)


def assert_same(found: object, expected: object) -> None:
    """Everything that is found, in what is expected; numbers within a hundred-thousandth."""
    if isinstance(found, dict):
        assert isinstance(expected, dict)
        for name, value in found.items():
            assert_same(value, expected[name])
    elif isinstance(found, list):
        assert isinstance(expected, list | tuple)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(found, float | int):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    else:
        assert found == expected


def test_bad_input_is_one_line_and_exit_code_2(
    project: Path, build: Path, grey: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.ppm"
    short.write_bytes(b"P6\n# a comment\n100 100\n255\nnot enough")
    models = ("--models", project / "models")
    for words, what in (
        ((), "name a picture"),
        (("--models", tmp_path, grey), "cannot read"),
        ((*models, short), "ends early"),
        ((*models, __file__), "no binary PPM"),
        ((*models, "--device", "npu", grey), "no device 'npu'"),
        ((*models, "--orientation", "9", grey), "orientation is 9"),
        ((*models, grey, "--device"), "--device needs a value"),
    ):
        done = start(program("mask", build), *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert what in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_device_that_is_not_there_is_said(project: Path, build: Path, grey: Path) -> None:
    words = ("--models", project / "models", "--device", "cuda", grey)
    done = start(program("many", build), *words)
    assert done.returncode == 0
    assert done.stderr.startswith("on the cpu, not as asked for: cuda: ")
    assert done.stderr.count("\n") == 1


def test_another_model_is_refused_at_load(
    project: Path, build: Path, grey: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(project / "models", models)
    (models / "tiny.onnx").write_bytes((models / "tiny.onnx").read_bytes() + b"\0")
    done = start(program("tiny", build), "--models", models, grey)
    assert done.returncode == 2
    assert "tiny.onnx is not the model that this was built with" in done.stderr


def test_packages_are_found_from_outside(build: Path, onnxruntime: Path, tmp_path: Path) -> None:
    """`find_package` of the core and of the models, from a project that knows nothing else."""
    name = joined(CLASSES["tiny"], "snake")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(app CXX)\n"
        f"find_package(edgeskin REQUIRED)\nfind_package({name} REQUIRED)\n"
        "add_executable(core core.cpp)\ntarget_link_libraries(core PRIVATE edgeskin::edgeskin)\n"
        f"add_executable(app app.cpp)\ntarget_link_libraries(app PRIVATE {name}::{name})\n"
        f'target_compile_definitions(app PRIVATE MODELS="${{{name}_MODELS}}")\n'
    )
    (tmp_path / "core.cpp").write_text(
        "#include <edgeskin.h>\nint main() { return es_version() > 0 ? 0 : 1; }\n"
    )
    (tmp_path / "app.cpp").write_text(
        f"#include <{name}/benchmark_model.hpp>\n#include <iostream>\n"
        f"int main() {{ {name}::BenchmarkModel model(MODELS); std::cout << model.device(); }}\n"
    )
    out = tmp_path / "build"
    prefix = f"-DCMAKE_PREFIX_PATH={build / 'installed'}"
    configure(tmp_path, out, onnxruntime, prefix)
    run("cmake", "--build", out)
    run(out / "core")
    assert run(out / "app") == "cpu"


def test_an_enum_of_labels_hides_no_type_of_the_bundle(artifact_of) -> None:
    (model,) = read_models([artifact_of("tiny", "onnx")], "onnx", "linux", "TinyModel")
    (stage,) = model.stages
    heads = (stage.spec.heads[0].model_copy(update={"name": "classified"}),)
    stage = replace(stage, spec=stage.spec.model_copy(update={"heads": heads}))
    plan = Plan(
        "linux", (replace(model, stages=(stage,)),), "tiny", "a.b", "1.0.0", {model.name: ()}
    )
    header = linux_files(plan)["include/tiny/tiny_model.hpp"]
    assert b"Classified<ClassifiedLabel, 3> classified;" in bytes(header)


def test_it_runs_on_an_emulated_jetson(artifact_of, onnxruntime: Path, tmp_path: Path) -> None:
    """Compiled for aarch64 by zig, run under QEMU against ONNX Runtime's own library for it.

    Skin and lesion are drawn by two heads here.
    """
    project, root = tmp_path / "project", tmp_path / "onnxruntime"
    bundle(artifact_of("two_heads", "onnx"), project, platform="linux", name="CropModel")
    shutil.copytree(onnxruntime / "include", root / "include")
    (root / "lib").mkdir()
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (root / "lib" / name).symlink_to(library("onnx", "aarch64"))
    for tool in ("cc", "c++"):
        script = tmp_path / f"zig-{tool}"
        zig = f'"{sys.executable}" -m ziglang {tool} -target aarch64-linux-gnu.2.27'
        script.write_text(f'#!/bin/sh\nexec {zig} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    build = tmp_path / "build"
    configure(
        project, build, root, "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_C_COMPILER={tmp_path / 'zig-cc'}",
        f"-DCMAKE_CXX_COMPILER={tmp_path / 'zig-c++'}",
    )  # fmt: skip
    run("cmake", "--build", build, "--target", "crop_model_test")
    system = runtime_root("aarch64")
    said = run(
        qemu("aarch64"), "-cpu", "cortex-a76", "-L", system, "-E",
        f"LD_LIBRARY_PATH={root / 'lib'}:{system / 'usr/lib/aarch64-linux-gnu'}",
        build / "crop_model_test", project / "models", project / "tests/golden/crop_model",
    )  # fmt: skip
    assert said == "3 cases, 0 failures\n"
