"""One device: files to it and back, programs that run there apart from us, and what it is.

Everything is asked of `agent.sh` over a link (this machine, ssh or adb), so the
three kinds of device behave alike. Every call ends within the times of
`Patience`; what fails raises a `DeviceError` whose message is one line.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol
from weakref import WeakSet

from edgeskin.benchmarks.devices.facts import Facts, read_facts
from edgeskin.benchmarks.devices.pipes import END, Answer, ask, drain, feed, follow_lines
from edgeskin.errors import (
    DeviceDenied,
    DeviceError,
    DeviceFull,
    DeviceLost,
    TransferCorrupted,
)
from edgeskin.files import sha256
from edgeskin.progress import Progress, silent

AGENT = resources.files(__package__).joinpath("agent.sh").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds."""

    answer_s: float = 30.0  # for a short command, connecting included; for a hash of what arrived
    stall_s: float = 30.0  # for the next byte of a transfer
    silence_s: float = 10.0  # in a job's log, before asking whether the job is alive


@dataclass(frozen=True)
class Job:
    """A program on a device. `started` (clock ticks since boot) tells it from a reused `pid`."""

    pid: int
    started: str
    log: str


class Link(Protocol):
    """How a command reaches a device: the part in which host, ssh and adb differ."""

    name: str
    work: str
    """edgeskin's own folder there, absolute or relative to where commands start."""
    at_once: int = 1
    """How many programs may run side by side there, where nothing is timed."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """What to run on this machine so that `argv` runs there; its stdin and stdout are raw."""

    def refusal(self, stderr: str) -> DeviceError | None:
        """The link's own failure that `stderr` tells of, when no answer came."""

    def launch(self, argv: Sequence[str]) -> list[str]:
        """`argv` of a program as it must be started there."""

    def describe(self, facts: Facts) -> Facts:
        """`facts` as read there, with what only the link knows."""

    def reset(self) -> None:
        """Forget a connection that died, so that the next command makes a new one."""

    def close(self) -> None:
        """Hang up."""


