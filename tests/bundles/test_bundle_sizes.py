"""What a bundle adds to an app: the library by ABI, weighed as it is built."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from platforms import missing

from edgeskin.bundles.bundle_api import read_models
from edgeskin.bundles.bundle_check import read_bundle
from edgeskin.bundles.bundle_plan import Plan
from edgeskin.bundles.bundle_sizes import LIBRARIES, core_libraries, weigh
from edgeskin.bundles.bundling import bundle
from edgeskin.bundles.page_alignment import page_faults
from edgeskin.errors import TooLarge

MOST = 150_000
"""Bytes that the core may add for one ABI."""


@pytest.fixture(autouse=True)
def _zig() -> None:
    if find_spec("ziglang") is None:
        missing("zig is missing: pip install ziglang==0.13.0")


@pytest.mark.slow
@pytest.mark.parametrize("platform", LIBRARIES)
def test_the_core_adds_little_for_every_abi(platform: str) -> None:
    libraries, built_by = core_libraries(platform)
    assert list(libraries) == [abi.name for abi in LIBRARIES[platform].abis]
    assert built_by.startswith("zig ")
    for abi, data in libraries.items():
        assert 20_000 < len(data) < MOST, abi


@pytest.mark.slow
def test_the_libraries_of_android_load_on_large_pages_and_show_what_kotlin_calls() -> None:
    libraries, built_by = core_libraries("android")
    assert page_faults(libraries["arm64-v8a"], "arm64") == []
    assert page_faults(libraries["x86_64"], "x86_64") == []
    assert page_faults(libraries["x86"], "x86") is None
    if "no JDK" not in built_by:
        for data in libraries.values():
            assert b"Java_edgeskin_" in data
            assert b"es_preprocess\0" not in data


def test_the_sizes_of_a_bundle_are_those_of_its_files(bundled: Path) -> None:
    sizes = read_bundle(bundled).sizes
    model = (bundled / "models/tiny.onnx").read_bytes()
    assert sizes.models == len(model)
    libraries, _ = core_libraries("linux")
    assert sizes.library == {abi: len(data) for abi, data in libraries.items()}
    for abi, data in libraries.items():
        assert sizes.download[abi] == len(zlib.compress(model, 6)) + len(zlib.compress(data, 6))
    api = [*bundled.glob("include/**/*.h*"), *bundled.glob("src/*"), *bundled.glob("cli/*")]
    assert sizes.code == sum(path.stat().st_size for path in api)


def test_without_zig_the_models_are_weighed_alone(
    bundled: Path, artifact_of: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ziglang", None)
    models = read_models([artifact_of("tiny", "onnx")], "onnx", "linux")
    sizes = weigh(Plan("linux", models, "tiny", "a.b", "1.0.0", {}), bundled)
    assert sizes.library == {}
    assert sizes.built_by == "nothing: zig is not installed, pip install 'edgeskin[bundle]'"
    assert sizes.download == dict.fromkeys(("x86_64", "aarch64"), sizes.download["x86_64"])
    assert 0 < sizes.download["x86_64"] <= sizes.models * 1.001 + 100


def test_a_bundle_above_its_budget_is_not_written(
    artifact_of: Callable[[str, str], Path], tmp_path: Path
) -> None:
    with pytest.raises(TooLarge, match=r"adds 0\.0\d MB to the download for x86_64"):
        bundle(artifact_of("tiny", "onnx"), tmp_path / "out", platform="linux", budget_mb=0.001)
    assert list(tmp_path.iterdir()) == []
