"""qemu in user mode, which runs other processors' programs here.

Version 10 or newer; older ones crash on the runtimes.

    python -m edgeskin.benchmarks.emulation.qemu MACHINE...       prints the programs' paths
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from edgeskin.benchmarks.emulation.debian import unpack
from edgeskin.benchmarks.store import kept
from edgeskin.errors import NotSupportedHere, UnknownName

OLDEST = 10
MACHINES = ("aarch64", "x86_64", "arm")


def qemu(machine: str = "aarch64") -> Path:
    """`qemu-MACHINE`: this system's when new enough, else that of Debian 13 (cached).

    Raises:
        NotSupportedHere: It can be had in neither way.
    """
    name = f"qemu-{machine}"
    found = shutil.which(f"{name}-static") or shutil.which(name)
    if found and _version(found) >= OLDEST:
        return Path(found)
    if machine not in MACHINES:
        raise NotSupportedHere(f"no {name} here, {OLDEST} or newer: apt install qemu-user")
    return kept("qemu-1", _fetch) / name


def machine_of(cpu: str) -> str:
    """The machine that qemu emulates a CPU of: "aarch64" or "x86_64".

    Raises:
        UnknownName: It emulates none of that name; the message lists some it does.
    """
    known = {machine: _cpus(machine) for machine in ("aarch64", "x86_64")}
    for machine, cpus in known.items():
        if cpu in cpus:
            return machine
    some = [name for name in known["aarch64"] if name.startswith(("cortex-a", "neoverse", "max"))]
    some += ["Haswell", "EPYC", "..."]
    raise UnknownName(f"emulated:{cpu}: qemu has no such CPU. It has {', '.join(some)}")


def _cpus(machine: str) -> list[str]:
    """Names in a list whose lines are "  NAME   perhaps a description"."""
    command = [str(qemu(machine)), "-cpu", "help"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=30)
    cpus = listed.stdout.partition("Recognized")[0]  # x86 flags follow
    return re.findall(r"^  (\S+)", cpus, flags=re.MULTILINE)


def _fetch(folder: Path) -> None:
    names = [f"qemu-{machine}" for machine in MACHINES]
    unpack("trixie", ["qemu-user"], folder / "root", only=[f"usr/bin/{name}" for name in names])
    for name in names:
        (folder / "root/usr/bin" / name).rename(folder / name)
    shutil.rmtree(folder / "root")


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    found = re.search(r"version (\d+)", said.stdout)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MACHINES:
        print(qemu(wanted))
