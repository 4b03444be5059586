"""The kernel runs arm64 programs through qemu while a lab is up (binfmt_misc; needs root)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeskin.errors import NotSupportedHere
from edgeskin.files import locked

_PLACE = Path("/proc/sys/fs/binfmt_misc")
# The first 20 bytes of a little-endian 64-bit ELF file for aarch64 (e_machine 183), and which bits
# of them count: not the ABI's (byte 7), nor whether it is a program or a position-independent one.
_MAGIC = rb"\x7fELF\x02\x01\x01" + rb"\x00" * 9 + rb"\x02\x00\xb7\x00"
_MASK = rb"\xff" * 7 + rb"\x00" + rb"\xff" * 8 + rb"\xfe\xff\xff\xff"
# Keep argv[0], open the program for qemu, take its credentials, open qemu now (so that it is found
# inside any root).
_FLAGS = b"POCF"
_LOCK = Path(tempfile.gettempdir()), ".edgeskin-binfmt.lock"
_MARK = "edgeskin"  # the mount's source


@contextmanager
def arm64_programs(qemu: Path) -> Iterator[None]:
    """Register `qemu` for arm64 programs, under a name of this process's own; undo it at the end.

    Raises:
        NotSupportedHere: Not root, or a kernel without binfmt_misc.
    """
    if os.geteuid() != 0:
        raise NotSupportedHere("the device lab needs root (binfmt_misc, chroot and mounts)")
    entry = _PLACE / f"edgeskin-{os.getpid()}"
    rule = b":".join((b"", entry.name.encode(), b"M", b"", _MAGIC, _MASK, bytes(qemu), _FLAGS))
    with locked(*_LOCK):
        _mount()
        _forget_the_dead()
        (_PLACE / "register").write_bytes(rule)
    try:
        yield
    finally:
        with locked(*_LOCK):
            entry.write_bytes(b"-1")
            _unmount()


def _forget_the_dead() -> None:
    """Take out what killed processes have left registered."""
    for entry in _PLACE.glob("edgeskin-*"):
        if not Path("/proc", entry.name.rpartition("-")[2]).exists():
            entry.write_bytes(b"-1")


def _mount() -> None:
    """Make the kernel's folder appear, marked as ours."""
    if (_PLACE / "register").exists():
        return
    command = ["mount", "-t", "binfmt_misc", _MARK, str(_PLACE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise NotSupportedHere(f"no binfmt_misc in this kernel: {done.stderr.strip()}")


def _unmount() -> None:
    """The last lab takes the folder away again, if a lab brought it."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    ours = any(line.split()[:2] == [_MARK, str(_PLACE)] for line in mounts)
    if ours and not list(_PLACE.glob("edgeskin-*")):
        subprocess.run(["umount", str(_PLACE)], check=False, timeout=30)
