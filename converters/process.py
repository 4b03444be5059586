"""A worker process as its parent sees it: started, watched, and ended with all its children."""

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


class Process:
    """One request to a worker. Its output goes to `log`, which success removes."""

    command = (sys.executable, "-P", "-m", "edgeskin.converters.worker")

    def __init__(self, request: Request, *, log: Path, timeout_s: float):
        self.request = request
        self.log = log
        self.timeout_s = timeout_s
        self.name = Path(request.path).name
        self._popen: subprocess.Popen[bytes] | None = None
        self._answer: Conversion | None = None
        self._has_failed = False

    def start(self) -> None:
        threads = str(self.request.threads)
        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": threads},
                start_new_session=True,
            )
        self._started = time.monotonic()
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):  # it is dead already, which finished() reports
            self._popen.stdin.write(self.request.to_line())
            self._popen.stdin.flush()

    def finished(self) -> bool:
        """Whether the worker is done.

        Raises:
            ConversionFailed: It crashed, took longer than `timeout_s`, or failed.
            EdgeskinError: What the worker itself refused, as it said it.
        """
        assert self._popen is not None, "the worker was not started"
        code = self._popen.poll()
        elapsed = time.monotonic() - self._started
        if code is None and elapsed < self.timeout_s:
            return False
        end(self._popen)
        if code is None:
            raise self._failed(
                f"took longer than {self.timeout_s:g} s and was ended. Raise --timeout if the "
                "model is large."
            )
        self._take(code, elapsed)
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
        """End it, whatever it is doing; only a failure's log is worth keeping."""
        if self._popen is not None:
            end(self._popen)
        if not self._has_failed:
            self.log.unlink(missing_ok=True)

    def _read_answer(self, code: int) -> Conversion:
        path = Path(self.request.answer)
        if code < 0:
            raise self._failed(f"crashed with {signal.Signals(-code).name}.")
        if code in (errno.ENOSPC, errno.EDQUOT):
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