class Device:
    """A device that is reached over a link. Use as a context manager.

    Remote names are relative to a folder of edgeskin's own on the device, which
    `clean` removes.
    """

    def __init__(self, link: Link, patience: Patience | None = None) -> None:
        self.link = link
        self.name = link.name
        self.patience = patience or Patience()
        self._jobs: list[Job] = []
        self._interrupted = False
        _OPEN.add(self)

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def probe(self) -> Facts:
        """What the device is and how it stands now.

        Raises:
            DeviceError: It does not answer; the message says why.
        """
        return self.link.describe(read_facts(self._ask("facts")))

    def push(self, local: Path, remote: str, progress: Progress = silent) -> None:
        """`push_all` of one file."""
        self.push_all({remote: local}, progress)

    def push_all(self, files: Mapping[str, Path], progress: Progress = silent) -> None:
        """Copy files there, by their names there, going on where an earlier try was cut off.

        A file that is there already, by its SHA-256, is not sent again. Its
        executable bit travels with it.

        Raises:
            DeviceFull, DeviceDenied, DeviceLost: It could not be written there.
            TransferCorrupted: It arrived with another hash twice.
        """
        digests = {checked(remote): sha256(local) for remote, local in files.items()}
        states = self._ask("state", *chain.from_iterable(digests.items())).split()
        pairs = zip(digests.items(), files.values(), states, strict=True)
        for (remote, digest), local, state in pairs:
            if state != "whole":
                self._put(local, remote, digest, int(state), progress)

    def pull(self, remote: str, local: Path, progress: Progress = silent) -> None:
        """Copy a file from there, going on where an earlier try was cut off.

        What has arrived is kept beside `local` as NAME.part.

        Raises:
            DeviceError: It is not there, or the link dropped; call again to go on.
            TransferCorrupted: It arrived with another hash than it has there.
        """
        size, digest = self._ask("digest", checked(remote)).split()
        part = local.with_name(f"{local.name}.{digest[:12]}.part")
        offset = part.stat().st_size if part.exists() else 0
        what = f"{self.name}, pull {remote}"
        with part.open("ab") as file:
            answer = drain(
                self._command("fetch", remote, str(offset)),
                file,
                self.patience.stall_s,
                lambda done: self._report(progress, what, offset + done, int(size)),
            )
        self._check(answer, "fetch")
        if sha256(part) != digest:
            part.unlink()
            raise TransferCorrupted(
                f"{self.name}: {remote} arrived damaged (its SHA-256 is not {digest[:12]}...). "
                "Run the command again."
            )
        part.replace(local)

    def start(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: str) -> Job:
        """Start a program in edgeskin's folder; it goes on when the link drops.

        Args:
            argv: The program and its arguments, passed as they are; no shell reads them.
            env: Environment variables to add.
            log: Where its stdout and stderr go.
        """
        settings = [f"{key}={value}" for key, value in (env or {}).items()]
        answer = self._ask("start", checked(log), "env", *settings, *self.link.launch(argv))
        pid, _, started = answer.strip().partition(" ")  # not started when it has ended already
        self._jobs.append(Job(int(pid), started, log))
        return self._jobs[-1]

    def stream(self, job: Job, offset: int = 0) -> Iterator[str]:
        """Lines of a job's log from a byte offset, with their newlines, until the job has ended.

        The last line is `edgeskin-exit CODE`, unless others killed the job or the disk was
        full. `len(line.encode(errors="surrogateescape"))` is a line's length in bytes.

        Raises:
            DeviceLost: The link dropped; call again with the offset reached.
        """
        command = self._command("follow", job.log, str(offset))
        for line in follow_lines(command, self.patience.silence_s):
            if isinstance(line, Answer):  # the link's end: an error, or nobody said why
                self._check(line, "follow")
                raise self._lost("its log broke off")
            if line:
                offset += len(line.encode(errors="surrogateescape"))
                yield line
                if line.startswith(END):
                    return
            elif not self.alive(job):
                yield from self._rest(job.log, offset)
                return

    def _rest(self, log: str, offset: int) -> list[str]:
        """Lines of a log from a byte offset, as it is now."""
        rest = io.BytesIO()
        command = self._command("fetch", log, str(offset))
        self._check(drain(command, rest, self.patience.stall_s, lambda done: None), "fetch")
        *lines, _ = rest.getvalue().decode(errors="surrogateescape").split("\n")
        return [f"{line}\n" for line in lines]

    def alive(self, job: Job) -> bool:
        """Whether the job still runs."""
        return self._ask("alive", str(job.pid), job.started).strip() == "yes"

    def kill(self, job: Job) -> None:
        """End the job and what it started; another process that has got its id is left alone."""
        self._ask("kill", str(job.pid), job.started, job.log)

    def interrupt(self) -> None:
        """End its jobs; whoever waits for one sees it end, and can ask for nothing more."""
        self._interrupted = True
        for job in self._jobs:
            with suppress(DeviceError):
                self.kill(job)

    def clean(self) -> None:
        """End edgeskin's jobs on the device and remove its folder."""
        self._ask("clean")

    def close(self) -> None:
        """Hang up; jobs go on."""
        _OPEN.discard(self)
        self.link.close()

    def _put(self, local: Path, remote: str, digest: str, arrived: int, progress: Progress) -> None:
        """Send what has not arrived yet; once more, all of it, when it came damaged."""
        mode = "755" if local.stat().st_mode & 0o100 else "644"
        command = self._command("put", remote, digest, str(local.stat().st_size), mode)
        for offset in (arrived, 0):
            if self._append(command, local, offset, progress) == digest:
                return
        raise TransferCorrupted(
            f"{self.name}: {local.name} arrived damaged twice (its SHA-256 is not "
            f"{digest[:12]}...). Check the cable and the device's storage."
        )

    def _append(self, command: Sequence[str], local: Path, offset: int, progress: Progress) -> str:
        """The digest of what has arrived then."""
        total, what = local.stat().st_size, f"{self.name}, push {local.name}"
        with local.open("rb") as file:
            file.seek(offset)
            answer = feed(
                command,
                file,
                self.patience.stall_s,
                self.patience.answer_s,
                lambda done: self._report(progress, what, offset + done, total),
            )
        self._check(answer, "put")
        return answer.stdout.strip()

    def _command(self, verb: str, *arguments: str) -> list[str]:
        if verb != "kill":
            self._check_wanted()
        return self.link.command(["sh", "-c", AGENT, "edgeskin", self.link.work, verb, *arguments])

    def _report(self, progress: Progress, what: str, done: int, total: int) -> None:
        self._check_wanted()
        progress(what, done, total)

    def _check_wanted(self) -> None:
        if self._interrupted:
            raise DeviceError(f"{self.name}: interrupted")

    def _ask(self, verb: str, *arguments: str) -> str:
        answer = ask(self._command(verb, *arguments), self.patience.answer_s)
        self._check(answer, verb)
        return answer.stdout

    def _check(self, answer: Answer, verb: str) -> None:
        """Raise what went wrong there, or on the way."""
        if answer.timeout_s is not None:
            self.link.reset()
            raise answer.timeout(self.name)
        if answer.code is None:
            self.link.reset()
            raise self.link.refusal(answer.stderr) or self._lost(answer.why or "no whole answer")
        if answer.code != 0:
            raise self._failure(answer.why, verb)

    def _lost(self, why: str) -> DeviceLost:
        return DeviceLost(f"{self.name}: the link dropped ({why}). Check the cable or the network.")

    def _failure(self, why: str, verb: str) -> DeviceError:
        if "No space left" in why or "quota exceeded" in why.lower():
            return DeviceFull(f"{self.name}: its disk is full ({why}). Free some space there.")
        if "ermission denied" in why or "Read-only" in why:
            return DeviceDenied(f"{self.name}: {why}. The folder {self.link.work} must be ours.")
        return DeviceError(f"{self.name}: {verb} failed there: {why or 'it gave no reason'}")


