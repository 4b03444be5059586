"""How far the runner's figures can be trusted on this machine.

    python -m edgeskin.benchmarks.repeatability FILE... --pack PACK [--protocol standard] > out.json

For each file: the median inference of two runs of the protocol, of a plain loop around the same
version of the runtime in between (its own Python), and what the runner spends on a query beside
reading the image and the three parts. Worth reading on an idle machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskin.artifacts import read_metadata
from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.bench import bench_artifact
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import Protocol, protocol_named
from edgeskin.benchmarks.result import Samples
from edgeskin.benchmarks.runner.libraries import library
from edgeskin.benchmarks.setup import Choice
from edgeskin.document import Document
from edgeskin.preprocess import preprocess
from edgeskin.timing import machine

Run = Callable[[], object]
Pixels = NDArray[np.uint8]
LOOP_WARMUP = 50


class LoopSamples(Document):
    """Milliseconds of each inference, of both runs of the runner and of the plain loop."""

    runner: tuple[tuple[float, ...], tuple[float, ...]]
    plain: tuple[float, ...]


class Repeatability(Document):
    """Two runs of the protocol and a plain loop between them, of one artifact.

    `repeat_percent` is how far the second run's median is from the first's, `to_plain_percent`
    how far each run's is from the plain loop's; `overhead_us` see `_overhead_us`.
    """

    artifact: str
    p50_ms: tuple[float, float]
    repeat_percent: float
    plain_p50_ms: float
    to_plain_percent: tuple[float, float]
    overhead_us: tuple[float, float]
    doubts: tuple[str, ...]
    samples_ms: LoopSamples


class RepeatabilityReport(Document):
    """What this module prints."""

    version: int = 1
    machine: str
    protocol: str
    files: tuple[Repeatability, ...]


def measure(artifact: Path, pack: Pack, protocol: Protocol) -> Repeatability:
    """Two runs of the protocol with a plain loop between them, and all their samples."""
    lib = _library(artifact)
    first = _runner(artifact, pack, protocol, lib)
    loop_ms = _plain_loop(_plain(artifact, pack), protocol)
    second = _runner(artifact, pack, protocol, lib)
    plain_ms = float(np.median(loop_ms))
    return Repeatability(
        artifact=artifact.name,
        p50_ms=(first.p50_ms, second.p50_ms),
        repeat_percent=100 * abs(second.p50_ms / first.p50_ms - 1),
        plain_p50_ms=plain_ms,
        to_plain_percent=(
            100 * (first.p50_ms / plain_ms - 1),
            100 * (second.p50_ms / plain_ms - 1),
        ),
        overhead_us=(_overhead_us(first.samples), _overhead_us(second.samples)),
        doubts=tuple(sorted({*first.doubts, *second.doubts})),
        samples_ms=LoopSamples(
            runner=(first.samples.run_ms, second.samples.run_ms), plain=tuple(loop_ms)
        ),
    )


@dataclass(frozen=True)
class _Run:
    """One run of the runner: its median inference, its samples, its doubts."""

    p50_ms: float
    samples: Samples
    doubts: tuple[str, ...]


def _runner(artifact: Path, pack: Pack, protocol: Protocol, lib: Path) -> _Run:
    choice = Choice(library=lib)
    with tempfile.TemporaryDirectory() as name, Device(HostLink(Path(name) / "work")) as host:
        result = bench_artifact(artifact, pack, host, Path(name), protocol=protocol, choice=choice)
    assert result.latency is not None
    p50_ms = result.latency.summary.run.p50_ms
    return _Run(p50_ms, result.latency.samples, result.doubts or ())


def _overhead_us(samples: Samples) -> float:
    """Median time from the end of a query to the next one's start, without reading the image."""
    whole = np.asarray(samples.whole_ms)
    between = np.diff(samples.at_ms) - whole[:-1] - samples.read_ms[1:]
    return float(np.median(between) * 1000)


def _plain_loop(run: Run, protocol: Protocol) -> list[float]:
    """As many inferences and as long as the protocol says, in milliseconds each."""
    taken: list[float] = []
    for _ in range(LOOP_WARMUP):
        run()
    end = time.perf_counter() + protocol.seconds
    while len(taken) < protocol.queries or time.perf_counter() < end:
        start = time.perf_counter_ns()
        run()
        taken.append((time.perf_counter_ns() - start) / 1e6)
    return taken


def _library(artifact: Path) -> Path:
    """Of the very version that the plain loop uses."""
    if artifact.suffix == ".tflite":
        return library("tflite", os.uname().machine)
    import onnxruntime

    return next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))


def _plain(artifact: Path, pack: Pack) -> Run:
    """The inference alone, as the runtime's own documentation shows it, on one thread."""
    metadata = read_metadata(artifact)
    if metadata.io != "app":
        raise SystemExit(f"{artifact.name}: only files with --io app are measured here")
    pixels = preprocess(pack.image(0), pack.spec.input)[None]
    if artifact.suffix == ".tflite":
        return _litert(artifact, pixels)
    return _onnx(artifact, pixels)


def _litert(artifact: Path, pixels: Pixels) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    run: Run = interpreter.invoke
    return run


def _onnx(artifact: Path, pixels: Pixels) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: pixels}
    return lambda: session.run(None, feeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--protocol", default="standard")
    given = parser.parse_args()
    pack, protocol = packs.read(given.pack), protocol_named(given.protocol)
    report = RepeatabilityReport(
        machine=machine(),
        protocol=protocol.name,
        files=tuple(measure(path, pack, protocol) for path in given.files),
    )
    print(json.dumps(report.to_json(), indent=1))


if __name__ == "__main__":
    main()
