"""Whether INT8 pays: a fresh INT8 file beside a float file of the same network, timed here.

And what it costs that a file is for other processors too.

The float file is made of the very weights: of the run that the program was calibrated
from where `convert` has it, else of the program without its quantize steps. No network
stands in for it: one with other weights folds otherwise, and takes another time.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from edgeskin.calibration.program import dequantized
from edgeskin.calibration.schemes import SCHEMES
from edgeskin.conversion import CpuCost, Speed
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.files import sha256
from edgeskin.formats import FORMATS, open_session
from edgeskin.predictor import to_input
from edgeskin.preprocess import normalize
from edgeskin.runtimes import Session
from edgeskin.statistics import ratio_of_medians
from edgeskin.timing import interleave, machine

SLOWER = 1.02
"""Where the files lie in memory moves a latency by a percent or two: INT8 is slower above this."""
WARM_UP, LEAST_ROUNDS, MOST_ROUNDS, SECONDS = 5, 20, 200, 2.0


def measure(
    job: Job, target: str, path: Path, scheme: str, trained: nn.Module | None = None
) -> Speed:
    """Time the INT8 file `path` and float files that are made beside it for the purpose.

    Args:
        trained: The float network that the program was calibrated from, where it is at hand.
    """
    if target == "onnx" and scheme == "w8a8_symmetric":
        return Speed(not_run="not timed: it has TensorRT's form, and no TensorRT is here")
    with open_session(path) as session:
        runtime = session.runtime
    if not session.native:
        return Speed(not_run="not timed: Core ML predicts on macOS only")
    network, origin = float_network(job, trained)
    files = {"int8": path, "fp32": _make(job, network, "fp32", target, path)}
    speed = compare(files, job)
    if speed.slower:
        speed = compare(files | {"fp16": _make(job, network, "fp16", target, path)}, job)
    return speed.model_copy(
        update={
            "runtime": runtime,
            "machine": machine(),
            "threads": 1,
            "float": origin,
            "for_speed": SCHEMES[scheme].is_for_speed and not job.portable,
        }
    )


def cpu_cost(job: Job, target: str, path: Path) -> CpuCost:
    """Time the file `path`, for a CPU and others, and one for the CPU alone, made beside it."""
    with open_session(path) as session:
        runtime = session.runtime
    if not session.native:
        return CpuCost(not_run="Core ML predicts on macOS only")
    alone = path.with_name(f"cpu-of-{path.name}")
    FORMATS[target].convert(replace(job, portable=False), alone)
    if sha256(alone) == sha256(path):
        return CpuCost(same=True)
    times, rounds = _times({"several": path, "alone": alone}, job)
    return CpuCost(
        runtime=runtime,
        machine=machine(),
        threads=1,
        rounds=rounds,
        p50_ms={name: round(float(np.median(times[name])), 3) for name in ("several", "alone")},
        ratio=ratio_of_medians(times["alone"], times["several"]),
    )


def float_network(job: Job, trained: nn.Module | None) -> tuple[nn.Module, str]:
    """The float network of a quantized graph, and where it comes from."""
    if trained is not None:
        return trained, "the run that it was calibrated from"
    return dequantized(cast(fx.GraphModule, job.network)), "the program without its quantize steps"


def _make(job: Job, network: nn.Module, precision: str, target: str, path: Path) -> Path:
    """A float file beside the INT8 one; the folder is the caller's scratch."""
    float_file = path.with_name(f"{precision}-of-{path.name}")
    metadata = replace(job.metadata, precision=precision)  # type: ignore[arg-type]
    FORMATS[target].convert(Job(network, metadata, made=job.made), float_file)
    return float_file


def compare(files: Mapping[str, Path], job: Job) -> Speed:
    """Times of files by precision, taking turns; `int8` and `fp32` must be there."""
    return rate(*_times(files, job))


def _times(files: Mapping[str, Path], job: Job) -> tuple[dict[str, NDArray[np.float64]], int]:
    """CPU times of files in milliseconds, one a round, taking turns; and how many rounds."""
    pixels = images(job.metadata.spec.input)[0]
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(open_session(p)) for name, p in files.items()}
        turns = {name: _turn(session, pixels, job) for name, session in sessions.items()}
        pace = interleave(turns, rounds=2, warmup=1)
        one_round = 2 * sum(samples["wall_ms"][1] for samples in pace.values()) / 1e3
        rounds = int(np.clip(SECONDS / one_round, LEAST_ROUNDS, MOST_ROUNDS))
        times = interleave(turns, rounds, WARM_UP)
    return {name: np.array(samples["cpu_ms"]) for name, samples in times.items()}, rounds


def _turn(session: Session, pixels: NDArray[np.uint8], job: Job) -> Any:
    tensor = session.inputs[0]
    if job.metadata.io == "app":
        feeds: dict[str, NDArray[Any]] = {tensor.name: pixels[None]}
    else:
        feeds = {tensor.name: to_input(normalize(pixels, job.metadata.spec.input), tensor)}
    return lambda: session.run(feeds)


def rate(times: Mapping[str, NDArray[np.float64]], rounds: int) -> Speed:
    """Medians, their ratio and the advice, of CPU times in milliseconds, one a round."""
    ratio = ratio_of_medians(times["fp32"], times["int8"])
    median = {name: round(float(np.median(ms)), 3) for name, ms in times.items()}
    slower = ratio.low > SLOWER
    half_pays = "fp16" in times and median["fp16"] <= SLOWER * median["fp32"]
    return Speed(
        rounds=rounds,
        p50_ms=median,
        ratio=ratio,
        slower=slower,
        advice=("fp16" if half_pays else "fp32") if slower else "int8",
    )
