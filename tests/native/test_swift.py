"""The Swift package, built as an app builds it, against the golden vectors and bad input."""

from pathlib import Path

import pytest
from faces import ROOT, golden, needs, refusals, run
from spec_table import write_cases

SWIFT = ROOT / "scripts" / "with_swift.sh"
PACKAGE = ROOT / "edgeskin" / "native"
HERE = Path(__file__).parent / "swift"
BUILD = ROOT / "build" / "swift"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def check() -> Path:
    needs(SWIFT, "swift", "--version")
    run(SWIFT, "swift", "build", "-c", "release", "--package-path", HERE, "--scratch-path", BUILD)
    return BUILD / "release" / "check"


def test_golden_vectors(check: Path) -> None:
    folder, count = golden()
    said = run(SWIFT, check, folder)
    assert said.startswith(f"{count} cases"), said
    assert ", 0 differences" in said


def test_bad_input_throws_what_c_says(check: Path) -> None:
    count = refusals(folder := BUILD / "refusals")
    said = run(SWIFT, check, folder)
    assert said.startswith(f"{count} cases"), said
    assert ", 0 differences" in said


def test_every_spec_has_the_verdict_of_the_table(check: Path) -> None:
    count = write_cases(folder := BUILD / "specs")
    said = run(SWIFT, check, folder)
    assert said.startswith(f"{count} cases (recipe_from_spec {count}), 0 differences"), said


def test_apples_entry_points_compile_against_stubs() -> None:
    needs(SWIFT, "swift", "--version")
    stubs = BUILD.with_name("swift-stubs")
    stubs.mkdir(parents=True, exist_ok=True)
    for name in ("CoreVideo", "CoreGraphics", "ImageIO", "CryptoKit", "CoreML"):
        module = ("-emit-module", "-module-name", name, "-o", stubs / f"{name}.swiftmodule")
        run(
            SWIFT,
            "swiftc",
            "-parse-as-library",
            "-I",
            stubs,
            *module,
            HERE / "stubs" / f"{name}.swift",
        )
    core = f"-fmodule-map-file={PACKAGE}/swift/module/module.modulemap"
    options = ("-typecheck", "-swift-version", "6", "-module-name", "Edgeskin", "-I", stubs)
    sources = sorted((PACKAGE / "swift" / "Edgeskin").glob("*.swift"))
    run(SWIFT, "swiftc", *options, "-Xcc", core, *sources)
