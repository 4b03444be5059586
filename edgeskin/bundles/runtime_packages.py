"""What a bundle's library asks the app's build system for: packages that lie in no bundle."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeskin.bundles.bundle_plan import Plan
from edgeskin.bundles.templating import render


@dataclass(frozen=True)
class RuntimePackage:
    """One package that is linked into the app.

    Attributes:
        group: Of a Maven package; empty for others.
        version: What the bundle names; `1.16 or newer` where it takes any such.
        licence: SPDX.
        purl: Package URL.
    """

    name: str
    group: str
    version: str
    licence: str
    purl: str
    url: str


_MAVEN = {
    "litert": "https://github.com/google-ai-edge/LiteRT",
    "coroutines": "https://github.com/Kotlin/kotlinx.coroutines",
    "camera-core": "https://developer.android.com/jetpack/androidx/releases/camera",
}
"""What the Android library needs, as its version catalogue calls it; all are Apache-2.0."""


def _android(plan: Plan) -> tuple[RuntimePackage, ...]:
    """By the version catalogue, which is the one place of the bundle's versions."""
    catalogue = tomllib.loads(
        render("android/gradle/libs.versions.toml", plan=plan).decode("utf-8")
    )
    packages = []
    for key, url in _MAVEN.items():
        library = catalogue["libraries"][key]
        group, _, name = library["module"].partition(":")
        version = catalogue["versions"][library["version"]["ref"]]
        purl = f"pkg:maven/{group}/{name}@{version}"
        packages.append(RuntimePackage(name, group, version, "Apache-2.0", purl, url))
    return tuple(packages)


def _linux(plan: Plan) -> tuple[RuntimePackage, ...]:
    url = "https://github.com/microsoft/onnxruntime"
    purl = "pkg:github/microsoft/onnxruntime"
    return (RuntimePackage("onnxruntime", "", "1.16 or newer", "MIT", purl, url),)


def _ios(plan: Plan) -> tuple[RuntimePackage, ...]:
    """None: Core ML and CoreVideo are parts of iOS."""
    return ()


_BY_PLATFORM: Mapping[str, Callable[[Plan], tuple[RuntimePackage, ...]]] = {
    "android": _android,
    "ios": _ios,
    "linux": _linux,
}


def runtime_packages(plan: Plan) -> tuple[RuntimePackage, ...]:
    """The packages of a bundle's platform, in the order of their importance."""
    return _BY_PLATFORM[plan.platform](plan)
