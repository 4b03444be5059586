"""`ssh:USER@HOST[:PORT]`: a Linux board, through this system's own OpenSSH client.

Its configuration, keys, agent and jump hosts are those of `ssh` on the command
line; a host whose key is not known, or has changed, is refused. One connection
carries all commands (ControlMaster).
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edgeskin.benchmarks.devices.device import Link
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.errors import (
    DeviceDenied,
    DeviceError,
    DeviceLost,
    HostKeyMismatch,
    MissingPackage,
    UnknownName,
)

_NAME = re.compile(
    r"(?:(?P<user>[A-Za-z_][\w.-]*)@)?(?P<host>[A-Za-z0-9][\w.-]*|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d{1,5}))?"
)
_OPTIONS = {
    "BatchMode": "yes",  # a question would wait for ever
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ControlMaster": "auto",
    "ControlPersist": "30",  # ends by itself if we cannot end it
    "LogLevel": "ERROR",
}


class SshLink(Link):
    """Commands run in the account's home folder on the host.

    Args:
        target: USER@HOST:PORT; without a user or port, what ssh's configuration says.
        config: Another configuration file than `~/.ssh/config` (`ssh -F`).

    Raises:
        UnknownName: `target` is not of that form.
        MissingPackage: There is no ssh on this machine.
    """

    work = ".edgeskin"

    def __init__(self, target: str, config: Path | None = None) -> None:
        if (found := _NAME.fullmatch(target)) is None:
            raise UnknownName(f"ssh:{target}: write ssh:USER@HOST or ssh:USER@HOST:PORT")
        if (ssh := shutil.which("ssh")) is None:
            raise MissingPackage("ssh is not installed: apt install openssh-client")
        self.name = f"ssh:{target}"
        self.sockets = tempfile.TemporaryDirectory(prefix="edgeskin-ssh-")
        self.ssh = [ssh, *(["-F", str(config)] if config else [])]
        self.ssh += ["-o", f"ControlPath={self.sockets.name}/%C"]
        self.ssh += [part for pair in _OPTIONS.items() for part in ("-o", "=".join(pair))]
        self.ssh += ["-T", *(["-p", found["port"]] if found["port"] else [])]
        host = found["host"].strip("[]")
        self.target = f"{found['user']}@{host}" if found["user"] else host

    def command(self, argv: Sequence[str]) -> list[str]:
        """ssh hands one line to the account's shell there: every argument is quoted for it."""
        return [*self.ssh, "--", self.target, shlex.join(argv)]

    def refusal(self, stderr: str) -> DeviceError | None:
        line = " ".join(stderr.strip().rpartition("\n")[2].split())
        if "IDENTIFICATION HAS CHANGED" in stderr:
            return HostKeyMismatch(
                f"{self.name}: its host key is not the known one. Either it was set up anew or "
                "somebody is in between. Compare the fingerprint, then: ssh-keygen -R HOST"
            )
        if "Host key verification failed" in stderr:
            return HostKeyMismatch(
                f"{self.name}: its host key is not known here yet. Connect once by hand "
                f"(ssh {self.target}) and compare the fingerprint."
            )
        if "Permission denied (" in stderr:
            return DeviceDenied(
                f"{self.name}: it accepts none of our keys. Try: ssh-copy-id {self.target}"
            )
        if re.search("ssh: |connect to|kex_exchange|onnection (closed|reset|timed out)", stderr):
            return DeviceLost(f"{self.name}: {line or 'no connection'}")
        return None

    def launch(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def describe(self, facts: Facts) -> Facts:
        return facts

    def reset(self) -> None:
        """End the shared connection; it answers on a local socket, whatever the host does."""
        end = [*self.ssh, "-O", "exit", "--", self.target]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(end, capture_output=True, timeout=5)

    def close(self) -> None:
        self.reset()
        self.sockets.cleanup()
