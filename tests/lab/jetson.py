"""The lab's ssh host: Debian's aarch64 OpenSSH server, one account, keys made for the occasion."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeskin.benchmarks.devices import Device, Patience, open_device
from lab.box import PATIENT, Box, Plan, free_port
from lab.roots import jetson_root

_SSHD = """Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/lab_host_key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowUsers jetson
SetEnv {settings}
UseDNS no
"""
_CLIENT = """Host *
  IdentityFile {keys}/account
  IdentitiesOnly yes
  UserKnownHostsFile {keys}/known_hosts
  GlobalKnownHostsFile none
"""


@dataclass(frozen=True)
class Jetson:
    """An ssh host that is up.

    Attributes:
        name: Its device name, "ssh:jetson@127.0.0.1:PORT".
        config: ssh's configuration file that holds its key and ours.
        known_hosts: That of `config`.
    """

    box: Box
    name: str
    config: Path
    known_hosts: Path

    def open(self, patience: Patience = PATIENT) -> Device:
        return open_device(self.name, ssh_config=self.config, patience=patience)


@contextmanager
def jetson(
    cpu: str = "cortex-a76", disk_mib: int = 512, environment: Mapping[str, str] | None = None
) -> Iterator[Jetson]:
    """Bring one up on loopback; needs `arm64_programs`. `environment` is that of its sessions."""
    with tempfile.TemporaryDirectory(prefix="edgeskin-keys-") as folder:
        keys, port = Path(folder), free_port()
        config, known_hosts = keys / "config", keys / "known_hosts"
        config.write_text(_CLIENT.format(keys=keys))
        known_hosts.write_text(f"[127.0.0.1]:{port} {_key(keys / 'host')}")
        settings = " ".join(
            f"{key}={value}" for key, value in {"QEMU_CPU": cpu, **(environment or {})}.items()
        )
        plan = Plan(
            root=jetson_root(),
            daemon=("/usr/sbin/sshd", "-D", "-e"),
            environment={"QEMU_CPU": cpu, "PATH": "/usr/sbin:/usr/bin"},
            port=port,
            files={
                "etc/ssh/sshd_config": (_SSHD.format(port=port, settings=settings), 0o644, 0),
                "etc/ssh/lab_host_key": ((keys / "host").read_text(), 0o600, 0),
                "home/jetson/.profile": ("", 0o644, 1000),
                "home/jetson/.ssh/authorized_keys": (_key(keys / "account"), 0o644, 0),
            },
            disk_mib=disk_mib,
        )
        with Box(plan) as box:
            yield Jetson(box, f"ssh:jetson@127.0.0.1:{port}", config, known_hosts)


def _key(path: Path) -> str:
    """Make a key pair; the public half, a line."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)]
    subprocess.run(command, check=True, timeout=30)
    return path.with_suffix(".pub").read_text()
