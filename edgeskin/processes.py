"""Child processes that end with all of theirs, whoever goes first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any


def end(child: subprocess.Popen[Any]) -> None:
    """Kill a child that was started in a session of its own, with its whole group; wait for it."""
    with suppress(ProcessLookupError, PermissionError):  # it ended by itself
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdin is not None:
        with suppress(BrokenPipeError):
            child.stdin.close()
    child.wait()


def follow_parent() -> None:
    """In a child whose standard input the parent holds open: end with it, however it ended."""
    threading.Thread(target=_until_closed, daemon=True).start()


def _until_closed() -> None:
    os.read(sys.stdin.fileno(), 1)  # not sys.stdin.read(), which would hold a lock at exit
    os.kill(os.getpid(), signal.SIGKILL)
