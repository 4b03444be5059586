"""The native core built for every platform, by every compiler found here.

    python tests/native/platforms.py      the stripped library's size per platform

zig (PyPI ziglang, in the extra `dev`) holds headers and C libraries for all of them. Linked as C:
a library that needed the C++ runtime would not link.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "edgeskin" / "native"
GOLDEN = Path(__file__).parent / "golden"
RUNNER = Path(__file__).parent / "golden_runner.cpp"
STRICT = ["-Wall", "-Wextra", "-Werror"]
LIBRARY = ["-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC"]
LIBRARY += ["-fno-exceptions", "-fno-rtti", *STRICT]
SHARED = ["-shared", "-s", "-Wl,--gc-sections", f"-Wl,--version-script={CORE / 'edgeskin.map'}"]


@dataclass(frozen=True)
class Platform:
    name: str
    c: tuple[str, ...]
    cxx: tuple[str, ...]
    qemu: str = ""  # architecture, where this machine cannot run its programs
    cpus: tuple[str, ...] = ()  # to emulate


def zig(target: str, *flags: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tool = (sys.executable, "-m", "ziglang")
    return (*tool, "cc", "-target", target, *flags), (*tool, "c++", "-target", target, *flags)


ARM_CPUS = ("cortex-a57", "cortex-a76")
ZIG = (
    Platform("x86_64, glibc 2.27, zig", *zig("x86_64-linux-gnu.2.27")),
    Platform("x86_64, musl, zig", *zig("x86_64-linux-musl")),
    Platform("aarch64, glibc 2.27, zig", *zig("aarch64-linux-gnu.2.27"), "aarch64", ARM_CPUS),
    Platform("aarch64, musl, zig", *zig("aarch64-linux-musl"), "aarch64", ARM_CPUS),
    Platform(
        "armv7, musl, zig",
        *zig("arm-linux-musleabihf", "-mcpu=cortex_a7"),
        "arm",
        ("cortex-a7",),
    ),
)
SYSTEM = tuple(
    Platform(f"this machine, {cc}", (cc,), (cxx,))
    for cc, cxx in (("gcc", "g++"), ("clang", "clang++"))
    if shutil.which(cxx)
)
PLATFORMS = {platform.name: platform for platform in (*ZIG, *SYSTEM)}
# What runs the golden vectors; static, so that qemu needs no foreign C library.
RUNS = [platform for platform in PLATFORMS.values() if "musl" in platform.name and platform.qemu]
RUNS += SYSTEM


def do(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command that must succeed without a word on stderr; its output."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def missing(what: str) -> None:
    """Skip, saying why; fail in CI, where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def objects(platform: Platform, folder: Path) -> list[Path]:
    """The core's object files; one at a time, for zig 0.13 keeps one of several."""
    found = []
    for source in sorted((CORE / "src").glob("*.cpp")):
        found.append(folder / f"{source.stem}.o")
        do(*platform.cxx, *LIBRARY, "-c", source, "-o", found[-1])
    return found


def library(platform: Platform, core: list[Path]) -> Path:
    """The stripped shared library, beside its objects."""
    path = core[0].with_name("libedgeskin.so")
    do(*platform.c, *SHARED, *core, "-o", path)
    return path


def golden_runner(platform: Platform, core: list[Path]) -> Path:
    """A static program that runs the golden vectors, beside the core's objects."""
    path = core[0].with_name("golden_runner")
    do(*platform.cxx, "-std=c++17", *STRICT, "-O1", "-static", RUNNER, *core, "-o", path)
    return path


def main() -> None:
    print("| platform | stripped library, bytes |\n|---|---|")
    for platform in PLATFORMS.values():
        with tempfile.TemporaryDirectory() as folder:
            path = library(platform, objects(platform, Path(folder)))
            print(f"| {platform.name} | {path.stat().st_size} |")


if __name__ == "__main__":
    main()
