"""Sessions on a simulator: tensors in and out, where the device runner takes the images of a pack.

For what is measured inside a file: its parts, each on values that the reference computed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Self, cast

from numpy.typing import NDArray

from edgeskin.benchmarks.devices.simulated import SIMULATORS, check_machine, find_simulator
from edgeskin.benchmarks.devices.simulator_process import Close, Open, Opened, Refused, Request, Run
from edgeskin.destinations import DESTINATIONS
from edgeskin.errors import NotSupportedHere, ProgramCrashed, RunFailed, from_document
from edgeskin.formats import format_of
from edgeskin.measured import computes_in_half
from edgeskin.processes import end
from edgeskin.runtimes import BaseSession, Session
from edgeskin.snapdragon.sdk import own_sdk, search_path

_LONGEST_S = 900.0
_MODULE = "edgeskin.benchmarks.devices.simulator_process"


class SimulatedSessions:
    """Opens files, and parts of them, on a simulator in another process; a context manager.

    Attributes:
        simulated: What is simulated, as results of `bench` say it: "htp:SM8750".
        title: The same for a person, and by whose software.
        in_half: It computes float32 in float16.
        starts: How often its process was started.
    """

    def __init__(self, device: str) -> None:
        """Find the simulator; nothing is started before the first file.

        Args:
            device: "simulated:htp:SM8750".

        Raises:
            UnknownName: No simulator, or no variant of it, is called so.
            NotSupportedHere: It takes images only, or is not for this system.
            MissingPackage, CannotFetch: Its software is not here.
        """
        kind, _, what = device.partition(":")
        if kind != "simulated":
            raise NotSupportedHere(
                f"{device} takes images, and none of the values inside that layers are measured "
                f"on: --under {' or '.join(SIMULATORS)}, or leave --layers out"
            )
        self._simulator, self._variant = find_simulator(what)
        self.simulated = f"{self._simulator.name}:{self._variant}"
        self.title = self._simulator.title(self._variant)
        self.in_half = computes_in_half(self.simulated)
        check_machine(device)
        self._simulator.options(self._variant)
        self._files = self._simulator.files()
        self._scratch = tempfile.TemporaryDirectory()
        self.starts = 0
        self._child: subprocess.Popen[bytes] | None = None

    def check(self, path: Path) -> None:
        """Raise NotSupportedHere where it takes no files of this type."""
        takers = (d for d in DESTINATIONS.values() if d.simulator == self._simulator.name)
        if not any(taker.takes(format_of(path).name) for taker in takers):
            raise NotSupportedHere(
                f"{path.name}: {self._simulator.name} takes no {format_of(path).title} files"
            )

    def open(self, path: Path) -> Session:
        """A file without metadata or a signature, of which the accelerator takes the whole.

        Raises:
            NotSupportedHere: It takes a part.
            RunFailed: It refuses the file, or its software ended.
        """
        return _SimulatedSession(self, self._simulator.cut(path, self._variant, self._folder))

    def ask(self, request: Request) -> object:
        """What the simulator's process answers.

        Raises:
            RunFailed: Nothing in 15 minutes, or it ended; it starts anew with the next request.
            EdgeskinError: What it refused.
        """
        child = self._child = self._child or self._start()
        try:
            self._pipe.send(request)
            if not self._pipe.poll(_LONGEST_S):
                self._forget(child)
                raise RunFailed(f"{self.title} had not answered after {_LONGEST_S:.0f} s")
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            code = child.wait()
            self._forget(child)
            raise self._ended(code) from error
        if isinstance(answer, Refused):
            raise from_document(answer.document)
        return answer

    def close(self) -> None:
        """End the process and everything that it opened."""
        if self._child is not None:
            self._forget(self._child)
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_up(self) -> bool:
        """Whether its process runs, as far as is known."""
        return self._child is not None

    @property
    def _folder(self) -> Path:
        return Path(self._scratch.name)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _start(self) -> subprocess.Popen[bytes]:
        self._pipe, theirs = Pipe()
        self.starts += 1
        arguments = [self._simulator.name, self._variant, str(theirs.fileno())]
        with theirs, self._log.open("wb") as log:  # only the child holds that end
            return subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment()},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def _forget(self, child: subprocess.Popen[bytes]) -> None:
        """End a process; what it had open is opened again when it is next run."""
        end(child)
        self._pipe.close()
        self._child = None

    def _environment(self) -> Mapping[str, str]:
        """The simulator's variables; the files that they name lie where they are installed."""
        at = {f"./{name}": path for name, path in self._files.items()}
        named = {key: at[value] for key, value in self._simulator.environment.items()}
        variables = {key: str(path) for key, path in named.items()}
        for path in named.values():
            variables |= search_path(path.parent)
        if self._simulator.name == "htp" and (sdk := own_sdk()):
            variables |= search_path(sdk.libraries)
        return variables

    def _ended(self, code: int) -> RunFailed:
        if code < 0:
            return ProgramCrashed(f"{self.title} crashed with {signal.Signals(-code).name}")
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return RunFailed(f"{self.title} ended: {lines[-1] if lines else f'exit code {code}'}")


class _SimulatedSession(BaseSession):
    """A file that the simulator's process has open, or opens again after another file ended it."""

    native = False

    def __init__(self, simulator: SimulatedSessions, path: Path) -> None:
        super().__init__()
        self._simulator, self._path = simulator, path
        opened = self._open_there()
        self.inputs, self.outputs = opened.inputs, opened.outputs
        self.runtime = f"{opened.runtime} on simulated:{simulator.simulated}"

    def _open_there(self) -> Opened:
        opened = cast(Opened, self._simulator.ask(Open(self._path)))
        self._number, self._start = opened.number, self._simulator.starts
        return opened

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self._start != self._simulator.starts or not self._simulator.is_up:
            self._open_there()
        return cast(dict[str, NDArray[Any]], self._simulator.ask(Run(self._number, feeds)))

    def _close(self) -> None:
        if self._start == self._simulator.starts and self._simulator.is_up:
            with suppress(RunFailed):  # its process has ended, and the file with it
                self._simulator.ask(Close(self._number))
