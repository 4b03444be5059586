"""The command line as tests use it: in this process, or as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edgeskin.files import sha256

COMMAND = (sys.executable, "-m", "edgeskin.cli.main")
# Not the command's own words: progress, and what torch logs when torchao is imported.
_BESIDES = re.compile(r"^(.+: \d+/\d+|[WE]\d{4} .*)$")

# Runs at the start of every Python, the workers included: the packages are not found.
SITECUSTOMIZE = """
import os, sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in os.environ["MISSING"].split(",")
        return None if missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


def the_line(stderr: str) -> str:
    """The one line that a refusal prints, without `edgeskin: `."""
    lines = [line for line in stderr.splitlines() if not _BESIDES.match(line)]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("edgeskin: "), stderr
    return lines[0].removeprefix("edgeskin: ")


def snapshot(folder: Path) -> dict[str, str]:
    """What a folder holds, hidden and empty things included: names and hashes."""
    return {
        path.relative_to(folder).as_posix(): sha256(path) if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def refusal(*arguments: object, before: tuple[str, ...] = (), **options: object) -> str:
    """Run the real command, which must refuse; its line. `before` stands before the command."""
    command = [*before, *COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return the_line(done.stderr)


def interrupt(arguments: list[object], when: Callable[[int], bool]) -> tuple[int, str, list[int]]:
    """Run a command; press Ctrl-C, for its whole process group, once `when(pid)`.

    Returns its exit code, its stderr, and the child processes that it had.
    """
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not when(process.pid) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert process.poll() is None, f"it ended before Ctrl-C: {process.communicate()}"
    had = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr, had


def children(pid: int) -> list[int]:
    """The child processes of all threads of a process."""
    found = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in found for child in text.split()]


def has_loaded(library: str, pid: int) -> bool:
    """Whether a process has mapped a shared library whose path holds `library`."""
    try:
        return library in Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
