"""Every platform compiles without a warning, stays small, shows es_* only, gives golden bytes."""

import functools
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from platforms import (
    CORE,
    GOLDEN,
    PLATFORMS,
    RUNS,
    STRICT,
    Platform,
    do,
    golden_runner,
    library,
    missing,
    objects,
)
from spec_table import write_cases

from edgeskin.benchmarks.emulation.qemu import qemu
from edgeskin.errors import NotSupportedHere

SIZE_LIMIT = 100_000
CONSUMER = """
#include "edgeskin.h"
#include "edgeskin.h"
int main(void) {
  es_image image;
  es_recipe recipe;
  es_error error;
  if (es_image_init(ES_NV12, 640, 480, &image, &error) != ES_OK) return 1;
  if (es_recipe_init(224, 224, &recipe, &error) != ES_OK) return 1;
  return sizeof(es_error) == 256 ? 0 : 1;
}
"""
VECTORS = len([x for x in (GOLDEN / "cases.txt").read_text().splitlines() if x and x[0] != "#"])

Core = Callable[[Platform], list[Path]]
every_platform = pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda p: p.name)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """The objects of a platform, compiled once."""
    return functools.cache(lambda platform: objects(platform, tmp_path_factory.mktemp("core")))


@pytest.fixture(autouse=True)
def _zig(request: pytest.FixtureRequest) -> None:
    platform = request.getfixturevalue("platform")
    if "zig" in platform.name and find_spec("ziglang") is None:
        missing(
            "zig is missing, so nothing is compiled for other CPUs: pip install ziglang==0.13.0"
        )


@every_platform
def test_the_library_is_small_and_shows_its_own_functions_only(
    platform: Platform, core: Core
) -> None:
    path = library(platform, core(platform))
    assert path.stat().st_size < SIZE_LIMIT
    symbols = do("readelf", "--dyn-syms", "--wide", path)
    shown = set(re.findall(r"(?:GLOBAL|WEAK) +DEFAULT +\d+ (\w+)", symbols))
    header = (CORE / "edgeskin.h").read_text(encoding="utf-8")
    assert shown == set(re.findall(r"^ES_API .*?(es_\w+)\(", header, flags=re.MULTILINE))


@every_platform
@pytest.mark.parametrize("language", ["c11", "c++17"])
def test_the_header_is_plain_c_and_cpp(platform: Platform, language: str, tmp_path: Path) -> None:
    compiler, kind = (platform.c, "c") if language == "c11" else (platform.cxx, "c++")
    source = tmp_path / "consumer.txt"
    source.write_text(CONSUMER)
    flags = [*STRICT, "-pedantic", "-Wconversion", f"-std={language}", f"-I{CORE}"]
    do(*compiler, *flags, "-x", kind, "-c", source, "-o", tmp_path / "consumer.o")


@pytest.mark.slow
@pytest.mark.parametrize("platform", RUNS, ids=lambda p: p.name)
def test_golden_vectors_and_specs_have_no_difference(
    platform: Platform, core: Core, tmp_path: Path
) -> None:
    emulator: list[str] = []
    if platform.qemu:
        try:
            emulator = [str(qemu(platform.qemu))]
        except NotSupportedHere as error:
            missing(f"the bytes of {platform.qemu} go unseen: {error}")
    program = golden_runner(platform, core(platform))
    for cpu in platform.cpus or ("",):
        output = do(*emulator, program, GOLDEN, **({"QEMU_CPU": cpu} if cpu else {}))
        paths = output.splitlines()
        assert paths[0] == f"{VECTORS} vectors, scalar"
        assert paths[-1] == "0 differences"
        if platform.qemu == "aarch64":
            assert paths[1] == f"{VECTORS} vectors, neon"
    count = write_cases(tmp_path)
    specs = do(*emulator, program, tmp_path).splitlines()
    assert (specs[0], specs[-1]) == (f"{count} vectors, scalar", "0 differences")
