"""All files of one model on one runtime, taking turns in one process.

    python -m edgeskin.benchmarks.peers.peer_timing REQUEST.json ANSWER.json

What counts is the process's CPU time; that on the clock is kept beside it.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.peers.builds import Failure, brief
from edgeskin.document import Document
from edgeskin.errors import EdgeskinError
from edgeskin.files import size_bytes, write_json
from edgeskin.formats import open_session
from edgeskin.metrics import sqnr_db
from edgeskin.predictor import to_floats, to_input
from edgeskin.runtimes import Session
from edgeskin.timing import Samples, interleave

LEAST_ROUNDS = 15


class FileFacts(Document):
    """What a file is: its ends, its size, its agreement with PyTorch, its operators."""

    input: str
    output: str
    runtime: str
    size_bytes: int
    sqnr_db: float
    operators: dict[str, int]


class TimedFile(FileFacts):
    """A file and its times: `p50_ms` and `p90_ms` are of `cpu_ms`, the process's CPU time."""

    p50_ms: float
    p90_ms: float
    wall_p50_ms: float
    cpu_ms: tuple[float, ...]
    wall_ms: tuple[float, ...]


class Request(Document):
    """What is to be timed: files by the name of their build.

    `most_s`: fewer rounds, `LEAST_ROUNDS` at least, where all would take longer than this.
    """

    files: dict[str, Path]
    samples: Path
    rounds: int
    warmup: int
    most_s: float = math.inf


class Answer(Document):
    """Each build of the request, or why it could not run."""

    builds: dict[str, TimedFile | Failure]


def measure(request: Request) -> dict[str, TimedFile | Failure]:
    """Each build with its times, or why it could not run."""
    with np.load(request.samples) as arrays:
        test, reference = arrays["test"], arrays["reference"]
    facts: dict[str, FileFacts] = {}
    failures: dict[str, Failure] = {}
    turns: dict[str, Callable[[], object]] = {}
    with ExitStack() as stack:
        for name, path in request.files.items():
            try:
                session = stack.enter_context(open_session(path, threads=1))
                facts[name] = describe(session, path, test, reference)
                turns[name] = _turn(session, test[:1])
            except (EdgeskinError, RuntimeError, ValueError) as error:
                line = f"{type(error).__name__}: {error}".splitlines()[0]
                failures[name] = Failure(failed=brief(line))
        times = interleave(turns, _rounds(turns, request), request.warmup)
    return {**failures, **{name: _timed(facts[name], times[name]) for name in turns}}


def _rounds(turns: Mapping[str, Callable[[], object]], request: Request) -> int:
    """As many rounds as are asked for and `most_s` allows."""
    if math.isinf(request.most_s) or not turns:
        return request.rounds
    pace = interleave(turns, rounds=2, warmup=1)
    one_round_s = 2 * sum(samples["wall_ms"][1] for samples in pace.values()) / 1e3
    return int(np.clip(request.most_s / one_round_s, LEAST_ROUNDS, request.rounds))


def _timed(facts: FileFacts, times: Samples) -> TimedFile:
    p50, p90 = (round(float(np.percentile(times["cpu_ms"], rank)), 4) for rank in (50, 90))
    return TimedFile(
        **dict(facts),
        p50_ms=p50,
        p90_ms=p90,
        wall_p50_ms=round(float(np.median(times["wall_ms"])), 4),
        cpu_ms=tuple(times["cpu_ms"]),
        wall_ms=tuple(times["wall_ms"]),
    )


def describe(
    session: Session, path: Path, test: NDArray[np.float32], reference: NDArray[np.float32]
) -> FileFacts:
    """A file by its session; its outputs for `test` are compared with `reference`."""
    given, (out,) = session.inputs[0], session.outputs
    outputs = [
        to_floats(session.run({given.name: to_input(x[None], given)})[out.name], out) for x in test
    ]
    return FileFacts(
        input=f"{given.dtype} {list(given.shape)}",
        output=out.dtype,
        runtime=session.runtime,
        size_bytes=size_bytes(path),
        sqnr_db=round(sqnr_db(reference, np.concatenate(outputs)), 2),
        operators=operators(path),
    )


def operators(path: Path) -> dict[str, int]:
    """How many of each kind the runtime has after its own optimisation.

    LiteRT lists the operators of the file and one DELEGATE for each partition that
    XNNPACK took; ONNX Runtime lists what its optimised graph holds.
    """
    if path.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        return dict(Counter(op["op_name"] for op in interpreter._get_ops_details()).most_common())
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        options.log_severity_level = 3  # a warning says that the file fits this machine only
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath).graph
    return dict(Counter(node.op_type for node in graph.node).most_common())


def _turn(session: Session, image: NDArray[np.float32]) -> Callable[[], object]:
    given = session.inputs[0]
    feeds = {given.name: to_input(image, given)}
    return lambda: session.run(feeds)


def main() -> None:
    request = Request.from_json(Path(sys.argv[1]).read_text())
    write_json(Path(sys.argv[2]), Answer(builds=measure(request)).to_json())


if __name__ == "__main__":
    main()
