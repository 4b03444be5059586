"""What edgeskin stored inside."""

from __future__ import annotations

from pathlib import Path

from tiny_format import unpack


def entries(path: Path) -> dict[str, str]:
    return unpack(path)[0]
