"""The runtimes' shared libraries for a device: from PyPI's wheels by version, or the user's own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgeskin.benchmarks.lab.roots import runtime_root
from edgeskin.benchmarks.store import kept
from edgeskin.errors import CannotFetch, NotSupportedHere
from edgeskin.files import sha256


@dataclass(frozen=True)
class Source:
    """A library inside a wheel; `sha256` is the library's own."""

    package: str
    version: str
    platform: str
    member: str
    sha256: str

    @property
    def name(self) -> str:
        return Path(self.member).name


SOURCES = {
    (runtime, machine): Source(package, version, f"{tag}_{machine}", member, digest)
    for runtime, package, version, tag, member, digests in (
        (
            "tflite",
            # The last version whose libraries run on glibc 2.30 and have a C API that the runner
            # speaks: TfLite's on aarch64, LiteRT's own on x86_64.
            "ai-edge-litert",
            "2.1.0",
            "manylinux_2_27",
            "ai_edge_litert/libLiteRt.so",
            {
                "x86_64": "3b7983b89907bddba3bd15988b0800af96bd7bd144d7184da7fafe47a46306de",
                "aarch64": "5851ef6be3be03ece706c00a5cc728a9e3450f352c56302254bfb4e8fa5d4f78",
            },
        ),
        (
            "onnx",
            "onnxruntime",
            "1.23.2",
            "manylinux_2_28",
            "onnxruntime/capi/libonnxruntime.so.1.23.2",
            {
                "x86_64": "718c3fb0785d5ea06061b92c32ce4ad35be1bd4c71ae6192efe06f1ab21f0f8a",
                "aarch64": "ab8c4363e06ac80b3d1279ea55ebea44e906c5b131ba783ff684a067540c0e94",
            },
        ),
    )
    for machine, digest in digests.items()
}


LOADER = (
    "ld-linux-aarch64.so.1",
    *("libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0"),
    *("libstdc++.so.6", "libgcc_s.so.1"),
)


def library(runtime: str, machine: str) -> Path:
    """The library of `runtime` for a machine (`uname -m`), fetched on the first call.

    Raises:
        NotSupportedHere: No package has one; the user must bring a library.
        CannotFetch: pip could not fetch it, or what came is another file.
    """
    source = SOURCES.get((runtime, machine))
    if source is None:
        known = ", ".join(m for r, m in SOURCES if r == runtime)
        raise NotSupportedHere(
            f"no package has {runtime}'s library for {machine} (there are {known}). "
            "Pass one of your own with --library."
        )
    name = f"{source.package}-{source.version}-{machine}"
    return kept(name, lambda folder: _fetch(source, folder / source.name)) / source.name


def loader(machine: str) -> dict[str, Path]:
    """Debian's C and C++ libraries and their loader, for a system that has none (Android).

    Raises:
        NotSupportedHere: None are known for that machine.
    """
    if machine != "aarch64":
        raise NotSupportedHere(f"no C library is known to push to an Android of {machine}")
    folder = runtime_root() / "usr/lib/aarch64-linux-gnu"
    return {name: (folder / name).resolve() for name in LOADER}


def _fetch(source: Source, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _extract(_download(source, Path(folder)), source, target)


def _download(source: Source, folder: Path) -> Path:
    """The wheel, by pip and whatever index it is configured for."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--platform", source.platform, "--python-version", "311"]
    command += ["--dest", str(folder), f"{source.package}=={source.version}"]
    done = subprocess.run(command, capture_output=True, text=True)
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode != 0 or wheel is None:
        why = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise CannotFetch(
            f"cannot fetch {source.package} {source.version}: {why}. Pass a library with --library."
        )
    return wheel


def _extract(wheel: Path, source: Source, target: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        target.write_bytes(packed.read(source.member))
    if (actual := sha256(target)) != source.sha256:
        raise CannotFetch(
            f"{source.member} of {wheel.name} has sha256 {actual[:16]}..., expected "
            f"{source.sha256[:16]}...: the index serves another file under that version"
        )


if __name__ == "__main__":
    for key in SOURCES:
        print(*key, library(*key))
