"""The runtimes' shared libraries for a device: from PyPI's wheels by version, or the user's own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgeskin.benchmarks.emulation.sysroot import runtime_root
from edgeskin.benchmarks.runner.request import WEBGPU
from edgeskin.benchmarks.store import kept
from edgeskin.errors import CannotFetch, NotSupportedHere
from edgeskin.files import sha256


@dataclass(frozen=True)
class Source:
    """A library inside a wheel.

    Attributes:
        glibc: The oldest that it runs on.
        sha256: The library's own.
        takes_delegates: Whether it has the TfLite C API, which gpu and external delegates need.
    """

    package: str
    version: str
    platform: str
    member: str
    glibc: str
    sha256: str
    takes_delegates: bool = False

    @property
    def name(self) -> str:
        return Path(self.member).name


def _litert(
    version: str, machine: str, glibc: str, sha256: str, takes_delegates: bool = False
) -> Source:
    platform, member = f"manylinux_2_27_{machine}", "ai_edge_litert/libLiteRt.so"
    return Source("ai-edge-litert", version, platform, member, glibc, sha256, takes_delegates)


def _onnx(machine: str, sha256: str) -> Source:
    version, platform = "1.31.1", f"manylinux_2_28_{machine}"
    member = f"onnxruntime/capi/libonnxruntime.so.{version}"
    return Source("onnxruntime", version, platform, member, "2.28", sha256)


SOURCES = {
    ("tflite", "x86_64"): (
        _litert(
            "2.3.0", "x86_64", "2.27",
            "eec47eb35e2924b3166015887e652a58edc9af823ae38e02bf83bef2548300bb",
        ),
    ),
    ("tflite", "aarch64"): (
        _litert(
            "2.3.0", "aarch64", "2.34",
            "b57687dc234d2b8b0598aef5a9c961ed24263df8f8b3f56adbee1cff618e544b",
        ),
        _litert(
            "2.1.0", "aarch64", "2.30",
            "5851ef6be3be03ece706c00a5cc728a9e3450f352c56302254bfb4e8fa5d4f78",
            takes_delegates=True,
        ),
    ),
    (WEBGPU, "x86_64"): (
        Source(
            "ai-edge-litert", "2.3.0", "manylinux_2_27_x86_64",
            "ai_edge_litert/libLiteRtWebGpuAccelerator.so", "2.27",
            "b67f193ae6eb8ad3a15349f54aba696c97d6f981c92bc2eb1096cbe9e2835b25",
        ),
    ),
    ("onnx", "x86_64"): (
        _onnx("x86_64", "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3"),
    ),
    ("onnx", "aarch64"): (
        _onnx("aarch64", "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467"),
    ),
}  # fmt: skip
"""By runtime and machine, the one that the host's own Python uses first."""


LOADER = (
    "ld-linux-aarch64.so.1",
    *("libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0"),
    *("libstdc++.so.6", "libgcc_s.so.1"),
)


def library(
    runtime: str, machine: str, glibc: str | None = None, *, for_delegate: bool = False
) -> Path:
    """The library of `runtime` for a machine (`uname -m`), fetched on the first call.

    Args:
        glibc: The device's; None: recent enough, or pushed with the library.
        for_delegate: It must take a gpu or external delegate.

    Raises:
        NotSupportedHere: No package has one; the user must bring a library.
        CannotFetch: pip could not fetch it, or what came is another file.
    """
    source = choose(runtime, machine, glibc, for_delegate=for_delegate)
    name = f"{source.package}-{source.version}-{machine}"
    name += f"-{runtime}" if runtime == WEBGPU else ""  # of the same package
    return kept(name, lambda folder: _fetch(source, folder / source.name)) / source.name


def choose(
    runtime: str, machine: str, glibc: str | None = None, *, for_delegate: bool = False
) -> Source:
    """The first of SOURCES that does; arguments and errors as of `library`."""
    known = SOURCES.get((runtime, machine))
    if known is None:
        machines = ", ".join(m for r, m in SOURCES if r == runtime)
        raise NotSupportedHere(
            f"no package has {runtime}'s library for {machine} (there are {machines}). "
            "Pass one of your own with --library."
        )
    able = [source for source in known if source.takes_delegates or not for_delegate]
    if not able:
        raise NotSupportedHere(
            f"{known[0].package} for {machine} takes no delegates. Pass a TensorFlow Lite library "
            "that has the TfLite C API with --library."
        )
    for source in able:
        if glibc is None or _numbers(glibc) >= _numbers(source.glibc):
            return source
    raise NotSupportedHere(
        f"the device has glibc {glibc}; {able[-1].package} {able[-1].version} needs "
        f"{able[-1].glibc}. Pass an older build of it with --library."
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


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
