"""Why a program on a device failed, from its exit code and what its log says, in one line."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from edgeskin.errors import (
    DeviceFull,
    MissingSymbol,
    ProgramCrashed,
    RunFailed,
    SystemTooOld,
    WrongArchitecture,
)

_FULL = 64 << 10
_NO_LOADER = (
    "the program, or the loader it asks for, is not there. It was built for another system, or "
    "needs a loader pushed with it"
)
_RULES: tuple[tuple[str, type[Exception], str], ...] = (
    (
        r"exec format error|cannot execute binary|not executable: |wrong elf class"
        r"|invalid elf header|unexpected e_machine|invalid elf image"
        r"|^\./\S+: \d+: (syntax error|\S*elf\S*: not found)",  # dash, which reads it as a script
        WrongArchitecture,
        "it was built for another processor. Take the file for this device's architecture",
    ),
    (
        r"version [`'](GLIBC|GLIBCXX|CXXABI)_[\d.]+' not found",
        SystemTooOld,
        "it wants a newer C library than the device has. Take an older build of it",
    ),
    (
        r"undefined symbol|cannot locate symbol|symbol not found",
        MissingSymbol,
        "a library lacks a function that it asks for. Take the runtime version it was built for",
    ),
    (
        r"cannot open shared object file|library \S+ not found|dlopen failed",
        MissingSymbol,
        "a library that it asks for is not there. Push it with the program",
    ),
    (r"could not open '\S*/ld-", WrongArchitecture, _NO_LOADER),  # qemu's words
    (r"no space left on device", DeviceFull, "the device's disk is full. Free some space there"),
)


def explain(
    device: str, code: int | None, log: Sequence[str], free_disk_bytes: int | None = None
) -> Exception:
    """The error to raise for a program that failed.

    Args:
        device: Its name, for the message.
        code: Exit code as a shell gives it (128 + signal); None if nobody saw it end.
        log: The last lines of its log; JSON lines are its results, the others tell why.
        free_disk_bytes: What is left there now: on a full disk no log can tell of it.
    """
    said = [
        line.strip() for line in log if line.strip() and not line.startswith(("{", "edgeskin-"))
    ]
    last = said[-1] if said else "it said nothing"
    for pattern, kind, advice in _RULES:
        if found := next((line for line in reversed(said) if re.search(pattern, line, re.I)), None):
            return kind(f"{device}: {advice} ({found})")
    if code is None and free_disk_bytes is not None and free_disk_bytes < _FULL:
        return DeviceFull(
            f"{device}: the device's disk is full, and the log broke off. Free some space there."
        )
    if code is None:
        return ProgramCrashed(
            f"{device}: the program is gone without an exit code: killed from outside, out of "
            f"memory, or the device restarted ({last})"
        )
    if code > 128:
        return ProgramCrashed(f"{device}: the program was ended by {_signal(code - 128)} ({last})")
    if code in (126, 127) and re.search("not found|no such file", last, re.I):
        return WrongArchitecture(f"{device}: {_NO_LOADER} ({last})")
    return RunFailed(f"{device}: the program ended with code {code} ({last})")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
