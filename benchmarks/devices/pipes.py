"""Commands that talk to a device, with an end in sight: no read or write waits for ever."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, BinaryIO

from edgeskin.errors import DeviceTimeout

_BLOCK = 1 << 16
END = "edgeskin-exit "
"""How the agent's last line on stderr, and the last line of a job's log, begin."""


@dataclass(frozen=True)
class Answer:
    """How a command ended.

    Attributes:
        code: Exit code of the agent there; None if its end marker never came.
        timeout_s: The time that ran out, if one did.
    """

    code: int | None
    stdout: str
    stderr: str
    timeout_s: float | None = None

    @property
    def why(self) -> str:
        """The last line on stderr that is not the end marker, for an error message."""
        lines = [line for line in self.stderr.splitlines() if not line.startswith(END)]
        return " ".join(lines[-1].split()) if lines else ""

    def timeout(self, name: str) -> DeviceTimeout:
        return DeviceTimeout(
            f"{name}: no answer for {self.timeout_s:g} s. It may be asleep, frozen or cut off."
        )


def ask(command: Sequence[str], timeout_s: float) -> Answer:
    """Run a command without input; its whole output, as text."""
    with _running(command, stdin=subprocess.DEVNULL) as (process, errors):
        try:
            stdout = process.communicate(timeout=timeout_s)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            return _ended(process, errors, timeout_s=timeout_s)
        return _ended(process, errors, stdout=stdout)


def feed(
    command: Sequence[str],
    source: BinaryIO,
    stall_s: float,
    answer_s: float,
    progress: Callable[[int], None],
) -> Answer:
    """Run a command with the rest of `source` as its input.

    It has `stall_s` to take each next block, and `answer_s` to end after the last.
    """
    with _running(command, stdin=subprocess.PIPE) as (process, errors):
        assert process.stdin is not None
        sent = 0
        try:
            while block := source.read(_BLOCK):
                for written in _write(process.stdin, block, stall_s):
                    sent += written
                    progress(sent)
        except TimeoutError:
            return _ended(process, errors, timeout_s=stall_s)
        except BrokenPipeError:  # it ended early: its stderr says why
            pass
        try:
            stdout = process.communicate(timeout=answer_s)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            return _ended(process, errors, timeout_s=answer_s)
        return _ended(process, errors, stdout=stdout)


def drain(
    command: Sequence[str], target: BinaryIO, stall_s: float, progress: Callable[[int], None]
) -> Answer:
    """Run a command and write its output to `target`, `stall_s` for each next block."""
    with _running(command, stdin=subprocess.DEVNULL) as (process, errors):
        received = 0
        try:
            for block in _blocks(process.stdout, stall_s):
                if not block:
                    return _ended(process, errors, timeout_s=stall_s)
                target.write(block)
                received += len(block)
                progress(received)
            process.wait(timeout=stall_s)
        except subprocess.TimeoutExpired:
            return _ended(process, errors, timeout_s=stall_s)
        return _ended(process, errors)


def follow_lines(command: Sequence[str], silence_s: float) -> Iterator[str | Answer]:
    """Whole lines of a command's output; "" when none came for `silence_s`; its end at last."""
    with _running(command, stdin=subprocess.PIPE) as (process, errors):
        rest = b""
        for block in _blocks(process.stdout, silence_s):
            if not block:
                yield ""
                continue
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield line.decode(errors="surrogateescape") + "\n"
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=silence_s)
        yield _ended(process, errors)


@contextmanager
def _running(
    command: Sequence[str], stdin: int
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A process and the file of its stderr; the process is ended with the block."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is ours to answer: the link is still needed
        )
        try:
            yield process, errors
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes], grace_s: float = 1.0) -> None:
    """Close its input, which ends what waits for it on the device; then end it by force."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace_s)
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _ended(
    process: subprocess.Popen[bytes],
    errors: IO[bytes],
    *,
    stdout: str = "",
    timeout_s: float | None = None,
) -> Answer:
    if process.poll() is None:
        _end(process, grace_s=0.1)
    errors.seek(0)
    stderr = errors.read().decode(errors="replace")
    marks = [line for line in stderr.splitlines() if line.startswith(END)]
    code = int(marks[-1].removeprefix(END)) if marks and timeout_s is None else None
    return Answer(code, stdout, stderr, timeout_s)


def _write(pipe: IO[bytes], block: bytes, stall_s: float) -> Iterator[int]:
    """Write a block as the reader takes it; gives the bytes of each write."""
    os.set_blocking(pipe.fileno(), False)
    view = memoryview(block)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_WRITE)
        while view:
            if not selector.select(stall_s):
                raise TimeoutError
            written = os.write(pipe.fileno(), view)
            view = view[written:]
            yield written


def _blocks(pipe: IO[bytes] | None, silence_s: float) -> Iterator[bytes]:
    """What comes, as it comes; b"" for every `silence_s` in which nothing does."""
    assert pipe is not None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(silence_s):
                yield b""
            elif block := os.read(pipe.fileno(), _BLOCK):
                yield block
            else:
                return
