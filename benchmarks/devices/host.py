"""`host`: this machine, as a device like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeskin.benchmarks.devices.device import Link
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.errors import DeviceError


class HostLink(Link):
    """Commands run here; files are copied into a folder of edgeskin's own.

    Args:
        work: That folder; made when needed, removed by `Device.clean`.
    """

    name = "host"

    def __init__(self, work: Path) -> None:
        self.work = str(work.absolute())

    def command(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def refusal(self, stderr: str) -> DeviceError | None:
        return None

    def launch(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def describe(self, facts: Facts) -> Facts:
        return facts

    def reset(self) -> None:
        """There is no connection."""

    def close(self) -> None:
        """There is no connection."""
