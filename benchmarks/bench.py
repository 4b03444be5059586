"""Artifacts on devices, and the results they give.

A run has steps (see `steps`): every image of each shard once, then the latency protocol. They are
kept under `.parts` of the results' folder until the result is whole, so that a run that breaks off
is taken up where it was.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np

from edgeskin import files
from edgeskin.benchmarks import accuracy
from edgeskin.benchmarks.accuracy import Twin
from edgeskin.benchmarks.devices import nvidia
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.devices.names import open_device, reserved, together
from edgeskin.benchmarks.doubts import doubts, unverified
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import Protocol
from edgeskin.benchmarks.result import (
    ArtifactIdentity,
    BenchedDevice,
    BenchResult,
    EngineRefused,
    Harness,
    Latency,
    PackIdentity,
)
from edgeskin.benchmarks.runner.request import ANYWHERE, EngineUsed
from edgeskin.benchmarks.setup import Choice, Setup
from edgeskin.benchmarks.steps import Steps
from edgeskin.benchmarks.summarize import assigned, latency
from edgeskin.errors import EdgeskinError, NotSupportedHere, RunFailed
from edgeskin.progress import Progress, silent
from edgeskin.version import __version__


def result_path(out: Path, device: str, artifact: Path) -> Path:
    """Where the result of an artifact on a device is written; its outputs lie beside it as .npz."""
    plain = "".join(c if c.isalnum() or c in "-._" else "-" for c in f"{device}--{artifact.name}")
    return out / f"{plain}.json"


def on_devices(
    devices: Sequence[str],
    work: Callable[[Device], list[BenchResult]],
    *,
    ssh_config: Path | None,
    progress: Progress,
) -> dict[str, list[BenchResult] | EdgeskinError]:
    """What `work` gives on each device, all at once, nobody else on them; or what went wrong.

    Args:
        devices: Names, as `open_device` takes them.
        ssh_config: Another file than `~/.ssh/config`.

    Raises:
        UnknownName, MissingPackage: Before any device is asked.
    """

    def alone(there: Device) -> list[BenchResult]:
        with there, reserved(there):
            return work(there)

    names = dict.fromkeys(devices)
    opened = [open_device(n, ssh_config=ssh_config, progress=progress) for n in names]
    return together(opened, alone)


def bench_all(
    artifacts: Sequence[Path],
    pack: Pack,
    device: Device,
    out: Path,
    *,
    protocol: Protocol | None,
    choice: Choice | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> list[BenchResult]:
    """`bench_artifact` for each one; on another device than this machine, compared with it too.

    The device is left clean when all are done; when one fails, what it has is kept there, for the
    next run goes on with it.
    """
    results = []
    device.probe()  # does it answer? before anything is computed here
    for artifact in artifacts:
        on_host = device.name == "host"
        twin = None if on_host else _on_this_machine(artifact, pack, choice or Choice(), progress)
        results.append(
            bench_artifact(
                artifact,
                pack,
                device,
                out,
                protocol=protocol,
                choice=choice,
                twin=twin,
                force=force,
                progress=progress,
            )
        )
    device.clean()
    return results


def _on_this_machine(artifact: Path, pack: Pack, choice: Choice, progress: Progress) -> Twin | None:
    """By the same kernels where every machine has them, else by the default ones.

    None where neither runs here.
    """
    same = choice.accelerator if choice.accelerator in ANYWHERE else None
    with tempfile.TemporaryDirectory() as folder, Device(HostLink(Path(folder) / "work")) as host:
        choice = Choice(accelerator=same)
        try:
            result = bench_artifact(
                artifact, pack, host, Path(folder), protocol=None, choice=choice, progress=progress
            )
        except NotSupportedHere:
            return None
        path = result_path(Path(folder), host.name, artifact).with_suffix(".npz")
        with np.load(path) as stored:
            return Twin(dict(stored), result.engine)


def bench_artifact(
    artifact: Path,
    pack: Pack,
    device: Device,
    out: Path,
    *,
    protocol: Protocol | None,
    choice: Choice | None = None,
    twin: Twin | None = None,
    sensors: str = "/",
    force: bool = False,
    progress: Progress = silent,
) -> BenchResult:
    """Run an artifact on a device and write `out/DEVICE--ARTIFACT.json`.

    Args:
        pack: A pack of the model that the artifact was made from.
        protocol: How to measure latency; None: accuracy only.
        twin: The same artifact on this machine, to compare with.
        sensors: The folder that holds sys/ and proc/ on the device.

    Returns:
        The result, as written; the outputs are kept beside it (`result_path`).

    Raises:
        DeviceError: The device or the runner failed; run again to go on where it broke off.
        InvalidPack, NotSupportedHere, CannotWrite: Before anything is sent.
    """
    target = result_path(out, device.name, artifact)
    files.check_writable(target, force=force)
    facts = device.probe()
    parts = out / ".parts" / target.stem
    setup = Setup.of(artifact, pack, facts, choice or Choice(), parts)
    protocol = None if facts.simulated else protocol  # no times, which would take hours
    parts.mkdir(parents=True, exist_ok=True)
    steps = Steps(setup, device, parts, sensors, progress)
    outputs = steps.every_image()
    took = assigned(steps.events)
    found = accuracy.report(pack, outputs, bit_equal_inputs=steps.bit_equal_inputs(), twin=twin)
    result = BenchResult(
        edgeskin=__version__,
        artifact=_identify(setup),
        pack=_identify_pack(pack),
        device=BenchedDevice(name=device.name, **dict(facts)),
        harness=Harness(machine=platform.machine(), system=platform.system(), at=datetime.now(UTC)),
        engine=_engine_used(setup, steps),
        accuracy=found,
        assigned=took,
        unverified=unverified(setup.engine, took, found),
        **_timed(setup, device, facts, steps, protocol, parts) if protocol else _Timed(),
    )
    np.savez(parts / "outputs.npz", **cast(Mapping[str, Any], outputs))
    (parts / "outputs.npz").replace(target.with_suffix(".npz"))
    files.write_json(target, result.to_json())
    shutil.rmtree(parts)
    return result


class _Timed(TypedDict, total=False):
    """The fields of a result that come of a protocol."""

    protocol: Protocol
    latency: Latency
    device_after: Facts
    doubts: tuple[str, ...]
    tegrastats: tuple[dict[str, float], ...] | None
    trtexec: nvidia.EngineTimes | EngineRefused | None


def _timed(
    setup: Setup, device: Device, facts: Facts, steps: Steps, protocol: Protocol, parts: Path
) -> _Timed:
    with nvidia.tegrastats(device, facts, parts) as readings:
        measured = latency(steps.latency(protocol))
    after = device.probe()
    return {
        "protocol": protocol,
        "latency": measured,
        "device_after": after,
        "doubts": doubts(measured, facts, after),
        "tegrastats": tuple(readings) or None,
        "trtexec": _tensorrt(setup, device, facts, parts),
    }


def _tensorrt(
    setup: Setup, device: Device, facts: Facts, parts: Path
) -> nvidia.EngineTimes | EngineRefused | None:
    """What the device's own trtexec measures of an ONNX file, or why it does not."""
    if setup.artifact.suffix != ".onnx" or not nvidia.has(facts, "trtexec"):
        return None
    precision = setup.metadata.precision
    try:
        return nvidia.trtexec(device, facts, setup.artifact.name, parts, precision=precision)
    except RunFailed as error:  # an operator that TensorRT lacks; the rest of the result stands
        return EngineRefused(error=str(error))


def _identify(setup: Setup) -> ArtifactIdentity:
    return ArtifactIdentity(
        name=setup.artifact.name,
        sha256=files.sha256(setup.artifact),
        bytes=files.size_bytes(setup.artifact),
        precision=setup.metadata.precision,
        io=setup.metadata.io,
        model=setup.metadata.spec.name,
    )


def _identify_pack(pack: Pack) -> PackIdentity:
    return PackIdentity(
        name=pack.folder.resolve().name,
        sha256=pack.sha256,
        images=len(pack),
        source_sha256=tuple(item.source_sha256 for item in pack.items),
    )


def _engine_used(setup: Setup, steps: Steps) -> EngineUsed:
    return EngineUsed(
        **dict(setup.engine),
        version=steps.events.one("runtime")["version"],
        kernels=steps.events.one("start")["kernels"],
        sha256={name: files.sha256(path) for name, path in setup.files.items()},
    )
