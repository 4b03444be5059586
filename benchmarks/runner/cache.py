"""Where built and fetched files are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """`$EDGESKIN_CACHE/kind`, else `~/.cache/edgeskin/kind`; made if needed."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("EDGESKIN_CACHE") or Path(home) / "edgeskin") / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder
