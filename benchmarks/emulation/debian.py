"""Debian packages unpacked beside this system, without touching it.

apt does the work, with a state of its own and the mirror it is configured with;
it checks every package against the archive's signature.

    python -m edgeskin.benchmarks.emulation.debian SUITE FOLDER PACKAGE...
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from edgeskin.errors import NotSupportedHere

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TIMEOUT_S = 600


def unpack(
    suite: str,
    packages: Sequence[str],
    folder: Path,
    *,
    architecture: str | None = None,
    only: Sequence[str] = (),
    alone: bool = False,
) -> None:
    """Packages of a Debian suite and all they depend on, unpacked into `folder`.

    Args:
        suite: "bookworm", "trixie", "sid".
        packages: Names; NAME- leaves a dependency out.
        folder: Made; `bin`, `sbin`, `lib` and `lib64` in it are links into `usr`.
        architecture: Debian's name ("arm64"); without it, this system's.
        only: Names of files, such as "usr/bin/sed"; without any, all.
        alone: Without what they depend on.

    Raises:
        NotSupportedHere: This system has no apt, or apt no Debian mirror; or the
            download failed, with apt's last line.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise NotSupportedHere(f"no {tool} here: the emulated devices need a Debian system")
    apt = _apt(suite, architecture or _run(["dpkg", "--print-architecture"]).strip())
    with tempfile.TemporaryDirectory(prefix="edgeskin-packages-") as archives:
        Path(archives, "partial").mkdir()
        place = ["-o", f"Dir::Cache::Archives={archives}"]
        how = ["download"] if alone else ["-y", "--download-only", "install"]
        command = ["apt-get", *place, "-qq", *how, *packages]
        _run(command, {**os.environ, "APT_CONFIG": str(apt)}, archives if alone else None)
        for name in ("bin", "sbin", "lib", "lib64"):
            (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(f"usr/{name}")
        members = [f"./{name}" for name in only]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in [
                pool.submit(_extract, package, folder, members)
                for package in Path(archives).glob("*.deb")
            ]:
                done.result()


@cache
def _apt(suite: str, architecture: str) -> Path:
    """Configuration of an apt that knows one suite, its index fetched once in this process."""
    state = tempfile.TemporaryDirectory(prefix="edgeskin-apt-")
    _states.append(state)
    scratch = Path(state.name)
    (scratch / "lists/partial").mkdir(parents=True)
    (scratch / "status").touch()
    (scratch / "sources.list").write_text(
        f"deb [arch={architecture} signed-by={_KEYS}] {_mirror()} {suite} main\n"
    )
    settings = {
        "Dir::Etc::SourceList": scratch / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": scratch,
        "Dir::State::Lists": scratch / "lists",
        "Dir::State::Status": scratch / "status",
        "Dir::Cache": scratch,
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    text = "".join(f'{key} "{value}";\n' for key, value in settings.items())
    (scratch / "apt.conf").write_text(text)
    _run(["apt-get", "-qq", "update"], {**os.environ, "APT_CONFIG": str(scratch / "apt.conf")})
    return scratch / "apt.conf"


_states: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def _mirror() -> str:
    """The Debian mirror that this system's apt uses."""
    form = ["--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    listed = _run(["apt-get", "indextargets", *form])
    for line in listed.splitlines():
        origin, _, address = line.partition(" ")
        if origin == "Debian" and "security" not in address:
            return address
    raise NotSupportedHere("apt has no Debian mirror here (apt-get update may help)")


def _extract(package: Path, folder: Path, members: Sequence[str]) -> None:
    options = ["-x", "-C", str(folder), "--no-same-owner", "--keep-directory-symlink"]
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
    ) as archive:
        command = ["tar", *options, *members]
        subprocess.run(command, stdin=archive.stdout, check=True, timeout=_TIMEOUT_S)


def _run(
    command: Sequence[str], environment: dict[str, str] | None = None, folder: str | None = None
) -> str:
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise NotSupportedHere(f"{' '.join(command[:4])} failed: {lines[-1]}")
    return done.stdout


if __name__ == "__main__":
    unpack(sys.argv[1], sys.argv[3:], Path(sys.argv[2]))
