"""The lab's phones: AOSP's adbd for aarch64 as uid 2000, and an adb server of the lab's own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgeskin.benchmarks.devices import Device, Patience, open_device
from edgeskin.benchmarks.devices.adb import adb, server
from lab.box import PATIENT, Box, Plan, free_port
from lab.roots import APEX, phone_root

_PORT = "ANDROID_ADB_SERVER_PORT"


@dataclass(frozen=True)
class Phone:
    """A phone that is up and connected. `name` is its device name, "adb:127.0.0.1:PORT"."""

    box: Box
    name: str

    def open(self, patience: Patience = PATIENT) -> Device:
        return open_device(self.name, patience=patience)


@contextmanager
def adb_server() -> Iterator[None]:
    """An adb server apart from the user's, which this process's adb talks to meanwhile."""
    before = os.environ.get(_PORT)
    with tempfile.TemporaryDirectory(prefix="edgeskin-adb-") as home:
        os.environ[_PORT] = str(free_port())
        try:
            environment = {**os.environ, "HOME": home, "TMPDIR": home}
            subprocess.run(
                [adb(), "start-server"],
                env=environment,
                check=True,
                capture_output=True,
                timeout=60,
            )
            yield
        finally:
            server("kill-server")
            del os.environ[_PORT]
            if before is not None:
                os.environ[_PORT] = before


@contextmanager
def phone(cpu: str = "cortex-a76", disk_mib: int = 512) -> Iterator[Phone]:
    """Bring one up on loopback; needs `arm64_programs` and `adb_server`."""
    port = free_port()
    plan = Plan(
        root=phone_root(),
        daemon=(f"/{APEX}/bin/adbd",),
        environment={
            "QEMU_CPU": cpu,
            "ADBD_PORT": str(port),
            "LD_PRELOAD": f"/{APEX}/lib/loopback.so",
            "PATH": "/system/bin",
            "HOME": "/",
            "TMPDIR": "/data/local/tmp",
            "SHELL": "/bin/sh",
            "ANDROID_DATA": "/data",
            "ANDROID_ROOT": "/system",
        },
        port=port,
        user=2000,
        disk_mib=disk_mib,
    )
    with Box(plan) as box:
        serial = f"127.0.0.1:{port}"
        server("connect", serial)
        try:
            yield Phone(box, f"adb:{serial}")
        finally:
            server("disconnect", serial)
