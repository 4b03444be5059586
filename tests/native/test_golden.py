"""The golden vectors, run through the library of this process on each of its code paths."""

import pytest
from golden_cases import FOLDER, Case, Runner, read
from golden_make import made

from edgeskin import native

CASES = read()
DATA = (FOLDER / "data.bin").read_bytes()


def code_paths() -> list[str]:
    """Those that this CPU has."""
    native.use_kernels("best")
    return sorted({"scalar", native.kernels_name()})


@pytest.mark.parametrize("kernels", code_paths())
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.function}-{case.name}")
def test_every_vector(case: Case, kernels: str) -> None:
    runner = Runner(DATA)
    native.use_kernels(kernels)
    try:
        found = runner.run(case)
    finally:
        native.use_kernels("best")
    expected = {
        key: runner.blob(word) if isinstance(found.get(key), bytes) else word
        for key, word in case.expected.items()
    }
    assert found == expected


def test_the_files_are_what_the_generator_writes() -> None:
    for name, content in made().items():
        assert (FOLDER / name).read_bytes() == content, f"{name}: a new version? See README.md"


def test_names_are_unique_and_the_files_small() -> None:
    names = [(case.function, case.name) for case in CASES]
    assert len(names) == len(set(names))
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000
