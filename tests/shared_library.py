"""Shared libraries of a few lines of C, in place of a runtime's or of parts of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def shared(source: str, folder: Path, *linked: Path, target: str | None = None) -> Path:
    """Compile `source`; what it lacks is found in the libraries that it is linked to.

    Args:
        target: Another machine, as zig names it.
    """
    code, path = folder / "library.c", folder / "liblibrary.so"
    code.write_text(source)
    compiler = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC"]
    compiler += ["-target", target] if target else []
    paths = [word for lib in linked for word in (str(lib), f"-Wl,-rpath,{lib.parent}")]
    subprocess.run([*compiler, str(code), "-o", str(path), *paths], check=True)
    return path
