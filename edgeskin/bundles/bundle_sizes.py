"""What a bundle adds to an app: its networks, the native core's library by ABI, its sources."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgeskin.bundles.bundle_documents import Sizes
from edgeskin.bundles.bundle_plan import Plan
from edgeskin.bundles.page_alignment import PAGE, page_faults
from edgeskin.errors import InvalidBundle

NATIVE = Path(__file__).resolve().parents[1] / "native"
LEVEL = 6
"""Of zlib: what zips are commonly made with."""
_SOURCES = {".kt", ".swift", ".h", ".hpp", ".cpp"}
_COMPILE = (
    "-std=c++17", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC", "-fno-exceptions",
    "-fno-rtti", "-ffunction-sections", "-fdata-sections",
)  # fmt: skip
_LINK = ("-shared", "-s", "-Wl,--gc-sections", f"-Wl,-z,max-page-size={PAGE}")


@dataclass(frozen=True)
class Abi:
    """One kind of processor that an app is built for.

    Attributes:
        name: As the platform calls it.
        target: As zig calls the nearest that it has headers for.
    """

    name: str
    target: tuple[str, ...]


@dataclass(frozen=True)
class Libraries:
    """How the core's library of a platform is built to be weighed, as the bundle builds it.

    Attributes:
        headers: Of which C library; the platform's own may give some KB more or less.
        glue: What is linked beside the core.
        shown: Names of the functions that the library shows; None where it is linked into the app.
    """

    abis: tuple[Abi, ...]
    headers: str
    optimization: str
    glue: tuple[str, ...] = ()
    shown: str | None = None


LIBRARIES: Mapping[str, Libraries] = {
    "android": Libraries(
        (
            Abi("arm64-v8a", ("aarch64-linux-musl",)),
            Abi("armeabi-v7a", ("arm-linux-musleabi", "-mcpu=cortex_a9")),
            Abi("x86_64", ("x86_64-linux-musl",)),
            Abi("x86", ("x86-linux-musl",)),
        ),
        "musl headers: the NDK's may differ by some KB",
        "-O2",
        ("kotlin/jni/edgeskin_jni.cpp",),
        "Java_*",
    ),
    "ios": Libraries(
        (Abi("arm64", ("aarch64-macos",)),),
        "macOS headers, a library by itself: linked into the app it may be smaller",
        "-O2",
    ),
    "linux": Libraries(
        (Abi("x86_64", ("x86_64-linux-gnu.2.27",)), Abi("aarch64", ("aarch64-linux-gnu.2.27",))),
        "glibc 2.27, a library by itself",
        "-O3",
        (),
        "es_*",
    ),
}


def weigh(plan: Plan, folder: Path) -> Sizes:
    """What the bundle in `folder` adds to an app.

    The core is compiled for each ABI with zig, where it is installed; else what is known is said,
    and `built_by` says that the library is not.

    Raises:
        InvalidBundle: A 64-bit library came out with pages of less than 16 KB.
    """
    kind = LIBRARIES[plan.platform]
    libraries, built_by = core_libraries(plan.platform)
    networks = [path for stage in plan.stages for path in _files(stage.path)]
    packed = sum(_deflated(path.read_bytes()) for path in networks)
    return Sizes(
        models=sum(path.stat().st_size for path in networks),
        library={abi: len(data) for abi, data in libraries.items()},
        code=sum(path.stat().st_size for path in _api_sources(folder)),
        download={abi.name: packed + _deflated(libraries.get(abi.name, b"")) for abi in kind.abis},
        built_by=built_by,
    )


def core_libraries(platform: str) -> tuple[Mapping[str, bytes], str]:
    """The stripped library of the core by ABI, and what built it; none where zig is missing.

    Raises:
        InvalidBundle: As `weigh`.
    """
    if importlib.util.find_spec("ziglang") is None:
        return {}, "nothing: zig is not installed, pip install 'edgeskin[bundle]'"
    return _core_libraries(platform)


@cache
def _core_libraries(platform: str) -> tuple[Mapping[str, bytes], str]:
    kind = LIBRARIES[platform]
    glue, include, without = [NATIVE / name for name in kind.glue], _jni(), ""
    if glue and not include:
        glue, without = [], ", without the JNI glue: no JDK is here"
    sources = [*sorted((NATIVE / "src").glob("*.cpp")), *glue]
    options = [kind.optimization, *_COMPILE, *(f"-I{folder}" for folder in include if glue)]
    libraries = {}
    with tempfile.TemporaryDirectory() as scratch:
        link = _link(kind, Path(scratch))
        for abi in kind.abis:
            place = Path(scratch) / abi.name
            place.mkdir()
            libraries[abi.name] = _build(sources, abi, options, link, place)
    for name, data in libraries.items():
        if platform != "ios" and (faults := page_faults(data, f"the core for {name}")):
            raise InvalidBundle(faults[0])
    return libraries, f"zig {_zig('version').strip()}, {kind.headers}{without}"


def _link(kind: Libraries, place: Path) -> list[str]:
    if kind.shown is None:  # Apple's linker
        return ["-shared", "-s", "-Wl,-dead_strip"]
    script = place / "shown.map"
    script.write_text(f"{{ global: {kind.shown}; local: *; }};\n", encoding="utf-8")
    return [*_LINK, f"-Wl,--version-script={script}"]


def _build(
    sources: Iterable[Path], abi: Abi, options: list[str], link: list[str], place: Path
) -> bytes:
    """The stripped library; compiled one at a time, for zig 0.13 keeps one object of several."""
    objects = []
    for source in sources:
        objects.append(str(place / f"{source.stem}.o"))
        _zig("c++", "-target", *abi.target, *options, "-c", str(source), "-o", objects[-1])
    library = place / "libedgeskin.so"
    _zig("cc", "-target", *abi.target, *link, *objects, "-o", str(library))
    return library.read_bytes()


def _zig(*arguments: str) -> str:
    line = [sys.executable, "-m", "ziglang", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        why = (done.stderr.strip() or "it said nothing").splitlines()[0]
        raise InvalidBundle(f"zig could not build the native core: {why}")
    return done.stdout


def _jni() -> tuple[Path, ...]:
    """Folders of jni.h and of what it includes, of the JDK that is here; none without one."""
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if (javac := shutil.which("javac")) is not None:
        homes.append(Path(javac).resolve().parents[1])
    for home in homes:
        for machine in ("linux", "darwin"):
            if (home / "include" / machine / "jni_md.h").is_file():
                return home / "include", home / "include" / machine
    return ()


def _api_sources(folder: Path) -> Iterable[Path]:
    """Generated and copied sources of the API: not the core, nor tests and samples."""
    core = {path.name for path in (NATIVE / "src").iterdir()} | {"edgeskin_jni.cpp", "edgeskin.h"}
    for path in _files(folder):
        parts = [part.lower() for part in path.relative_to(folder).parts]
        aside = any(word in part for part in parts for word in ("test", "sample"))
        if path.suffix in _SOURCES and path.name not in core and not aside:
            yield path


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _deflated(data: bytes) -> int:
    return len(zlib.compress(data, LEVEL)) if data else 0
