"""What the harness has fetched and built, kept in the user's cache folder between runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgeskin.files import locked


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; made by `make(folder)` the first time, whole or not at all.

    The cache is `$EDGESKIN_CACHE`, else `edgeskin` in the user's cache folder;
    several processes may ask at once.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / name
    with locked(cache, f".{name}.lock"):
        if not target.is_dir():
            scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
            try:
                make(scratch)
                scratch.chmod(0o755)
                scratch.rename(target)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
    return target


def cache_folder() -> Path:
    """Where fetched things are kept; delete it to fetch them again."""
    if place := os.environ.get("EDGESKIN_CACHE"):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeskin"
