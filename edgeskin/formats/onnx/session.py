"""ONNX files on ONNX Runtime's CPU provider."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.onnx.saturation import open_precise
from edgeskin.runtimes import BaseSession, Kernels, TensorSpec

_DTYPES = {"float": "float32", "double": "float64"}  # the others are called as numpy calls them
_ERRORS_ONLY = 3


def open_session(path: Path, *, threads: int = 1, kernels: Kernels = "fast") -> OnnxSession:
    """Load an `.onnx` file; raises InvalidArtifact where ONNX Runtime refuses it."""
    return OnnxSession(path, threads, kernels)


class StartedSession(BaseSession):
    """An `onnxruntime.InferenceSession` on whatever it was started on, which `runtime` names."""

    def __init__(self, session: Any, runtime: str):
        super().__init__()
        self._session, self.runtime = session, runtime
        self.inputs = tuple(map(_tensor_spec, session.get_inputs()))
        self.outputs = tuple(map(_tensor_spec, session.get_outputs()))

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))

    def _close(self) -> None:
        self._session = None


class OnnxSession(StartedSession):
    """An `.onnx` file on the CPU provider of ONNX Runtime."""

    def __init__(self, path: Path, threads: int, kernels: Kernels = "fast"):
        import onnxruntime as ort

        def start(entries: Mapping[str, str]) -> Any:
            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            options.log_severity_level = _ERRORS_ONLY
            if kernels == "reference":
                options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            for key, value in entries.items():
                options.add_session_config_entry(key, value)
            return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        runtime = f"ONNX Runtime {ort.__version__}"
        try:
            if kernels == "reference":
                session, runtime = start({}), f"{runtime}, graph as written"
            else:
                session, precise = open_precise(start)
                runtime += ", sums in 32 bits" if precise else ""
        except Exception as error:  # ONNX Runtime's own types share no base but Exception
            raise InvalidArtifact(f"ONNX Runtime refuses {path}: {first_line(error)}") from error
        super().__init__(session, runtime)


def _tensor_spec(node: Any) -> TensorSpec:
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(node.name, shape, _DTYPES.get(kind, kind))


def first_line(error: Exception) -> str:
    """Of an error of ONNX Runtime's, which may go on with a trace."""
    return str(error).strip().splitlines()[0]
