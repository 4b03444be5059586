"""The steps of one artifact on one device: each is one run of the runner.

What a step says is kept as it arrives. A finished step is not repeated; one that went on while
nobody listened is read from the device's log.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks import accuracy
from edgeskin.benchmarks.devices.device import Device, Job, collect, follow
from edgeskin.benchmarks.protocol import Protocol
from edgeskin.benchmarks.runner.events import Event, Events
from edgeskin.benchmarks.setup import Setup, environment
from edgeskin.benchmarks.summarize import onnx_operators
from edgeskin.errors import DeviceError, RunFailed
from edgeskin.files import inside, write_json
from edgeskin.progress import Progress

_SIDE_BY_SIDE = 4
"""Images of a step where several run at once: few enough to lose little, where one breaks off."""


class Piece(NamedTuple):
    """Images of a shard, by their numbers in the pack."""

    shard: int
    images: Sequence[int]


class Steps:
    """Runs what is asked of one artifact on one device.

    Args:
        parts: A folder for what was said and computed so far.
        sensors: The folder that holds sys/ and proc/ on the device.
    """

    def __init__(
        self, setup: Setup, device: Device, parts: Path, sensors: str, progress: Progress
    ) -> None:
        self._setup, self._device, self._parts, self._progress = setup, device, parts, progress
        self._sensors = sensors
        self._what = f"{device.name}, {setup.artifact.name}"
        self._images: list[int] = []
        self._answers: list[Event] = []  # of each of the images
        self._done = 0
        self._sent: set[str] = set()
        self._sending = threading.Lock()
        self.events = Events()

    def every_image(self) -> dict[str, NDArray[Any]]:
        """The decoded outputs of the whole pack; `events` is what the last step said."""
        outputs = []
        for piece, (events, kept) in self._all_of(list(self._pieces())):
            self.events = events
            self._answers += events.named("answer")
            self._images += piece.images
            tensors = events.one("tensors")["outputs"]
            outputs.append(accuracy.read_outputs(kept.read_bytes(), tensors, self._setup.metadata))
        return {n: np.concatenate([o[n] for o in outputs]) for n in outputs[0]}

    def _all_of(self, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, tuple[Events, Path]]]:
        if self._device.link.at_once == 1:
            yield from zip(pieces, map(self._piece, pieces), strict=True)
            return
        pool = ThreadPoolExecutor(self._device.link.at_once)
        try:
            yield from zip(pieces, pool.map(self._piece, pieces), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)

    def _pieces(self) -> Iterator[Piece]:
        """Shards; where some run side by side, parts of them."""
        pack = self._setup.pack
        for shard in range(len(pack.shards)):
            images = pack.members(shard)
            size = len(images) if self._device.link.at_once == 1 else _SIDE_BY_SIDE
            yield from (Piece(shard, images[i : i + size]) for i in range(0, len(images), size))

    def _piece(self, piece: Piece) -> tuple[Events, Path]:
        known = self._setup.digest(self._setup.request(piece.shard, piece.images))
        outputs = f"outputs-{known}.bin"  # of nothing else that ran in the same folder
        text = self._setup.request(piece.shard, piece.images, outputs=outputs)
        kept = self._parts / f"{self._setup.digest(text)}-{outputs}"
        return self._step(text, piece.shard, kept, outputs), kept

    def latency(self, protocol: Protocol) -> Events:
        images = self._setup.pack.members(0)
        text = self._setup.request(0, images, protocol=protocol, sensors=self._sensors)
        events = self._step(text, 0)
        for profile in events.named("profile"):
            if "file" in profile:  # ONNX Runtime writes its own
                kept = self._local(profile["file"])
                if not kept.exists():
                    collect(self._device, profile["file"], kept, self._progress)
                profile["operators"] = onnx_operators(json.loads(kept.read_bytes()))
        return events

    def _local(self, name: str) -> Path:
        """Where a file that the device names is kept; a device chooses no place of this machine."""
        try:
            return inside(self._parts, name)
        except ValueError as error:
            raise RunFailed(f"{self._what}: {error}") from error

    def bit_equal_inputs(self) -> float:
        """The share of all images that the device preprocessed to our very bytes."""
        pack, io = self._setup.pack, self._setup.metadata.io
        tensor = self.events.one("tensors")["input"]
        return accuracy.bit_equal_inputs(pack, self._images, self._answers, tensor, io)

    def _step(self, text: str, shard: int, kept: Path | None = None, outputs: str = "") -> Events:
        """Run one request, or take what is known of it already; `outputs` are fetched to `kept`."""
        name = self._setup.digest(text)
        log = self._parts / f"{name}.jsonl"
        if log.exists() and (kept is None or kept.exists()):
            events = Events.of(log.read_text(encoding="utf-8", errors="replace").splitlines())
            if events.ended_well:
                self._done += len(events.named("answer"))
                return events
        events = self._taken_up(name, log) or self._run(name, text, shard, log)
        events.check_ended(self._device)
        if kept is not None:
            collect(self._device, outputs, kept, self._progress)
        return events

    def _run(self, name: str, text: str, shard: int, log: Path) -> Events:
        self._push(name, text, shard)
        job = self._device.start(
            self._setup.command(f"{name}.request"),
            env=environment(self._setup.engine),
            log=f"{name}.jsonl",
        )
        write_json(self._note(name), asdict(job))
        return self._listen(job, log)

    def _taken_up(self, name: str, log: Path) -> Events | None:
        """What a job said that was started before the link dropped; None unless it did well."""
        if not self._note(name).exists():
            return None
        job = Job(**json.loads(self._note(name).read_text()))
        try:
            events = self._listen(job, log)
        except DeviceError:  # its log is gone: the device was cleaned since
            return None
        return events if events.ended_well else None

    def _note(self, name: str) -> Path:
        return self._parts / f"{name}.job.json"

    def _push(self, step: str, text: str, shard: int) -> None:
        pack, request_file = self._setup.pack, self._parts / f"{step}.request"
        request_file.write_text(text, encoding="utf-8")
        spec = self._parts / "spec.json"
        images = pack.folder / pack.shards[shard]
        wanted = {**self._setup.files, images.name: images, "spec.json": spec}
        wanted[request_file.name] = request_file
        with self._sending:
            spec.write_text(pack.spec.to_json(), encoding="utf-8")
            self._device.push_all(
                {name: path for name, path in wanted.items() if name not in self._sent},
                self._progress,
            )
            self._sent.update(wanted)

    def _listen(self, job: Job, log: Path) -> Events:
        events, images = Events(), len(self._setup.pack)
        with log.open("w", encoding="utf-8", errors="replace") as kept:
            for line in follow(self._device, job):
                kept.write(line)
                event = events.add(line)
                if event is not None and event["event"] == "answer":
                    self._done += 1
                    self._progress(f"{self._what}, images", min(self._done, images), images)
        return events
