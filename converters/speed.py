"""Whether INT8 pays: a fresh INT8 file beside a float file of the same network, timed here.

No program holds its float network, so the network that its spec names is built
again, untrained: what a layer computes takes its time whatever the weights are.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from edgeskin.calibration.graphs import argument, attribute, layers
from edgeskin.calibration.program import dequantized
from edgeskin.calibration.schemes import SCHEMES
from edgeskin.converters import TARGETS
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.errors import EdgeskinError
from edgeskin.models.network import build
from edgeskin.predictor import to_input
from edgeskin.preprocess import normalize
from edgeskin.runtimes import Session, open_session
from edgeskin.spec import Spec
from edgeskin.statistics import ratio_of_medians
from edgeskin.timing import interleave, machine

SLOWER = 1.02
"""Where the files lie in memory moves a latency by a percent or two: INT8 is slower above this."""
WARM_UP, LEAST_ROUNDS, MOST_ROUNDS, SECONDS = 5, 20, 200, 2.0


def measure(job: Job, target: str, path: Path, scheme: str) -> dict[str, Any]:
    """Time the INT8 file `path` and float files that are made beside it for the purpose.

    Returns:
        `not_run`, why; or `p50_ms` by precision (CPU time of one inference on
        one thread, at least 20 interleaved rounds), `ratio` of int8 to fp32 with
        its 95 % interval, `slower`, `advice`, the precision to take instead (fp16
        is made and timed only where int8 is slower), and `for_speed`: whether the
        scheme promises speed at all.
    """
    if target == "onnx" and scheme == "w8a8_symmetric":
        return {"not_run": "not timed: it has TensorRT's form, and no TensorRT is here"}
    with open_session(path) as session:
        runtime = session.runtime
    if not session.native:
        return {"not_run": "not timed: Core ML predicts on macOS only"}
    network, origin = float_network(job)
    files = {"int8": path, "fp32": _make(job, network, "fp32", target, path)}
    found = compare(files, job)
    if found["slower"]:
        found = compare(files | {"fp16": _make(job, network, "fp16", target, path)}, job)
    return {
        "runtime": runtime,
        "machine": machine(),
        "threads": 1,
        "float": origin,
        "for_speed": SCHEMES[scheme].is_for_speed,
        **found,
    }


def float_network(job: Job) -> tuple[nn.Module, str]:
    """The float network of a quantized graph, and where it comes from."""
    graph, spec = cast(fx.GraphModule, job.network), job.metadata.spec
    network = _built(spec)
    if network is not None and _shapes(network) == _graph_shapes(graph):
        return network, "the network that the spec names, untrained"
    return dequantized(graph), "the program without its quantize steps"


def _built(spec: Spec) -> nn.Module | None:
    try:
        return build(spec).eval()
    except EdgeskinError:  # a factory that is not installed here, heads of another kind
        return None


def _shapes(network: nn.Module) -> list[tuple[int, ...]]:
    found = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return sorted(tuple(module.weight.shape) for module in found)


def _graph_shapes(graph: fx.GraphModule) -> list[tuple[int, ...]]:
    weights = [argument(layer, 1) for layer in layers(graph)]
    stored = [w if w.op == "get_attr" else argument(w, 0) for w in weights]
    return sorted(tuple(attribute(graph, node).shape) for node in stored)


def _make(job: Job, network: nn.Module, precision: str, target: str, path: Path) -> Path:
    """A float file beside the INT8 one; the folder is the caller's scratch."""
    made = path.with_name(f"{precision}-of-{path.name}")
    metadata = replace(job.metadata, precision=precision)  # type: ignore[arg-type]
    TARGETS[target].load().convert(Job(network, metadata), made)
    return made


def compare(files: Mapping[str, Path], job: Job) -> dict[str, Any]:
    """Times of files by precision, taking turns; `int8` and `fp32` must be there."""
    pixels = images(job.metadata.spec.input)[0]
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(open_session(p)) for name, p in files.items()}
        turns = {name: _turn(session, pixels, job) for name, session in sessions.items()}
        pace = interleave(turns, rounds=2, warmup=1)
        one_round = 2 * sum(samples["wall_ms"][1] for samples in pace.values()) / 1e3
        rounds = int(np.clip(SECONDS / one_round, LEAST_ROUNDS, MOST_ROUNDS))
        times = interleave(turns, rounds, WARM_UP)
    cpu = {name: np.array(samples["cpu_ms"]) for name, samples in times.items()}
    return {"rounds": rounds, **judge(cpu)}


def _turn(session: Session, pixels: NDArray[np.uint8], job: Job) -> Any:
    given = session.inputs[0]
    if job.metadata.io == "app":
        feeds: dict[str, NDArray[Any]] = {given.name: pixels[None]}
    else:
        feeds = {given.name: to_input(normalize(pixels, job.metadata.spec.input), given)}
    return lambda: session.run(feeds)


def judge(times: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """`p50_ms`, `ratio`, `slower` and `advice` of times in milliseconds, one a round."""
    ratio = ratio_of_medians(times["fp32"], times["int8"])
    median = {name: round(float(np.median(found)), 3) for name, found in times.items()}
    slower = ratio.low > SLOWER
    half = "fp16" in times and median["fp16"] <= SLOWER * median["fp32"]
    return {
        "p50_ms": median,
        "ratio": asdict(ratio),
        "slower": slower,
        "advice": ("fp16" if half else "fp32") if slower else "int8",
    }
