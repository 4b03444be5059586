"""Artifacts on devices: what is pushed, which steps are run there, and the result they add up to.

A run has steps: every image of each shard once (accuracy), then the latency protocol. What a step
said is kept under `.parts` of the results' folder as it arrives, so that a run that breaks off is
taken up where it was: finished steps are not repeated, and a step that went on while nobody
listened is read from the device's log.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeskin import files
from edgeskin.artifacts import Metadata, check_manifest, read_metadata
from edgeskin.benchmarks import accuracy, result
from edgeskin.benchmarks.devices.base import Device, Job, follow
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import Protocol
from edgeskin.benchmarks.runner.build import PROGRAM, build
from edgeskin.benchmarks.runner.events import Events
from edgeskin.benchmarks.runner.libraries import LOADER, library, loader
from edgeskin.benchmarks.runner.request import ACCELERATORS, Engine, request
from edgeskin.errors import DeviceError, InvalidPack, NotSupportedHere, UnknownName
from edgeskin.postprocess import Outputs
from edgeskin.version import __version__

Tell = Callable[[str, int, int], None]
LOADED = "loader"  # where a C library lies on a device that has none
RUNTIME_OF = {".tflite": "tflite", ".onnx": "onnx"}


@dataclass(frozen=True)
class Choice:
    """How an artifact is to be run. None: what is best known for its runtime and the device.

    Attributes:
        library: A runtime's shared library of the user's own.
        accelerator: One of `runner.request.ACCELERATORS`.
        accelerator_library: Of a gpu or external delegate.
        options: Of the accelerator.
    """

    library: Path | None = None
    accelerator: str | None = None
    accelerator_library: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1


@dataclass(frozen=True)
class Setup:
    """One artifact on one device: everything that is pushed, and the names it has there."""

    artifact: Path
    metadata: Metadata
    pack: Pack
    engine: Engine
    files: Mapping[str, Path]

    @classmethod
    def of(cls, artifact: Path, pack: Pack, facts: Facts, choice: Choice) -> Setup:
        """Raises InvalidPack, NotSupportedHere, UnknownName, CannotFetch."""
        check_manifest(artifact)
        metadata = read_metadata(artifact)
        _same_model(pack, metadata, artifact)
        runtime = RUNTIME_OF.get(artifact.suffix)
        if runtime is None:
            raise NotSupportedHere(f"{artifact.name} runs on Apple devices only, not on this one")
        accelerator = choice.accelerator or ACCELERATORS[runtime][0]
        if accelerator not in ACCELERATORS[runtime]:
            known = ", ".join(ACCELERATORS[runtime])
            raise UnknownName(f"{runtime} has no accelerator {accelerator!r}; there are {known}")
        lib = choice.library or library(runtime, facts.machine)
        pushed = {PROGRAM: build(facts.machine), lib.name: lib, artifact.name: artifact}
        extra = choice.accelerator_library
        if extra is not None:
            pushed[extra.name] = extra
        loaded = loader(facts.machine) if facts.glibc is None else {}
        pushed |= {f"{LOADED}/{name}": path for name, path in loaded.items()}
        engine = Engine(
            runtime, lib.name, accelerator, extra.name if extra else "", choice.options,
            choice.threads,
        )  # fmt: skip
        return cls(artifact, metadata, pack, engine, pushed)

    def request(self, shard: int, **wanted: Any) -> str:
        return request(
            self.engine,
            self.metadata,
            [self.pack.items[i] for i in self.pack.members(shard)],
            ready=self.pack.ready,
            model=self.artifact.name,
            images=self.pack.shards[shard],
            **wanted,
        )

    def command(self, request_file: str) -> list[str]:
        """What starts the runner there."""
        command = [f"./{PROGRAM}", request_file]
        if f"{LOADED}/{LOADER[0]}" in self.files:
            return [f"./{LOADED}/{LOADER[0]}", "--library-path", f"./{LOADED}", *command]
        return command

    def digest(self, text: str) -> str:
        """Of a step: its request and all files that it depends on."""
        made = hashlib.sha256(text.encode() + self.pack.sha256.encode())
        for path in self.files.values():
            made.update(files.sha256(path).encode())
        return made.hexdigest()[:12]


def result_path(out: Path, device: str, artifact: Path) -> Path:
    """Where the result of an artifact on a device is written; its outputs lie beside it as .npz."""
    plain = "".join(c if c.isalnum() or c in "-._" else "-" for c in f"{device}--{artifact.name}")
    return out / f"{plain}.json"


def bench_all(
    artifacts: Sequence[Path],
    pack: Pack,
    device: Device,
    out: Path,
    *,
    protocol: Protocol | None,
    choice: Choice | None = None,
    force: bool = False,
    tell: Tell = lambda what, done, total: None,
) -> list[dict[str, Any]]:
    """`bench` for each artifact; on another device than this machine, compared with it too.

    The device is left clean when all are done; when one fails, what it has is kept there, for the
    next run goes on with it.
    """
    documents = []
    for artifact in artifacts:
        twin = None if device.name == "host" else _on_this_machine(artifact, pack, out, tell)
        options: dict[str, Any] = {"protocol": protocol, "choice": choice, "twin": twin}
        documents.append(bench(artifact, pack, device, out, **options, force=force, tell=tell))
    device.clean()
    return documents


def _on_this_machine(artifact: Path, pack: Pack, out: Path, tell: Tell) -> Outputs | None:
    """What the artifact computes here on its default engine; None where none runs here."""
    with tempfile.TemporaryDirectory() as folder, Device(HostLink(Path(folder) / "work")) as host:
        try:
            bench(artifact, pack, host, Path(folder), protocol=None, tell=tell)
        except NotSupportedHere:
            return None
        path = result_path(Path(folder), host.name, artifact).with_suffix(".npz")
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}


def bench(
    artifact: Path,
    pack: Pack,
    device: Device,
    out: Path,
    *,
    protocol: Protocol | None,
    choice: Choice | None = None,
    twin: Outputs | None = None,
    sensors: str = "/",
    force: bool = False,
    tell: Tell = lambda what, done, total: None,
) -> dict[str, Any]:
    """Run an artifact on a device and write `out/DEVICE--ARTIFACT.json`.

    Args:
        pack: A pack of the model that the artifact was made from.
        protocol: How to measure latency; None: accuracy only.
        twin: The same artifact's outputs on this machine, to compare with.
        sensors: The folder that holds sys/ and proc/ on the device.

    Returns:
        The result's document, as written; what was computed is kept beside it (`result_path`).

    Raises:
        DeviceError: The device or the runner failed; run again to go on where it broke off.
        InvalidPack, NotSupportedHere, CannotWrite: Before anything is sent.
    """
    target = result_path(out, device.name, artifact)
    files.check_writable(target, force=force)
    facts = device.probe()
    setup = Setup.of(artifact, pack, facts, choice or Choice())
    parts = out / ".parts" / target.stem
    parts.mkdir(parents=True, exist_ok=True)
    run = _Run(setup, device, parts, sensors, tell)
    found, answered = run.every_image()
    document: dict[str, Any] = {
        "version": result.VERSION,
        "edgeskin": __version__,
        "artifact": {
            "name": artifact.name,
            "sha256": files.sha256(artifact),
            "bytes": files.size_bytes(artifact),
            "precision": setup.metadata.precision,
            "io": setup.metadata.io,
            "model": setup.metadata.spec.name,
        },
        "pack": {"name": pack.folder.resolve().name, "sha256": pack.sha256, "images": len(pack)},
        "device": {"name": device.name, **asdict(facts)},
        "harness": {"machine": platform.machine(), "system": platform.system()},
        "engine": {
            **asdict(setup.engine),
            "version": answered.one("runtime")["version"],
            "kernels": answered.one("start")["kernels"],
            "sha256": {name: files.sha256(path) for name, path in setup.files.items()},
        },
        "accuracy": {
            "bit_equal_inputs": run.bit_equal_inputs(answered),
            **accuracy.report(pack, found, twin),
        },
    }
    if protocol is not None:
        document["protocol"] = asdict(protocol)
        document["latency"] = result.latency(run.latency(protocol))
        document["doubts"] = result.doubts(document["latency"], document["device"])
    files.write_json(target, document)
    np.savez(target.with_suffix(".npz"), **found)
    shutil.rmtree(parts)
    return document


class _Run:
    """The steps of one artifact on one device."""

    def __init__(self, setup: Setup, device: Device, parts: Path, sensors: str, tell: Tell) -> None:
        self._setup, self._device, self._parts, self._tell = setup, device, parts, tell
        self._sensors = sensors
        self._what = f"{device.name}, {setup.artifact.name}"
        self._answers: dict[int, list[dict[str, Any]]] = {}

    def every_image(self) -> tuple[dict[str, Any], Events]:
        """The decoded outputs of the whole pack, and what the last shard's run said."""
        outputs, events = [], Events()
        for shard, name in enumerate(self._setup.pack.shards):
            text = self._setup.request(shard, outputs="outputs.bin")
            kept = self._parts / f"{self._setup.digest(text)}-{name}"
            events = self._step(text, shard, kept)
            self._answers[shard] = events.named("answer")
            tensors = events.one("tensors")["outputs"]
            outputs.append(accuracy.read_outputs(kept.read_bytes(), tensors, self._setup.metadata))
        return {n: np.concatenate([o[n] for o in outputs]) for n in outputs[0]}, events

    def latency(self, protocol: Protocol) -> Events:
        text = self._setup.request(0, protocol=protocol, sensors=self._sensors)
        events = self._step(text, 0, None)
        for profile in events.named("profile"):
            if "file" in profile:  # ONNX Runtime writes its own
                kept = self._parts / profile["file"]
                if not kept.exists():
                    self._device.pull(profile["file"], kept, self._tell)
                profile["operators"] = result.onnx_operators(json.loads(kept.read_bytes()))
        return events

    def bit_equal_inputs(self, events: Events) -> float:
        """The share of all images that the device preprocessed to our very bytes."""
        pack, io = self._setup.pack, self._setup.metadata.io
        tensor = events.one("tensors")["input"]
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
        events = self._listen(self._job(name, text, shard), log)
        events.check_ended(self._device.name)
        if outputs is not None:
            self._device.pull("outputs.bin", outputs, self._tell)
        return events

    def _job(self, name: str, text: str, shard: int) -> Job:
        """The job of a step: the one that was started before the link dropped, or a new one."""
        note = self._parts / f"{name}.job.json"
        if note.exists():
            job = Job(**json.loads(note.read_text()))
            note.unlink()  # if it cannot be followed, the next run starts afresh
            if self._is_there(job):
                return job
        self._push(name, text, shard)
        job = self._device.start(self._setup.command(f"{name}.request"), log=f"{name}.jsonl")
        note.write_text(json.dumps(asdict(job)))
        return job

    def _is_there(self, job: Job) -> bool:
        """Whether a job's log can still be read: the device may have been cleaned since."""
        try:
            return self._device.alive(job) or next(self._device.stream(job), None) is not None
        except DeviceError:
            return False

    def _push(self, name: str, text: str, shard: int) -> None:
        pack, request_file = self._setup.pack, self._parts / f"{name}.request"
        request_file.write_text(text, encoding="utf-8")
        spec = self._parts / "spec.json"
        spec.write_text(pack.spec.to_json(), encoding="utf-8")
        images = pack.folder / pack.shards[shard]
        pushed = {**self._setup.files, images.name: images, "spec.json": spec}
        for remote, local in {**pushed, request_file.name: request_file}.items():
            self._device.push(local, remote, self._tell)

    def _listen(self, job: Job, log: Path) -> Events:
        events, images = Events(), len(self._setup.pack)
        done = sum(map(len, self._answers.values()))
        with log.open("w", encoding="utf-8", errors="replace") as kept:
            for line in follow(self._device, job):
                kept.write(line)
                event = events.add(line)
                if event is not None and event["event"] == "answer":
                    done += 1
                    self._tell(f"{self._what}, images", done, images)
        return events


def _same_model(pack: Pack, metadata: Metadata, artifact: Path) -> None:
    if (pack.spec.heads, pack.spec.input) != (metadata.spec.heads, metadata.spec.input):
        raise InvalidPack(
            f"{pack.folder} is a pack of {pack.spec.name}, {artifact.name} was made from "
            f"{metadata.spec.name} with another input or other heads. Pack the run it came from."
        )
