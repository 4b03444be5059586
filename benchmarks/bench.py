"""Artifacts on devices, and the results they give.

A run has steps (see `steps`): every image of each shard once, then the latency protocol. They are
kept under `.parts` of the results' folder until the result is whole, so that a run that breaks off
is taken up where it was.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeskin import files
from edgeskin.benchmarks import accuracy, result
from edgeskin.benchmarks.devices import nvidia
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.devices.names import open_device, reserved, together
from edgeskin.benchmarks.pack import Pack, read
from edgeskin.benchmarks.protocol import Protocol, protocol_named
from edgeskin.benchmarks.runner.request import ANYWHERE
from edgeskin.benchmarks.setup import Choice, Setup
from edgeskin.benchmarks.steps import Steps, Tell
from edgeskin.errors import EdgeskinError, NotSupportedHere, RunFailed
from edgeskin.measured import VERSION
from edgeskin.postprocess import Outputs
from edgeskin.version import __version__


@dataclass(frozen=True)
class Twin:
    """What the same artifact computed on this machine, and the `engine` of that result."""

    outputs: Outputs
    engine: Mapping[str, Any]


def result_path(out: Path, device: str, artifact: Path) -> Path:
    """Where the result of an artifact on a device is written; its outputs lie beside it as .npz."""
    plain = "".join(c if c.isalnum() or c in "-._" else "-" for c in f"{device}--{artifact.name}")
    return out / f"{plain}.json"


def bench_devices(
    artifacts: Sequence[Path | str],
    pack: Path | str,
    out: Path | str,
    *,
    devices: Sequence[str] = ("host",),
    protocol: str = "standard",
    choice: Choice | None = None,
    ssh_config: Path | None = None,
    force: bool = False,
    tell: Tell = lambda what, done, total: None,
) -> dict[str, list[dict[str, Any]] | EdgeskinError]:
    """Run artifacts on devices, all devices at once; their results are written to `out`.

    Args:
        pack: A pack of the model that the artifacts were made from.
        devices: Names, as `open_device` takes them.
        protocol: A name of `PROTOCOLS`, or "none": accuracy only.
        ssh_config: Another file than `~/.ssh/config`.

    Returns:
        By device, the results' documents; or what went wrong there.

    Raises:
        UnknownName, InvalidPack, MissingPackage: Before any device is asked.
    """
    wanted = None if protocol == "none" else protocol_named(protocol)
    packed = read(Path(pack))

    def work(there: Device) -> list[dict[str, Any]]:
        paths = [Path(artifact) for artifact in artifacts]
        options: dict[str, Any] = {"protocol": wanted, "choice": choice}
        with there, reserved(there):
            return bench_all(paths, packed, there, Path(out), **options, force=force, tell=tell)

    names = dict.fromkeys(devices)
    return together([open_device(n, ssh_config=ssh_config, tell=tell) for n in names], work)


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
    device.probe()  # does it answer? before anything is computed here
    for artifact in artifacts:
        on_host = device.name == "host"
        twin = None if on_host else _on_this_machine(artifact, pack, choice or Choice(), tell)
        options: dict[str, Any] = {"protocol": protocol, "choice": choice, "twin": twin}
        documents.append(bench(artifact, pack, device, out, **options, force=force, tell=tell))
    device.clean()
    return documents


def _on_this_machine(artifact: Path, pack: Pack, choice: Choice, tell: Tell) -> Twin | None:
    """By the same kernels where every machine has them, else by the default ones.

    None where neither runs here.
    """
    same = choice.accelerator if choice.accelerator in ANYWHERE else None
    with tempfile.TemporaryDirectory() as folder, Device(HostLink(Path(folder) / "work")) as host:
        options: dict[str, Any] = {"protocol": None, "choice": Choice(accelerator=same)}
        try:
            document = bench(artifact, pack, host, Path(folder), **options, tell=tell)
        except NotSupportedHere:
            return None
        path = result_path(Path(folder), host.name, artifact).with_suffix(".npz")
        with np.load(path) as stored:
            return Twin({name: stored[name] for name in stored.files}, document["engine"])


def bench(
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
    tell: Tell = lambda what, done, total: None,
) -> dict[str, Any]:
    """Run an artifact on a device and write `out/DEVICE--ARTIFACT.json`.

    Args:
        pack: A pack of the model that the artifact was made from.
        protocol: How to measure latency; None: accuracy only.
        twin: The same artifact on this machine, to compare with.
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
    steps = Steps(setup, device, parts, sensors, tell)
    found = steps.every_image()
    document = {
        **_identity(setup, device.name, facts, steps),
        "accuracy": {
            "bit_equal_inputs": steps.bit_equal_inputs(),
            **accuracy.report(pack, found, twin.outputs if twin else None),
        },
    }
    if twin is not None:
        document["accuracy"]["host"]["engine"] = twin.engine
    if protocol is not None:
        document["protocol"] = asdict(protocol)
        with nvidia.tegrastats(device, facts, parts) as readings:
            document["latency"] = result.latency(steps.latency(protocol))
        document["device_after"] = asdict(device.probe())
        states = document["device"], document["device_after"]
        document["doubts"] = result.doubts(document["latency"], *states)
        document |= {"tegrastats": readings} if readings else {}
        document |= _tensorrt(setup, device, facts, parts)
    np.savez(parts / "outputs.npz", **found)
    (parts / "outputs.npz").replace(target.with_suffix(".npz"))
    files.write_json(target, document)
    shutil.rmtree(parts)
    return document


def _tensorrt(setup: Setup, device: Device, facts: Facts, parts: Path) -> dict[str, Any]:
    """What the device's own trtexec measures of an ONNX file, or why it does not."""
    if setup.artifact.suffix != ".onnx" or not nvidia.has(facts, "trtexec"):
        return {}
    precision = setup.metadata.precision
    try:
        times = nvidia.trtexec(device, facts, setup.artifact.name, parts, precision=precision)
    except RunFailed as error:  # an operator that TensorRT lacks; the rest of the result stands
        return {"trtexec": {"error": str(error)}}
    return {"trtexec": asdict(times)}


def _identity(setup: Setup, device: str, facts: Facts, steps: Steps) -> dict[str, Any]:
    """What was run, on what, by what: enough to run it again."""
    artifact, pack, metadata = setup.artifact, setup.pack, setup.metadata
    return {
        "version": VERSION,
        "edgeskin": __version__,
        "artifact": {
            "name": artifact.name,
            "sha256": files.sha256(artifact),
            "bytes": files.size_bytes(artifact),
            "precision": metadata.precision,
            "io": metadata.io,
            "model": metadata.spec.name,
        },
        "pack": {
            "name": pack.folder.resolve().name,
            "sha256": pack.sha256,
            "images": len(pack),
            "source_sha256": [item.source_sha256 for item in pack.items],
        },
        "device": {"name": device, **asdict(facts)},
        "harness": {"machine": platform.machine(), "system": platform.system()},
        "engine": {
            **asdict(setup.engine),
            "version": steps.events.one("runtime")["version"],
            "kernels": steps.events.one("start")["kernels"],
            "sha256": {name: files.sha256(path) for name, path in setup.files.items()},
        },
    }
