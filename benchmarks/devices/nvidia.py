"""What a Jetson has of its own: TensorRT's `trtexec`; `tegrastats` for clocks, heat, power."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from edgeskin.benchmarks.devices.device import Device, follow
from edgeskin.benchmarks.devices.explain import explain
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.document import Document
from edgeskin.errors import DeviceError, NotSupportedHere, RunFailed

_SECONDS = 60
_TIMES = "trtexec-times.json"


class EngineTimes(Document):
    """What trtexec measured of an engine that it built on the device.

    Attributes:
        compute_ms: GPU time of each query, in order (milliseconds).
        latency_ms: The same with the copies to and from the GPU.
        log: What it said, engine building included.
    """

    compute_ms: tuple[float, ...]
    latency_ms: tuple[float, ...]
    log: tuple[str, ...]


def has(facts: Facts, name: str) -> bool:
    """Whether one of NVIDIA's programs is on the device."""
    return any(PurePosixPath(path).name == name for path in facts.tools)


def tool(facts: Facts, name: str) -> str:
    """The path of one of NVIDIA's programs on the device.

    Raises:
        NotSupportedHere: It is not there.
    """
    if not has(facts, name):
        raise NotSupportedHere(f"no {name} on this device: it comes with JetPack")
    return next(path for path in facts.tools if PurePosixPath(path).name == name)


def trtexec(
    device: Device, facts: Facts, model: str, scratch: Path, *, precision: str = "fp32"
) -> EngineTimes:
    """Build an engine of an ONNX file on the device, time it for a minute, read its timing file.

    Args:
        model: Remote name of the ONNX file; one with QDQ pairs needs "int8".
        scratch: Local folder for the timing file.
        precision: "fp32", "fp16" or "int8" (which allows fp16 too).

    Raises:
        NotSupportedHere: There is no trtexec.
        RunFailed: It failed; the message has its last line.
    """
    options = {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}[precision]
    argv = [tool(facts, "trtexec"), f"--onnx={model}", f"--saveEngine={model}.engine", *options]
    argv += [f"--exportTimes={_TIMES}", f"--duration={_SECONDS}", "--warmUp=2000", "--avgRuns=1"]
    log = list(follow(device, device.start(argv, log="trtexec.log")))
    code = int(log[-1].split()[1]) if log and log[-1].startswith("edgeskin-exit") else None
    if code != 0:
        raise explain(device.name, code, log)
    device.pull(_TIMES, scratch / _TIMES)
    return read_times(scratch / _TIMES, tuple(line.rstrip("\n") for line in log[:-1]))


def read_times(path: Path, log: tuple[str, ...] = ()) -> EngineTimes:
    """Read the file of `trtexec --exportTimes`: a JSON list, an object a query.

    Raises:
        RunFailed: It is not such a file, or holds no query.
    """
    try:
        queries: list[Mapping[str, float]] = json.loads(path.read_text(encoding="utf-8"))
        compute = tuple(float(query["computeMs"]) for query in queries)
        latency = tuple(float(query["latencyMs"]) for query in queries)
    except (ValueError, KeyError, TypeError) as error:
        raise RunFailed(f"{path.name} is not a timing file of trtexec ({error!r})") from error
    if not compute:
        raise RunFailed(f"{path.name} holds no query: trtexec measured nothing")
    return EngineTimes(compute_ms=compute, latency_ms=latency, log=log)


@contextmanager
def tegrastats(device: Device, facts: Facts, scratch: Path) -> Iterator[list[dict[str, float]]]:
    """Sample once a second while the body runs; its list holds the readings afterwards.

    Where there is no tegrastats the list stays empty. Readings are `read_line`'s.
    """
    readings: list[dict[str, float]] = []
    if not has(facts, "tegrastats"):
        yield readings
        return
    job = device.start([tool(facts, "tegrastats"), "--interval", "1000"], log="tegrastats.log")
    try:
        yield readings
    except BaseException:
        with suppress(DeviceError):  # what went wrong in the body is what must be told
            device.kill(job)
        raise
    device.kill(job)
    device.pull(job.log, scratch / job.log)
    lines = (scratch / job.log).read_text(encoding="utf-8", errors="replace").splitlines()
    readings += [found for line in lines if (found := read_line(line))]


def read_line(line: str) -> dict[str, float]:
    """The numbers of a line of tegrastats.

    Returns:
        `ram_mb`; `cpu0_percent`, `cpu0_mhz`...; `gpu_percent`, `gpu_mhz`;
        `cpu_c` and other zones (degrees C); `vdd_in_mw` and other rails. What the
        board does not tell is missing.
    """
    found: dict[str, float] = {}
    if ram := re.search(r"\bRAM (\d+)/\d+MB", line):
        found["ram_mb"] = float(ram[1])
    if cores := re.search(r"\bCPU \[([^]]*)\]", line):
        for i, core in enumerate(cores[1].split(",")):
            if busy := re.fullmatch(r"(\d+)%@(\d+)", core):
                found[f"cpu{i}_percent"], found[f"cpu{i}_mhz"] = float(busy[1]), float(busy[2])
    if gpu := re.search(r"\bGR3D_FREQ (\d+)%(?:@\[?(\d+))?", line):
        found["gpu_percent"] = float(gpu[1])
        if gpu[2]:
            found["gpu_mhz"] = float(gpu[2])
    for zone, degrees in re.findall(r"\b(\w+)@(-?[\d.]+)C\b", line):
        if float(degrees) > 0:  # a zone that is off reads -256
            found[f"{zone.lower()}_c"] = float(degrees)
    for rail, milliwatts in re.findall(r"\b(\w+) (\d+)mW/\d+mW", line):
        found[f"{rail.lower()}_mw"] = float(milliwatts)
    return found