_OPEN: WeakSet[Device] = WeakSet()


def interrupt_all() -> None:
    """`Device.interrupt` for every device that is open in this process."""
    for device in list(_OPEN):
        device.interrupt()


def follow(device: Device, job: Job, offset: int = 0, reconnect_s: float = 120.0) -> Iterator[str]:
    """`Device.stream`, connecting anew whenever the link drops, for up to `reconnect_s` each time.

    Raises:
        DeviceLost: The device did not come back in that time. The job may go on
            there; `offset` plus the bytes received is where to follow it again.
    """
    deadline = None
    while True:
        try:
            for line in device.stream(job, offset):
                offset += len(line.encode(errors="surrogateescape"))
                deadline = None
                yield line
            return
        except DeviceLost:
            deadline = deadline or time.monotonic() + reconnect_s
            if time.monotonic() >= deadline:
                raise
            time.sleep(1.0)


def collect(
    device: Device,
    remote: str,
    local: Path,
    progress: Progress = silent,
    reconnect_s: float = 120.0,
) -> None:
    """`Device.pull`, going on whenever the link drops, for up to `reconnect_s` in all.

    Raises:
        DeviceLost: The device did not come back in that time.
    """
    deadline = time.monotonic() + reconnect_s
    while True:
        try:
            device.pull(remote, local, progress)
            return
        except DeviceLost:
            if time.monotonic() >= deadline:
                raise
            time.sleep(1.0)


def checked(name: str) -> str:
    """A remote name, which must stay inside edgeskin's folder there.

    Raises:
        DeviceError: It is absolute, leads out of the folder, or begins with a dash.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name.startswith("-") or not path.name:
        raise DeviceError(f"remote name {name!r}: give a name below edgeskin's folder")
    return str(path)
