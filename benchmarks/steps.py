"""The steps of one artifact on one device: each is one run of the runner.

What a step says is kept as it arrives. A finished step is not repeated; one that went on while
nobody listened is read from the device's log.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks import accuracy
from edgeskin.benchmarks.devices.device import Device, Job, collect, follow
from edgeskin.benchmarks.protocol import Protocol
from edgeskin.benchmarks.runner.events import Event, Events
from edgeskin.benchmarks.setup import Setup, environment
from edgeskin.benchmarks.summarize import onnx_operators
from edgeskin.errors import DeviceError, RunFailed
from edgeskin.files import inside
from edgeskin.progress import Progress


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
        self._answers: dict[int, list[Event]] = {}
        self._sent: set[str] = set()
        self.events = Events()

    def every_image(self) -> dict[str, NDArray[Any]]:
        """The decoded outputs of the whole pack; `events` is what the last shard's run said."""
        outputs = []
        for shard, name in enumerate(self._setup.pack.shards):
            text = self._setup.request(shard, outputs="outputs.bin")
            kept = self._parts / f"{self._setup.digest(text)}-{name}"
            self.events = self._step(text, shard, kept)
            self._answers[shard] = self.events.named("answer")
            tensors = self.events.one("tensors")["outputs"]
            outputs.append(accuracy.read_outputs(kept.read_bytes(), tensors, self._setup.metadata))
        return {n: np.concatenate([o[n] for o in outputs]) for n in outputs[0]}

    def latency(self, protocol: Protocol) -> Events:
        text = self._setup.request(0, protocol=protocol, sensors=self._sensors)
        events = self._step(text, 0, None)
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
        answers = [answer for shard in sorted(self._answers) for answer in self._answers[shard]]
        images = [i for shard in sorted(self._answers) for i in pack.members(shard)]
        return accuracy.bit_equal_inputs(pack, images, answers, tensor, io)

    def _step(self, text: str, shard: int, outputs: Path | None) -> Events:
        """Run one request, or take what is known of it already."""
        name = self._setup.digest(text)
        log = self._parts / f"{name}.jsonl"
        if log.exists() and (outputs is None or outputs.exists()):
            events = Events.of(log.read_text(encoding="utf-8", errors="replace").splitlines())
            if events.ended_well:
                return events
        events = self._taken_up(name, log) or self._run(name, text, shard, log)
        events.check_ended(self._device)
        if outputs is not None:
            collect(self._device, "outputs.bin", outputs, self._progress)
        return events

    def _run(self, name: str, text: str, shard: int, log: Path) -> Events:
        self._push(name, text, shard)
        job = self._device.start(
            self._setup.command(f"{name}.request"),
            env=environment(self._setup.engine),
            log=f"{name}.jsonl",
        )
        self._note(name).write_text(json.dumps(asdict(job)))
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
        spec.write_text(pack.spec.to_json(), encoding="utf-8")
        images = pack.folder / pack.shards[shard]
        wanted = {**self._setup.files, images.name: images, "spec.json": spec}
        wanted[request_file.name] = request_file
        self._device.push_all(
            {name: path for name, path in wanted.items() if name not in self._sent}, self._progress
        )
        self._sent.update(wanted)

    def _listen(self, job: Job, log: Path) -> Events:
        events, images = Events(), len(self._setup.pack)
        done = sum(map(len, self._answers.values()))
        with log.open("w", encoding="utf-8", errors="replace") as kept:
            for line in follow(self._device, job):
                kept.write(line)
                event = events.add(line)
                if event is not None and event["event"] == "answer":
                    done += 1
                    self._progress(f"{self._what}, images", done, images)
        return events
