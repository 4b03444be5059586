"""A device of the lab: processes, disk and daemon of its own, which can be stopped and frozen."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from edgeskin.benchmarks.devices import Patience
from edgeskin.errors import NotSupportedHere

PATIENT = Patience(answer_s=60.0, stall_s=60.0, silence_s=2.0)
"""Emulated devices on a busy machine are slow, and nothing is wrong with them."""

_UP_S = 60.0
_UNSHARE = [
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=KILL",
    "--propagation",
    "private",
]


@dataclass(frozen=True)
class Plan:
    """What a box is made of.

    Attributes:
        root: Its files; they stay as they are (changes go to a disk in memory).
        daemon: Program and arguments of what answers on `port`, inside `root`.
        user: Whom the daemon runs as (group of the same number).
        files: Name: (text, mode, owner) of what is written before it starts.
        disk_mib: Size of the disk.
    """

    root: Path
    daemon: Sequence[str]
    environment: Mapping[str, str]
    port: int
    user: int = 0
    files: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    disk_mib: int = 512


class Box:
    """A running device. Use as a context manager; nothing of it outlives the block, nor us."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.daemon_name = Path(plan.daemon[0]).name
        self.scratch = Path(tempfile.mkdtemp(prefix="edgeskin-box-"))
        self.log = self.scratch / "daemon.log"
        disk = self.scratch / "disk"
        disk.mkdir()
        inside = {
            "root": str(plan.root),
            "scratch": str(disk),
            "daemon": list(plan.daemon),
            "environment": dict(plan.environment),
            "user": plan.user,
            "files": dict(plan.files),
            "disk_mib": plan.disk_mib,
        }
        init = str(Path(__file__).with_name("init.py"))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*_UNSHARE, sys.executable, "-I", init, json.dumps(inside)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Box:
        try:
            self._answer()
            self.start()
        except BaseException:
            self.off()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.off()

    def start(self) -> None:
        """Start the daemon and wait until it listens."""
        self._order(do="start")
        deadline = time.monotonic() + _UP_S
        while not _listens(self.plan.port):
            if time.monotonic() > deadline:
                raise NotSupportedHere(f"{self.daemon_name} did not come up: {self._said()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill the daemon and its children of the same name; what else runs goes on."""
        self.signal(self.daemon_name, signal.SIGKILL)

    def freeze(self) -> None:
        self.signal(self.daemon_name, signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(self.daemon_name, signal.SIGCONT)

    def mend(self) -> None:
        """Undo what was done to it: the daemon runs, the disk has room."""
        self.thaw()
        if not _listens(self.plan.port):
            self.start()
        self.resize_disk(self.plan.disk_mib)

    def signal(self, name: str, number: int) -> list[int]:
        """Send a signal to every process of that name inside; their ids there."""
        pids: list[int] = self._order(do="signal", name=name, signal=int(number))["pids"]
        return pids

    def write(self, name: str, text: str, mode: int = 0o644, user: int = 0) -> None:
        """Write a file inside, such as a thermal zone's."""
        self._order(do="write", name=name, text=text, mode=mode, user=user)

    def remove(self, name: str) -> None:
        """Remove a file or folder inside."""
        self._order(do="remove", name=name)

    def resize_disk(self, mib: int) -> None:
        options = f"remount,size={mib}m"
        command = ["mount", "-o", options, str(self.scratch / "disk")]
        self._order(do="run", command=command)

    def used_disk_kib(self) -> int:
        command = ["du", "-sk", str(self.scratch / "disk/upper")]
        return int(self._order(do="run", command=command)["output"].split()[0])

    def off(self) -> None:
        """End everything in it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _order(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise NotSupportedHere(f"a device of the lab did not come up: {self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _said(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
