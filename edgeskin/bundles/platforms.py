"""The platforms that bundles are for: one table, and one module a platform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeskin.bundles.android_bundle import android_files
from edgeskin.bundles.bundle_plan import Files, Plan
from edgeskin.bundles.ios_bundle import ios_files
from edgeskin.bundles.linux_bundle import linux_files
from edgeskin.errors import UnknownName


@dataclass(frozen=True)
class Platform:
    """What a bundle is for.

    Attributes:
        target: The format that its runtime takes.
        files: What it makes of a plan, but for what every bundle has.
    """

    name: str
    title: str
    target: str
    files: Callable[[Plan], Files]


PLATFORMS = {
    platform.name: platform
    for platform in (
        Platform("android", "an Android module", "tflite", android_files),
        Platform("ios", "a Swift package", "coreml", ios_files),
        Platform("linux", "a CMake project", "onnx", linux_files),
    )
}


def find_platform(name: str) -> Platform:
    """The platform of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in PLATFORMS:
        raise UnknownName(f"no platform '{name}'; there are {', '.join(PLATFORMS)}")
    return PLATFORMS[name]
