"""The device lab as fixtures: real peers on loopback, up for the session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
from lab.binfmt import arm64_programs
from lab.jetson import Jetson, jetson
from lab.phone import Phone, adb_server, phone
from lab.roots import prepare

from edgeskin.benchmarks.emulation.qemu import qemu
from edgeskin.benchmarks.emulation.sysroot import runtime_root
from edgeskin.errors import MissingPackage, NotSupportedHere

Up = TypeVar("Up")
Compile = Callable[..., Path]


@contextmanager
def brought_up(make: Callable[[], AbstractContextManager[Up]]) -> Iterator[Up]:
    """A part of the lab; where it cannot be had the tests say so loudly, and in CI they fail."""
    with ExitStack() as stack:
        try:
            up = stack.enter_context(make())
        except (NotSupportedHere, MissingPackage) as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"THE DEVICE LAB IS NOT UP, nothing is tested on devices: {error}")
        yield up


@pytest.fixture(scope="session")
def can_emulate() -> Iterator[None]:
    """qemu and the libraries that `emulated:CPU` runs programs with; needs no root."""
    with brought_up(lambda: nullcontext((qemu(), runtime_root()))):
        yield


@pytest.fixture(scope="session")
def arm64_runs_here() -> Iterator[None]:
    with brought_up(lambda: nullcontext(prepare())), brought_up(lambda: arm64_programs(qemu())):
        yield


@pytest.fixture(scope="session")
def lab_jetson(arm64_runs_here: None) -> Iterator[Jetson]:
    with brought_up(jetson) as up:
        yield up


@pytest.fixture(scope="session")
def lab_adb(arm64_runs_here: None) -> Iterator[None]:
    with brought_up(adb_server):
        yield


@pytest.fixture(scope="session")
def lab_phone(lab_adb: None) -> Iterator[Phone]:
    with brought_up(phone) as up:
        yield up


@pytest.fixture(scope="session")
def older_phone(lab_adb: None) -> Iterator[Phone]:
    with brought_up(lambda: phone("cortex-a53")) as up:
        yield up


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles C code with the options given: a program, or with -shared a library; glibc 2.27."""
    folder = tmp_path_factory.mktemp("compiled")

    @cache
    def compile_c(
        code: str, *options: str, name: str = "program", machine: str = "aarch64"
    ) -> Path:
        place = folder / str(len(list(folder.iterdir())))
        place.mkdir()
        source, made = place / f"{name}.c", place / name
        source.write_text(code)
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.2.27"]
        subprocess.run([*zig, "-o", str(made), str(source), *options], check=True, timeout=300)
        return made

    return compile_c
