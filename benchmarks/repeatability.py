"""How far the runner's figures can be trusted on this machine.

    python -m edgeskin.benchmarks.repeatability FILE... --pack PACK [--protocol standard] > out.json

For each file: the median inference of two runs of the protocol, of a plain loop around the same
library in between (ctypes for LiteRT's C API, ONNX Runtime's own Python), and what the runner
spends on a query beside its three parts. Worth reading on an idle machine only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeskin.artifacts import read_metadata
from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.bench import bench
from edgeskin.benchmarks.devices.base import Device
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import Protocol, protocol_named
from edgeskin.benchmarks.runner.libraries import library
from edgeskin.benchmarks.setup import Choice
from edgeskin.preprocess import preprocess
from edgeskin.timing import machine

Run = Callable[[], object]
LOOP_WARMUP = 50


def measure(artifact: Path, pack: Pack, protocol: Protocol) -> dict[str, Any]:
    """Two runs of the protocol with a plain loop between them."""
    lib = _library(artifact)
    first = _runner(artifact, pack, protocol, lib)
    plain = _plain_loop(_plain(artifact, pack, lib), protocol.queries)
    second = _runner(artifact, pack, protocol, lib)
    p50 = [run["summary"]["run"]["p50_ms"] for run in (first, second)]
    return {
        "artifact": artifact.name,
        "p50_ms": p50,
        "repeat_percent": 100 * abs(p50[1] / p50[0] - 1),
        "plain_p50_ms": plain,
        "to_plain_percent": [100 * (value / plain - 1) for value in p50],
        "overhead_us": _overhead_us(second),
        "doubts": sorted({*first["doubts"], *second["doubts"]}),
    }


def _runner(artifact: Path, pack: Pack, protocol: Protocol, lib: Path) -> dict[str, Any]:
    choice = Choice(library=lib)
    with tempfile.TemporaryDirectory() as name, Device(HostLink(Path(name) / "work")) as host:
        document = bench(artifact, pack, host, Path(name), protocol=protocol, choice=choice)
    return {**document["latency"], "doubts": document["doubts"]}


def _overhead_us(latency: dict[str, Any]) -> float:
    """Median time from the end of a query to the next one's start, reading the image included."""
    samples = latency["samples"]
    whole = np.sum([samples[f"{part}_ms"] for part in ("pre", "run", "post")], axis=0)
    return float(np.median(np.diff(samples["at_ms"]) - whole[:-1]) * 1000)


def _plain_loop(run: Run, count: int) -> float:
    taken = []
    for i in range(LOOP_WARMUP + count):
        start = time.perf_counter_ns()
        run()
        if i >= LOOP_WARMUP:
            taken.append((time.perf_counter_ns() - start) / 1e6)
    return float(np.median(taken))


def _library(artifact: Path) -> Path:
    """Of the very build that the plain loop uses."""
    if artifact.suffix == ".tflite":
        return library("tflite", os.uname().machine)
    import onnxruntime

    return next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))


def _plain(artifact: Path, pack: Pack, lib: Path) -> Run:
    metadata = read_metadata(artifact)
    if metadata.io != "app":
        raise SystemExit(f"{artifact.name}: only files with --io app are measured here")
    pixels = preprocess(pack.image(0), pack.spec.input)[None]
    if artifact.suffix == ".tflite":
        return _litert(artifact, pixels, lib)
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: pixels}
    return lambda: session.run(None, feeds)


def _litert(artifact: Path, pixels: Any, lib: Path) -> Run:
    """LiteRT 2.3's C API on one thread, the input's bytes written once."""
    api = ctypes.CDLL(str(lib))
    size = ctypes.c_size_t

    def make(name: str, *arguments: Any) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        _check(name, getattr(api, f"LiteRt{name}")(*arguments, ctypes.byref(made)))
        return made

    options, environment = make("CreateOptions"), make("CreateEnvironment", 0, None)
    model = make("CreateModelFromFile", environment, str(artifact).encode())
    _check("hardware", api.LiteRtSetOptionsHardwareAccelerators(options, 1))
    compiled = make("CreateCompiledModel", environment, model, options)
    signature = make("GetModelSignature", model, size(0))
    count = size()
    _check("outputs", api.LiteRtGetNumSignatureOutputs(signature, ctypes.byref(count)))
    kept: list[Any] = []

    def buffer(which: str, index: int, fill: Any = None) -> ctypes.c_void_p:
        kind = (ctypes.c_int32 * 64)()
        tensor = make(f"GetSignature{which}TensorByIndex", signature, size(index))
        _check("type", api.LiteRtGetRankedTensorType(tensor, kind))
        shape = kind[2 : 2 + (kind[1] & 127)]
        bytes_ = int(np.prod(shape)) * (1 if fill is not None else 4)  # uint8 in, float32 out
        memory = np.zeros(bytes_ + 64, np.uint8)
        start = -memory.ctypes.data % 64
        kept.append(memory)
        if fill is not None:
            memory[start : start + bytes_] = fill.ravel()
        address = ctypes.c_void_p(memory.ctypes.data + start)
        return make("CreateTensorBufferFromHostMemory", kind, address, size(bytes_), None)

    inputs = (ctypes.c_void_p * 1)(buffer("Input", 0, pixels))
    outputs = (ctypes.c_void_p * count.value)(*(buffer("Output", i) for i in range(count.value)))
    arguments = (compiled, size(0), size(1), inputs, count, outputs)

    def run() -> None:
        _check("run", api.LiteRtRunCompiledModel(*arguments))
        assert kept

    return run


def _check(what: str, status: int) -> None:
    if status != 0:
        raise RuntimeError(f"LiteRT: {what} gave status {status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--protocol", default="standard")
    given = parser.parse_args()
    pack, protocol = packs.read(given.pack), protocol_named(given.protocol)
    rows = [measure(path, pack, protocol) for path in given.files]
    print(json.dumps({"machine": machine(), "protocol": protocol.name, "files": rows}, indent=1))


if __name__ == "__main__":
    main()
