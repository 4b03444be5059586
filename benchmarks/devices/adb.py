"""`adb:SERIAL`: an Android phone, through this system's own adb."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from edgeskin.benchmarks.devices.device import Link
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.errors import (
    DeviceDenied,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    MissingPackage,
    UnknownName,
)

_SERVER_S = 15.0
_STATES = {
    "unauthorized": "this computer is not authorised: unlock the phone and allow USB debugging",
    "offline": "it is offline: plug it in again, or restart it",
    "no permissions": "this account may not open its USB device: see adb's udev rules",
    "recovery": "it is in recovery mode: start Android on it",
    "sideload": "it is in sideload mode: start Android on it",
    "bootloader": "it is in its boot loader: start Android on it",
}


class AdbLink(Link):
    """Commands run as Android's `shell` user.

    Args:
        serial: As `adb devices` lists it; HOST:PORT for a phone on the network.

    Raises:
        UnknownName: `serial` is not of that form.
        MissingPackage: There is no adb on this machine.
    """

    work = "/data/local/tmp/edgeskin"

    def __init__(self, serial: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.:()\[\]-]*", serial):
            raise UnknownName(f"adb:{serial}: write adb:SERIAL as `adb devices` lists it")
        self.serial, self.name, self.adb = serial, f"adb:{serial}", adb()

    def command(self, argv: Sequence[str]) -> list[str]:
        """adb hands one line to the shell there: every argument is quoted for it.

        A phone on the network is connected to, if adb has lost it; one on a cable
        comes back by itself.
        """
        if ":" in self.serial:
            server("connect", self.serial)
        return [self.adb, "-s", self.serial, "shell", "-T", shlex.join(argv)]

    def refusal(self, stderr: str) -> DeviceError | None:
        for state, advice in _STATES.items():
            if state in stderr:
                denied = state in ("unauthorized", "no permissions")
                return (DeviceDenied if denied else DeviceLost)(f"{self.name}: {advice}")
        if "not found" in stderr:
            return DeviceLost(f"{self.name}: adb does not see it. Plug it in; see adb devices.")
        return None

    def launch(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def describe(self, facts: Facts) -> Facts:
        return facts

    def reset(self) -> None:
        if ":" in self.serial:
            with suppress(DeviceTimeout):
                server("disconnect", self.serial)

    def close(self) -> None:
        """The connection is adb's server's, and stays."""


def adb() -> str:
    """The program.

    Raises:
        MissingPackage: It is not installed.
    """
    if (found := shutil.which("adb")) is None:
        raise MissingPackage("adb is not installed: apt install adb, or Android's platform-tools")
    return found


def server(*arguments: str) -> str:
    """What adb's server on this machine answers; it is started when needed.

    Raises:
        DeviceTimeout: It does not answer.
    """
    command = [adb(), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SERVER_S)
    except subprocess.TimeoutExpired as error:
        raise DeviceTimeout(
            f"adb {arguments[0]}: no answer for {_SERVER_S:g} s. Try: adb kill-server"
        ) from error
    return done.stdout


def listed() -> dict[str, str]:
    """Serial number and state of every phone that adb sees ("device" is the good state)."""
    lines = server("devices").splitlines()[1:]
    return {serial: state for serial, _, state in (line.partition("\t") for line in lines) if state}
