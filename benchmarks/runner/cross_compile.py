"""The runner for any of its platforms, compiled here by zig (PyPI `ziglang`), kept in the cache.

    python -m edgeskin.benchmarks.runner.cross_compile x86_64 aarch64 armv7     (prints paths)

glibc 2.27 (2018) is enough to run it; the C++ library is linked in, the runtimes are opened by
dlopen. Nothing has to be installed on a device.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgeskin import native
from edgeskin.benchmarks.store import kept
from edgeskin.errors import MissingPackage, NotSupportedHere

PROGRAM = "edgeskin-runner"
SOURCES = Path(__file__).parent / "src"
CORE = Path(native.__file__).parent
TARGETS = {
    "x86_64": ("x86_64-linux-gnu.2.27",),
    "aarch64": ("aarch64-linux-gnu.2.27",),
    "armv7": ("arm-linux-gnueabihf.2.27", "-mcpu=cortex_a7"),
}
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-s")
MACHINES = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "armv7", "armv8l": "armv7"}


def build(machine: str) -> Path:
    """The runner for a machine as its kernel names it (`uname -m`), or as TARGETS does.

    Raises:
        NotSupportedHere: No build is known for that machine.
        MissingPackage: ziglang is not installed.
    """
    target = MACHINES.get(machine, machine)
    if target not in TARGETS:
        raise NotSupportedHere(f"no runner for {machine}; there are {', '.join(TARGETS)}")
    sources = [*sorted(SOURCES.glob("*.cpp")), *sorted((CORE / "src").glob("*.cpp"))]
    command = ["-target", *TARGETS[target], *FLAGS, f"-I{CORE}"]
    name = f"runner-{target}-{_digest(command)}"
    return kept(name, lambda folder: _compile(command, sources, folder / PROGRAM)) / PROGRAM


def _compile(flags: Sequence[str], sources: Sequence[Path], path: Path) -> None:
    if find_spec("ziglang") is None:
        raise MissingPackage("building the runner needs zig: pip install 'edgeskin[bench]'")
    zig = (sys.executable, "-m", "ziglang", "c++")
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in sources:  # one at a time: of several, zig 0.13 keeps one object
            objects.append(str(Path(folder) / f"{source.parent.parent.name}-{source.stem}.o"))
            subprocess.run([*zig, *flags, "-c", str(source), "-o", objects[-1]], check=True)
        subprocess.run([*zig, *flags, *objects, "-ldl", "-lpthread", "-o", str(path)], check=True)


def _digest(flags: Sequence[str]) -> str:
    """Of all that the program is made of: another source or flag is another file."""
    digest = hashlib.sha256(" ".join(flags).replace(str(CORE), "").encode())
    for folder in (SOURCES, CORE, CORE / "src"):
        for source in sorted(path for path in folder.iterdir() if path.suffix in (".cpp", ".h")):
            digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    for name in sys.argv[1:] or TARGETS:
        print(build(name))
