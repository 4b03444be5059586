"""The C and C++ libraries that programs of another processor need, fetched once into the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgeskin.benchmarks.emulation.debian import unpack
from edgeskin.benchmarks.store import kept

DEBIAN = {"aarch64": "arm64", "x86_64": "amd64"}  # what it calls a machine


def runtime_root(machine: str = "aarch64") -> Path:
    """What a glibc program needs to run under `qemu-MACHINE -L`: the libraries of Debian 12.

    Raises:
        NotSupportedHere: Debian's packages cannot be had here.
    """
    return kept(f"runtime-{machine}-1", lambda root: _unpack(root, DEBIAN[machine]))


def _unpack(root: Path, architecture: str) -> None:
    unpack("bookworm", ["libc6", "libstdc++6"], root, architecture=architecture)
    shutil.rmtree(root / "usr/share", ignore_errors=True)
