"""Running the scripts of `examples/` as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def shell(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script as a user runs it, with this Python's `edgeskin` on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | variables
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


def unavailable(message: str) -> NoReturn:
    """A tool is missing: the test is skipped, and says so; in CI it fails."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
