"""Conversions in worker processes as their parent sees them: started, watched, and ended.

Requests may follow each other in one worker, which saves them its imports, and what their
files have in common. What it says of a file is as in a worker of its own: where one that made
others before ends without an answer, a fresh one is asked again.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from edgeskin.conversion import Conversion
from edgeskin.converters.worker import Request
from edgeskin.errors import CannotWrite, ConversionFailed, EdgeskinError
from edgeskin.files import reason
from edgeskin.processes import end, read_answer

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Process:
    """One request to a worker, whose log success removes.

    Args:
        after: The request whose worker it takes over, if that still lives: it must be done.
    """

    command = (sys.executable, "-P", "-m", "edgeskin.converters.worker")

    def __init__(self, request: Request, *, timeout_s: float, after: Process | None = None):
        self.request = request
        self.log = Path(request.log)
        self.timeout_s = timeout_s
        self.after = after
        self.name = Path(request.path).name
        self._popen: subprocess.Popen[bytes] | None = None
        self._started: float | None = None
        self._answer: Conversion | None = None
        self._has_failed = False
        self._is_followed = False
        if after is not None:
            after._is_followed = True

    def start(self) -> None:
        taken = None if self.after is None else self.after._hand_over()
        self._is_fresh = taken is None
        self._ask(taken or self._worker())

    def _hand_over(self) -> subprocess.Popen[bytes] | None:
        """The worker, for another request; None where it has ended."""
        worker, self._popen = self._popen, None
        return worker if worker is not None and worker.poll() is None else None

    def _worker(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": str(self.request.threads)},
                start_new_session=True,
            )

    def _ask(self, worker: subprocess.Popen[bytes]) -> None:
        self._popen = worker
        self._started = time.monotonic()
        assert worker.stdin is not None
        with suppress(BrokenPipeError):  # it is dead already, which finished() reports
            worker.stdin.write(self.request.to_line())
            worker.stdin.flush()

    def finished(self) -> bool:
        """Whether the worker is done.

        Raises:
            ConversionFailed: It crashed, took longer than `timeout_s`, or failed.
            EdgeskinError: What the worker itself refused, as it said it.
        """
        assert self._popen is not None, "it was not started"
        assert self._started is not None
        code = self._popen.poll()
        elapsed = time.monotonic() - self._started
        answered = Path(self.request.answer).is_file()
        if code is None and not answered and elapsed < self.timeout_s:
            return False
        if not self._is_fresh and not answered and code not in (None, *_FULL):
            end(self._popen)
            self._is_fresh = True
            self._ask(self._worker())
            return False
        is_kept = False
        try:
            if code is None and not answered:
                raise self._failed(
                    f"took longer than {self.timeout_s:g} s and was ended. Raise --timeout if the "
                    "model is large."
                )
            self._take(code or 0, elapsed)
            is_kept = code is None and self._is_followed
        finally:
            if not is_kept:
                self._end()
        return True

    def _take(self, code: int, elapsed: float) -> None:
        answer = self._read_answer(code)
        took = round(elapsed - answer.timing_s, 2)
        self._answer = answer.model_copy(update={"conversion_s": took})
        self.log.unlink(missing_ok=True)

    def answer(self) -> Conversion:
        assert self._answer is not None, "the worker is not done"
        return self._answer

    def kill(self) -> None:
        """End its worker, whatever that is doing; only a failure's log is worth keeping."""
        self._end()
        if self._started is not None and not self._has_failed:
            self.log.unlink(missing_ok=True)

    def _end(self) -> None:
        """End the worker, where there is one still."""
        worker, self._popen = self._popen, None
        if worker is not None:
            end(worker)

    def _read_answer(self, code: int) -> Conversion:
        path = Path(self.request.answer)
        if code < 0:
            raise self._failed(f"crashed with {signal.Signals(-code).name}.")
        if code in _FULL:
            raise CannotWrite(f"cannot write {self.name}: {reason(OSError(code, ''))}")
        if not path.is_file():
            raise self._failed(f"ended with exit code {code} and no answer.")
        try:
            return read_answer(path, Conversion)
        except EdgeskinError as error:
            raise self._refused(error) from None

    def _refused(self, error: EdgeskinError) -> EdgeskinError:
        if isinstance(error, ConversionFailed):
            return self._failed(f"failed: {error}")
        self.log.unlink(missing_ok=True)
        return error

    def _failed(self, what: str) -> ConversionFailed:
        self._has_failed = True
        return ConversionFailed(f"the conversion to {self.name} {what} Its log is {self.log}")
