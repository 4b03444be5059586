"""INT8 beside the float file and beside what LiteRT's and ONNX Runtime's own tools make of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeskin.benchmarks.peers.builds import (
    PEERS,
    Failure,
    Tell,
    build,
    run_process,
    tool_versions,
)
from edgeskin.benchmarks.peers.peer_timing import Answer, Request, TimedFile
from edgeskin.benchmarks.peers.setting import Machine, machine
from edgeskin.benchmarks.peers.zoo import CALIBRATION, TEST, Model
from edgeskin.document import Document
from edgeskin.errors import InvalidData, UnknownName
from edgeskin.estimate import Estimate
from edgeskin.files import write_json
from edgeskin.statistics import ratio_of_medians

WARM_UP = 20
RUNTIMES = {
    "litert": {
        "float": "litert-float.tflite",
        "stock": "litert-stock.tflite",
        "edgeskin": "litert-edgeskin.tflite",
    },
    "onnx": {
        "float": "onnx-float.onnx",
        "stock": "onnx-stock.onnx",
        "stock_x86": "onnx-stock_x86.onnx",
        "edgeskin": "onnx-edgeskin.onnx",
    },
}
"""The files of each runtime. `stock_x86`: what ONNX Runtime's documentation says for x86."""

# Model, runtime: largest ratio of edgeskin's INT8 to float, and to stock INT8 (a VNNI machine).
AIMS = {
    "mobilenet_v3_small": {"litert": (0.65, 0.20), "onnx": (1.0, 0.22)},
    "mobilenet_v3_large": {"litert": (0.46, 0.23), "onnx": (0.80, 0.32)},
    "efficientnet_lite0": {"litert": (0.40, 0.95), "onnx": (0.50, 0.62)},
    "resnet50": {"litert": (0.20, 0.95), "onnx": (0.30, 0.30)},
    "efficientnet_v2_s": {"litert": (0.28, 0.95), "onnx": (0.50, 0.32)},
    "deeplab_v3_plus": {"litert": (0.45, 0.95), "onnx": (0.6, 0.6)},
    "vit_tiny": {"litert": (0.42, 0.16), "onnx": (0.50, 0.60)},
}
Builds = Mapping[str, TimedFile | Failure]


class RuntimeResult(Document):
    """The files of a model on one runtime, the machine's load around their timing, and `ratios`."""

    load_before: float
    load_after: float
    builds: dict[str, TimedFile | Failure]
    ratios: dict[str, Estimate]


class ModelResult(Document):
    """A model on each runtime."""

    title: str
    runtimes: dict[str, RuntimeResult]


class Int8Result(Document):
    """All models, and how they were measured."""

    machine: Machine
    tools: dict[str, str]
    threads: int
    rounds: int
    warmup_rounds: int
    calibration_images: int
    test_images: int
    models: dict[str, ModelResult]


def measure(
    models: Sequence[Model],
    runtimes: Sequence[str],
    rounds: int,
    tell: Tell,
    out: Path | None = None,
) -> Int8Result:
    """Build, time and compare; every raw sample is in the result.

    Args:
        rounds: Timed rounds a model and runtime, at least 2.
        out: Folder that keeps the files, and uses again those that still fit.

    Raises:
        UnknownName: A runtime is not in `RUNTIMES`.
        InvalidData: Too few rounds.
    """
    for name in runtimes:
        if name not in RUNTIMES:
            raise UnknownName(f"no runtime '{name}'; there are {', '.join(RUNTIMES)}")
    if rounds < 2:
        raise InvalidData(f"{rounds} rounds have no median to speak of. Take 200 or more.")
    if out is None:
        with tempfile.TemporaryDirectory(prefix="edgeskin-peers-") as scratch:
            return measure(models, runtimes, rounds, tell, Path(scratch))
    return Int8Result(
        machine=machine(),
        tools=tool_versions(),
        threads=1,
        rounds=rounds,
        warmup_rounds=WARM_UP,
        calibration_images=CALIBRATION,
        test_images=TEST,
        models={m.spec.name: _model(m, runtimes, rounds, tell, out / m.spec.name) for m in models},
    )


def _model(
    model: Model, runtimes: Sequence[str], rounds: int, tell: Tell, folder: Path
) -> ModelResult:
    results = {}
    for name in runtimes:
        failed = build(model.spec, folder, RUNTIMES[name].values(), tell)
        tell(f"{model.spec.name}: timing on {name}")
        results[name] = _runtime(RUNTIMES[name], folder, rounds, failed)
    return ModelResult(title=model.title, runtimes=results)


def _runtime(
    files: Mapping[str, str], folder: Path, rounds: int, failed: Mapping[str, str]
) -> RuntimeResult:
    """Time what was built; what was not keeps its reason."""
    paths = {name: folder / file for name, file in files.items() if file not in failed}
    load_before = os.getloadavg()[0]
    timed = _time(paths, folder, rounds)
    load_after = os.getloadavg()[0]
    builds = {
        name: timed[name] if name in timed else Failure(failed=failed[file])
        for name, file in files.items()
    }
    return RuntimeResult(
        load_before=round(load_before, 2),
        load_after=round(load_after, 2),
        builds=builds,
        ratios=ratios(builds),
    )


def _time(files: dict[str, Path], folder: Path, rounds: int) -> Builds:
    """Every file, in a process of its own that they share."""
    samples, log = folder / "samples.npz", folder / "timing.log"
    asked = Request(files=files, samples=samples, rounds=rounds, warmup=WARM_UP)
    with tempfile.TemporaryDirectory() as scratch:
        request, answer = Path(scratch, "request.json"), Path(scratch, "answer.json")
        write_json(request, asked.to_json())
        problem = run_process([f"{PEERS}.peer_timing", str(request), str(answer)], log)
        if problem:
            return {name: Failure(failed=problem) for name in files}
        log.unlink()
        return Answer.from_json(answer.read_text()).builds


def ratios(builds: Builds) -> dict[str, Estimate]:
    """Median of edgeskin's INT8 over that of each other build, with its 95 % interval."""
    ours = builds["edgeskin"]
    if isinstance(ours, Failure):
        return {}
    return {
        f"to_{name}": ratio_of_medians(np.array(other.cpu_ms), np.array(ours.cpu_ms))
        for name, other in builds.items()
        if name != "edgeskin" and not isinstance(other, Failure)
    }
