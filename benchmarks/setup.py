"""An artifact made ready for a device: its engine, and every file that travels."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgeskin import files
from edgeskin.artifacts import Metadata, check_manifest, read_metadata
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.simulated import find_simulator
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.runner.cross_compile import PROGRAM, build
from edgeskin.benchmarks.runner.libraries import LOADER, library, loader
from edgeskin.benchmarks.runner.request import (
    ACCELERATORS,
    DELEGATES,
    PLUGIN,
    SIMULATED_PLUGIN,
    WEBGPU,
    Engine,
    request,
)
from edgeskin.errors import InvalidPack, NotSupportedHere, UnknownName
from edgeskin.formats import format_of
from edgeskin.formats.onnx import saturation

LOADED = "loader"  # where a C library lies on a device that has none


@dataclass(frozen=True)
class Choice:
    """How an artifact is to be run. None: what is best known for its runtime and the device.

    Attributes:
        library: A runtime's shared library of the user's own.
        accelerator: One of `runner.request.ACCELERATORS`.
        accelerator_library: Of a gpu or external delegate, or a provider of its own.
        options: Of the accelerator.
    """

    library: Path | None = None
    accelerator: str | None = None
    accelerator_library: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1


@dataclass(frozen=True)
class Setup:
    """One artifact on one device: everything that is pushed, and the names it has there.

    `model` is the artifact, or what a simulator makes of it.
    """

    artifact: Path
    model: Path
    metadata: Metadata
    pack: Pack
    engine: Engine
    files: Mapping[str, Path]

    @classmethod
    def of(cls, artifact: Path, pack: Pack, facts: Facts, choice: Choice, scratch: Path) -> Setup:
        """Check that the artifact, the pack, the device and the choice go together.

        Args:
            scratch: A folder for what a simulator makes of the artifact.

        Raises:
            InvalidPack: The pack is another model's.
            NotSupportedHere, UnknownName: The device, or the runtime, cannot do what is asked.
            CannotFetch: The runtime's library cannot be had.
            RunFailed: The simulated accelerator's compiler refuses the artifact.
        """
        check_manifest(artifact)
        metadata = read_metadata(artifact)
        _same_model(pack, metadata, artifact)
        model = prepared(artifact, facts, scratch)
        engine, pushed = engine_for(model, facts, choice)
        if metadata.compiled and engine.accelerator not in (PLUGIN, SIMULATED_PLUGIN):
            raise NotSupportedHere(
                f"{artifact.name} is compiled for {metadata.compiled.chip}: --device "
                f"simulated:htp:{metadata.compiled.chip}"
                + (f", or --accelerator {PLUGIN} on a device" if engine.runtime == "onnx" else "")
            )
        return cls(artifact, model, metadata, pack, engine, {**pushed, model.name: model})

    def request(self, shard: int, images: Sequence[int], **wanted: Any) -> str:
        """What asks for images, by their numbers, which lie in `shard`."""
        return request(
            self.engine,
            self.metadata,
            [self.pack.items[i] for i in images],
            ready=self.pack.ready,
            model=self.model.name,
            images=self.pack.shards[shard],
            **wanted,
        )

    def command(self, request_file: str) -> list[str]:
        """What starts the runner there."""
        return command(self.files, request_file)

    def digest(self, text: str) -> str:
        """Of a step: its request and all files that it depends on."""
        depends = "".join((text, self.pack.sha256, *self._hashes))
        return hashlib.sha256(depends.encode()).hexdigest()[:12]

    @cached_property
    def _hashes(self) -> list[str]:
        """Of all files, which take their time to read."""
        return [files.sha256(path) for path in self.files.values()]


def _accelerator(runtime: str, wanted: str | None) -> str:
    known = ACCELERATORS[runtime]
    if wanted not in (None, *known):
        raise UnknownName(f"{runtime} has no accelerator {wanted!r}; there are {', '.join(known)}")
    return wanted or known[0]


def command(pushed: Container[str], request_file: str) -> list[str]:
    """What starts the runner where these files were pushed."""
    started = [f"./{PROGRAM}", request_file]
    if f"{LOADED}/{LOADER[0]}" in pushed:
        return [f"./{LOADED}/{LOADER[0]}", "--library-path", f"./{LOADED}", *started]
    return started


def environment(engine: Engine) -> dict[str, str]:
    """What the runner is started with: LiteRT looks for its GPU library where the system does."""
    return {"LD_LIBRARY_PATH": "."} if engine.accelerator == WEBGPU else {}


def prepared(artifact: Path, facts: Facts, scratch: Path) -> Path:
    """The artifact as the device takes it: itself, or what a simulator makes of it in `scratch`."""
    if not facts.simulated:
        return artifact
    simulator, variant = find_simulator(facts.simulated)
    return simulator.prepared(artifact, variant, scratch)


def engine_for(artifact: Path, facts: Facts, choice: Choice) -> tuple[Engine, dict[str, Path]]:
    """What runs a file on a device, and what is pushed for it, by name there.

    Raises:
        NotSupportedHere, UnknownName: The device, or the runtime, cannot do what is asked.
        CannotFetch: The runtime's library cannot be had.
    """
    file_type = format_of(artifact)
    if (runtime := file_type.runner) is None:
        raise NotSupportedHere(
            f"{artifact.name} cannot be benched: the device runner has no runtime for "
            f"{file_type.title} files"
        )
    if facts.simulated:
        choice = _simulated(choice, facts.simulated, artifact, runtime)
    accelerator = _accelerator(runtime, choice.accelerator)
    lib = choice.library or library(
        runtime, facts.machine, facts.glibc, for_delegate=accelerator in DELEGATES
    )
    pushed, delegate = {PROGRAM: build(facts.machine), lib.name: lib}, ""
    if (own := choice.accelerator_library) is not None:
        pushed[own.name], delegate = own, own.name
    elif accelerator == PLUGIN:
        raise NotSupportedHere(f"{PLUGIN} is a library of its maker's: --accelerator-library")
    if accelerator == WEBGPU:
        gpu = library(WEBGPU, facts.machine, facts.glibc)
        pushed[gpu.name] = gpu
    if facts.simulated:
        simulator, _ = find_simulator(facts.simulated)
        pushed, delegate = {**pushed, **simulator.files()}, simulator.library
    if choice.accelerator in ("cuda", "tensorrt"):  # ONNX Runtime looks for them beside itself
        pushed |= {p.name: p for p in lib.parent.glob("libonnxruntime_providers_*.so")}
    if facts.glibc is None:
        pushed |= {f"{LOADED}/{n}": path for n, path in loader(facts.machine).items()}
    engine = Engine(
        runtime=runtime,
        library=lib.name,
        accelerator=accelerator,
        accelerator_library=delegate,
        options=_options(runtime, facts) | dict(choice.options),
        threads=choice.threads,
    )
    return engine, pushed


def _simulated(choice: Choice, what: str, artifact: Path, runtime: str) -> Choice:
    """The choice with the simulator in it.

    Raises:
        NotSupportedHere: It takes no files of this runtime.
    """
    simulator, variant = find_simulator(what)
    if runtime != simulator.runtime:
        raise NotSupportedHere(
            f"{artifact.name}: simulated:{simulator.name} takes {simulator.runtime} files"
        )
    if choice.accelerator not in (None, simulator.accelerator):
        raise NotSupportedHere(f"simulated:{what} is no {choice.accelerator}")
    if choice.accelerator_library is not None:
        raise NotSupportedHere(f"simulated:{what} brings its own library")
    options = {**simulator.options(variant), **choice.options}
    return replace(choice, accelerator=simulator.accelerator, options=options)


def _options(runtime: str, facts: Facts) -> dict[str, str]:
    """What a device needs, and nobody has to ask for."""
    precise = runtime == "onnx" and saturation.saturates(facts.machine, facts.features)
    return {saturation.OPTION: "1"} if precise else {}


def _same_model(pack: Pack, metadata: Metadata, artifact: Path) -> None:
    if (pack.spec.heads, pack.spec.input) != (metadata.spec.heads, metadata.spec.input):
        raise InvalidPack(
            f"{pack.folder} is a pack of {pack.spec.name}, {artifact.name} was made from "
            f"{metadata.spec.name} with another input or other heads. Pack the run it came from."
        )
