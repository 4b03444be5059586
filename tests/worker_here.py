"""A conversion in the process of the tests, which has torch and the converters loaded already."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from edgeskin.conversion import Conversion
from edgeskin.converters import worker
from edgeskin.converters.process import Process
from edgeskin.processes import write_answer

WORKER = Process.command


class Here(Process):
    """The real worker's work without the ten seconds that its imports take.

    A command that a test put in the worker's place is a process of its own still.
    """

    common: worker.Common

    def start(self) -> None:
        if self.command != WORKER:
            super().start()
            return
        self.common = self.after.common if isinstance(self.after, Here) else worker.Common()
        self._started = time.monotonic()
        with quietly(self.log):
            try:
                made = write_answer(Path(self.request.answer), self._work)
                self._code = int(not made)
            except OSError as error:
                self._code = error.errno or 1

    def _work(self) -> Conversion:
        return worker.logged(self.request, self.common)

    def finished(self) -> bool:
        if self._popen is not None:
            return super().finished()
        self._take(self._code, time.monotonic() - self._started)
        return True


@contextmanager
def quietly(log: Path) -> Iterator[None]:
    """Whatever Python and native code print goes to `log`; torch is as before in the end."""
    import torch

    threads = torch.get_num_threads()
    saved = [os.dup(number) for number in (1, 2)]
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            with (
                redirect_stdout(file),
                redirect_stderr(file),
                warnings.catch_warnings(),
                torch.random.fork_rng(),
            ):
                warnings.simplefilter("ignore")
                yield
        finally:
            for number, kept in zip((1, 2), saved, strict=True):
                os.dup2(kept, number)
                os.close(kept)
            torch.set_num_threads(threads)
