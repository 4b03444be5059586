"""What the user trusts for good: a file of one entry a line, `#` begins a comment."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def config_file() -> Path:
    """Packages whose factories may run, and folders (absolute) that links in data may lead into."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(folder) / "edgeskin" / "trusted"


def packages() -> list[str]:
    return [entry for entry in _entries() if not os.path.isabs(entry)]


def folders() -> list[Path]:
    return [Path(entry) for entry in _entries() if os.path.isabs(entry)]


def _entries() -> list[str]:
    lines: list[str] = []
    with suppress(OSError):
        lines = config_file().read_text(encoding="utf-8", errors="replace").splitlines()
    entries = [line.partition("#")[0].strip() for line in lines]
    return [entry for entry in entries if entry]
