"""SwiftShader, Vulkan without a GPU: what Debian's Chromium brings, fetched once into the cache."""

from __future__ import annotations

from pathlib import Path

from edgeskin.benchmarks.emulation.debian import unpack
from edgeskin.benchmarks.store import kept

DRIVER = "vk_swiftshader_icd.json"
"""What Vulkan's loader is shown."""
_FILES = ("libvk_swiftshader.so", DRIVER, "libvulkan.so.1")
_FOLDER = "usr/lib/chromium"


def swiftshader() -> dict[str, Path]:
    """Driver, its description and Vulkan's loader, by file name.

    Raises:
        NotSupportedHere: Debian's packages cannot be had here.
    """
    root = kept("swiftshader-1", _unpack)
    return {name: root / _FOLDER / name for name in _FILES}


def _unpack(root: Path) -> None:
    only = [f"{_FOLDER}/{name}" for name in _FILES]
    unpack("bookworm", ["chromium-common"], root, architecture="amd64", only=only, alone=True)
