"""The Kotlin module and its JNI library on this JVM, against the golden vectors and bad input."""

import os
import shutil
from pathlib import Path

import pytest
from faces import ROOT, golden, needs, refusals, run
from spec_table import write_cases

SCRIPTS = ROOT / "scripts"
NATIVE = ROOT / "edgeskin" / "native"
KOTLIN = NATIVE / "kotlin"
HERE = Path(__file__).parent / "kotlin"
BUILD = ROOT / "build" / "kotlin"

pytestmark = pytest.mark.slow


def jdk() -> Path:
    """The folder of the JDK that `java` belongs to, with its C headers."""
    for tool in ("javac", "java"):
        if found := shutil.which(tool):
            home = Path(found).resolve().parents[1]
            if (home / "include" / "jni.h").is_file():
                return home
    pytest.skip("no JDK with include/jni.h here (Debian: apt install openjdk-17-jdk-headless)")


@pytest.fixture(scope="module")
def library() -> Path:
    """The JNI library: the core's sources and the glue, with the flags of the contract."""
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    BUILD.mkdir(parents=True, exist_ok=True)
    sources = [KOTLIN / "jni" / "edgeskin_jni.cpp", *sorted((NATIVE / "src").glob("*.cpp"))]
    flags = "-std=c++17 -O2 -ffp-contract=off -fvisibility=hidden -Wall -Wextra -Werror"
    include = jdk() / "include"
    headers = (f"-I{include}", f"-I{include}/linux")
    output = ("-fPIC", "-shared", "-o", BUILD / "libedgeskin.so")
    run(*compiler.split(), *flags.split(), *headers, *sources, *output)
    return BUILD


@pytest.fixture(scope="module")
def check(library: Path) -> tuple[str | Path, ...]:
    """Everything compiled at once, against Android's own classes (API 23) and a stub of CameraX."""
    stdlib = needs(SCRIPTS / "kotlinc.sh", "--stdlib")
    android = needs(SCRIPTS / "android_jar.sh")
    classes = BUILD / "classes"
    sources = (KOTLIN / "src", KOTLIN / "android", HERE)
    run(SCRIPTS / "kotlinc.sh", "-classpath", f"{stdlib}:{android}", "-d", classes, *sources)
    java = ("java", "-Xcheck:jni", "-XX:+UseSerialGC", f"-Djava.library.path={library}")
    return (*java, "-classpath", f"{stdlib}:{classes}", "CheckKt")


def test_golden_vectors(check: tuple[str | Path, ...]) -> None:
    folder, count = golden()
    said = run(*check, folder)
    assert said.startswith(f"{count} cases"), said  # -Xcheck:jni would warn before it
    assert ", 0 differences" in said


def test_bad_input_throws_what_c_says(check: tuple[str | Path, ...]) -> None:
    count = refusals(folder := BUILD / "refusals")
    said = run(*check, folder)
    assert said.startswith(f"{count} cases"), said
    assert ", 0 differences" in said


def test_every_spec_has_the_verdict_of_the_table(check: tuple[str | Path, ...]) -> None:
    count = write_cases(folder := BUILD / "specs")
    said = run(*check, folder)
    assert said.startswith(f"{count} cases (recipe_from_spec {count}), 0 differences"), said
