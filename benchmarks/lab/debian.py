"""Debian packages unpacked beside this system, without touching it.

apt does the work, with a state of its own and the mirror it is configured with;
it checks every package against the archive's signature.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgeskin.errors import NotSupportedHere

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TIMEOUT_S = 600


def unpack(
    suite: str, packages: Sequence[str], folder: Path, *, architecture: str | None = None
) -> None:
    """Packages of a Debian suite and all they depend on, unpacked into `folder`.

    Args:
        suite: "bookworm", "trixie".
        packages: Names; NAME- leaves a dependency out.
        folder: Made; `bin`, `sbin` and `lib` in it are links into `usr`.
        architecture: Debian's name ("arm64"); without it, this system's.

    Raises:
        NotSupportedHere: This system has no apt, or apt no Debian mirror; or the
            download failed, with apt's last line.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise NotSupportedHere(f"no {tool} here: the emulated devices need a Debian system")
    with tempfile.TemporaryDirectory(prefix="edgeskin-apt-") as scratch:
        architecture = architecture or _run(["dpkg", "--print-architecture"]).strip()
        environment = _private_apt(Path(scratch), suite, architecture)
        _run(["apt-get", "-qq", "update"], environment)
        _run(["apt-get", "-qq", "-y", "--download-only", "install", *packages], environment)
        for name in ("bin", "sbin", "lib"):
            (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(f"usr/{name}")
        for package in sorted(Path(scratch, "archives").glob("*.deb")):
            _extract(package, folder)


def _private_apt(scratch: Path, suite: str, architecture: str) -> dict[str, str]:
    """Configuration of an apt that knows one suite and holds its state in `scratch`."""
    for name in ("lists/partial", "archives/partial"):
        (scratch / name).mkdir(parents=True)
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
        "Dir::Cache::Archives": scratch / "archives",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    text = "".join(f'{key} "{value}";\n' for key, value in settings.items())
    (scratch / "apt.conf").write_text(text)
    return {**os.environ, "APT_CONFIG": str(scratch / "apt.conf")}


def _mirror() -> str:
    """The Debian mirror that this system's apt uses."""
    form = ["--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    listed = _run(["apt-get", "indextargets", *form])
    for line in listed.splitlines():
        origin, _, address = line.partition(" ")
        if origin == "Debian" and "security" not in address:
            return address
    raise NotSupportedHere("apt has no Debian mirror here (apt-get update may help)")


def _extract(package: Path, folder: Path) -> None:
    options = ["-x", "-C", str(folder), "--no-same-owner", "--keep-directory-symlink"]
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
    ) as archive:
        subprocess.run(["tar", *options], stdin=archive.stdout, check=True, timeout=_TIMEOUT_S)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise NotSupportedHere(f"{' '.join(command[:4])} failed: {lines[-1]}")
    return done.stdout
