"""All files of one model on one runtime, taking turns in one process.

    python -m edgeskin.benchmarks.peers.timing REQUEST.json ANSWER.json

What counts is the process's CPU time; that on the clock is kept beside it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.peers.builds import brief
from edgeskin.errors import EdgeskinError
from edgeskin.files import size_bytes
from edgeskin.formats import open_session
from edgeskin.metrics import sqnr_db
from edgeskin.predictor import to_floats, to_input
from edgeskin.runtimes import Session
from edgeskin.timing import interleave


def measure(files: Mapping[str, Path], samples: Path, rounds: int, warmup: int) -> dict[str, Any]:
    """For each build its size, agreement, operators and times; or `failed`, why."""
    with np.load(samples) as arrays:
        test, reference = arrays["test"], arrays["reference"]
    found: dict[str, dict[str, Any]] = {}
    turns: dict[str, Callable[[], object]] = {}
    with ExitStack() as stack:
        for name, path in files.items():
            try:
                session = stack.enter_context(open_session(path, threads=1))
                found[name] = describe(session, path, test, reference)
                turns[name] = _turn(session, test[:1])
            except (EdgeskinError, RuntimeError, ValueError) as error:
                line = f"{type(error).__name__}: {error}".splitlines()[0]
                found[name] = {"failed": brief(line)}
        for name, times in interleave(turns, rounds, warmup).items():
            found[name] |= times
    return found


def describe(
    session: Session, path: Path, test: NDArray[np.float32], reference: NDArray[np.float32]
) -> dict[str, Any]:
    """What a file is: its ends, its size in bytes, its agreement with PyTorch, its operators."""
    given, (out,) = session.inputs[0], session.outputs
    outputs = [
        to_floats(session.run({given.name: to_input(x[None], given)})[out.name], out) for x in test
    ]
    return {
        "input": f"{given.dtype} {list(given.shape)}",
        "output": out.dtype,
        "runtime": session.runtime,
        "size_bytes": size_bytes(path),
        "sqnr_db": round(sqnr_db(reference, np.concatenate(outputs)), 2),
        "operators": operators(path),
    }


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
    request = json.loads(Path(sys.argv[1]).read_text())
    files = {name: Path(path) for name, path in request["files"].items()}
    answer = measure(files, Path(request["samples"]), request["rounds"], request["warmup"])
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
