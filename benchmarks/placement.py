"""What an accelerator takes of a file, by its maker's own compiler; nothing is run."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from edgeskin.benchmarks.devices.device import Device, follow
from edgeskin.benchmarks.devices.simulated import SimulatedLink
from edgeskin.benchmarks.result import Assigned
from edgeskin.benchmarks.runner.events import Events
from edgeskin.benchmarks.runner.request import load_request
from edgeskin.benchmarks.setup import Choice, command, engine_for, environment, prepared
from edgeskin.benchmarks.summarize import assigned
from edgeskin.errors import RunFailed
from edgeskin.progress import Progress, silent

_REQUEST, _LOG = "load.request", "load.jsonl"
_LONGEST_S = 900.0


def place(artifact: Path, what: str, progress: Progress = silent) -> Assigned:
    """Compile a file for a simulated accelerator, in 15 minutes at most.

    Args:
        what: As in `simulated:WHAT`.

    Raises:
        UnknownName, NotSupportedHere, MissingPackage, CannotFetch: There is no such simulator
            here, or it takes no files of this type.
        RunFailed: It refuses the file; the message says why.
        DeviceError: This machine could not do it: its disk is full, for instance.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        Device(SimulatedLink(what, Path(folder) / "work", progress)) as device,
    ):
        limit = threading.Timer(_LONGEST_S, device.interrupt)
        limit.start()
        try:
            return _placed(artifact, device, Path(folder), progress)
        finally:
            limit.cancel()
            device.interrupt()


def _placed(artifact: Path, device: Device, folder: Path, progress: Progress) -> Assigned:
    facts, request = device.probe(), folder / _REQUEST
    model = prepared(artifact, facts, folder)
    engine, pushed = engine_for(model, facts, Choice())
    request.write_text(load_request(engine, model.name), encoding="utf-8")
    device.push_all({**pushed, model.name: model, _REQUEST: request}, progress)
    argv, events = command(pushed, _REQUEST), Events()
    for line in follow(device, device.start(argv, env=environment(engine), log=_LOG)):
        events.add(line)
    if (found := assigned(events)) is not None:
        return found  # what it did then, and failed at, is no matter of placement
    events.check_ended(device)
    raise RunFailed(f"{device.name} does not say what it took: {events.last_words()}")
