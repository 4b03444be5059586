"""qemu in user mode, which runs arm64 programs here; 10 or newer, older ones crash on runtimes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from edgeskin.benchmarks.lab.debian import unpack
from edgeskin.benchmarks.store import kept
from edgeskin.errors import UnknownName

OLDEST = 10


def qemu() -> Path:
    """The static `qemu-aarch64`: this system's when new enough, else that of Debian 13 (cached).

    Raises:
        NotSupportedHere: It can be had in neither way.
    """
    found = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if found and _version(found) >= OLDEST:
        return Path(found)
    return kept("qemu-aarch64", _fetch) / "qemu-aarch64"


def checked_cpu(name: str) -> str:
    """`name`, if qemu emulates an arm64 CPU of that name.

    Raises:
        UnknownName: It does not; the message lists those it does.
    """
    listed = subprocess.run([qemu(), "-cpu", "help"], capture_output=True, text=True, timeout=30)
    known = listed.stdout.split()[2:]
    if name not in known:
        some = [cpu for cpu in known if cpu.startswith(("cortex-a", "neoverse", "max"))]
        raise UnknownName(f"emulated:{name}: qemu has no such CPU. It has {', '.join(some)}.")
    return name


def _fetch(folder: Path) -> None:
    unpack("trixie", ["qemu-user"], folder / "root")
    (folder / "root/usr/bin/qemu-aarch64").rename(folder / "qemu-aarch64")
    shutil.rmtree(folder / "root")


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    found = re.search(r"version (\d+)", said.stdout)
    return int(found[1]) if found else 0
