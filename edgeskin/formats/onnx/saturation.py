"""x86 CPUs on which ONNX Runtime's fast integer kernels saturate, and what it has against that.

Without VNNI they add products of uint8 and int8 in 16 bits, which some networks overflow: the file
is right, the sums are not. With `OPTION` set to "1" they add in 32 bits, at half the speed or less.
An app on such a CPU must set it too (docs/parity.md). Not every file loads with it: ONNX Runtime
replaces weights and zero points layer by layer, and refuses two layers that share them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TypeVar

OPTION = "session.x64quantprecision"
_X86 = ("x86_64", "AMD64")
_VNNI = {"avx512_vnni", "avx_vnni"}
_CPU = Path("/proc/cpuinfo")

T = TypeVar("T")


def saturates(machine: str, features: Iterable[str]) -> bool:
    """Whether sums overflow on a CPU, in the words of `uname -m` and /proc/cpuinfo."""
    return machine in _X86 and _VNNI.isdisjoint(features)


def open_precise(open_session: Callable[[dict[str, str]], T]) -> tuple[T, bool]:
    """A session that sums in 32 bits where this CPU needs to be told; whether it was.

    Args:
        open_session: Opens it with entries of its configuration, or raises.
    """
    if saturates_here():
        try:
            return open_session({OPTION: "1"}), True
        except Exception:  # ONNX Runtime's own types share no base but Exception
            pass  # its layers share weights; or it fails below too, and says why
    return open_session({}), False


@cache
def saturates_here() -> bool:
    """Whether they do on this machine; no, where the system does not tell its CPU's features."""
    if not _CPU.is_file():
        return False
    flags = (line for line in _CPU.read_text().splitlines() if line.startswith("flags"))
    return saturates(platform.machine(), next(flags, "").partition(":")[2].split())
