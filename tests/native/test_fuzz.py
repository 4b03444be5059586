"""A short run of the fuzz targets under the address and undefined behaviour sanitizers.

`make fuzz` runs them longer, with libFuzzer; tests/native/fuzz/README.md has the results.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from platforms import CORE, SYSTEM, do, missing

FUZZ = Path(__file__).parent / "fuzz"
TARGETS = ("preprocess", "numbers", "masks", "spec")
SECONDS = 6
SANITIZED = ["-std=c++17", "-g1", "-O1", "-ffp-contract=off"]
SANITIZED += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

Core = Callable[[], list[Path]]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """The sanitized core and driver, compiled once."""

    @functools.cache
    def compiled() -> list[Path]:
        folder, found = tmp_path_factory.mktemp("sanitized"), []
        for source in (*sorted((CORE / "src").glob("*.cpp")), FUZZ / "driver.cpp"):
            found.append(folder / f"{source.stem}.o")
            do(*SYSTEM[0].cxx, *SANITIZED, "-c", source, "-o", found[-1])
        return found

    return compiled


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_no_finding(target: str, core: Core, tmp_path: Path) -> None:
    if not SYSTEM:
        missing("no g++ or clang++ here, so nothing runs under sanitizers: apt install g++")
    program = tmp_path / target
    do(*SYSTEM[0].cxx, *SANITIZED, FUZZ / f"{target}.cpp", *core(), "-o", program)
    output = do(program, str(SECONDS), FUZZ / "corpus" / target)
    assert int(output.split()[0]) > 500


def test_every_function_of_the_header_is_fuzzed() -> None:
    header = (CORE / "edgeskin.h").read_text(encoding="utf-8")
    called = "".join(path.read_text(encoding="utf-8") for path in FUZZ.iterdir() if path.is_file())
    names = {line.split("(")[0].split()[-1].strip("*") for line in header.splitlines()
             if line.startswith("ES_API")}  # fmt: skip
    assert {name for name in names if f"{name}(" not in called} <= {"es_version", "es_kernels_name"}
