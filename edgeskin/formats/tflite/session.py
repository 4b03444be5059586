"""TFLite files on LiteRT, with the XNNPACK delegate where LiteRT applies it (the default)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.tflite.quiet import announce_once
from edgeskin.runtimes import BaseSession, Kernels, TensorSpec


def open_session(path: Path, *, threads: int = 1, kernels: Kernels = "fast") -> LiteRTSession:
    """Load a `.tflite` file; raises InvalidArtifact where LiteRT refuses it."""
    return LiteRTSession(path, threads, kernels)


class LiteRTSession(BaseSession):
    """The first signature names inputs and outputs; without one, the tensors do."""

    def __init__(self, path: Path, threads: int, kernels: Kernels = "fast"):
        super().__init__()
        announce_once()
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = {"fast": OpResolverType.AUTO, "reference": OpResolverType.BUILTIN_REF}[kernels]
        try:
            self._interpreter = Interpreter(
                model_path=str(path), num_threads=threads, experimental_op_resolver_type=resolver
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InvalidArtifact(f"LiteRT refuses {path}: {error}") from error
        self.runtime = f"LiteRT {version('ai-edge-litert')}"
        if kernels == "reference":
            self.runtime += ", reference kernels"
        inputs, outputs = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        in_names, out_names = self._signature()
        self._at_input = {in_names.get(d["index"], d["name"]): d["index"] for d in inputs}
        self._at_output = {out_names.get(d["index"], d["name"]): d["index"] for d in outputs}
        self.inputs = tuple(map(_tensor_spec, self._at_input, inputs))
        self.outputs = tuple(map(_tensor_spec, self._at_output, outputs))

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        for name, index in self._at_input.items():
            self._interpreter.set_tensor(index, feeds[name])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(i) for name, i in self._at_output.items()}

    def _close(self) -> None:
        self._interpreter = None

    def _signature(self) -> tuple[dict[int, str], dict[int, str]]:
        """Names by tensor index that the first signature gives."""
        signatures = list(self._interpreter.get_signature_list())
        if not signatures:
            return {}, {}
        runner = self._interpreter.get_signature_runner(signatures[0])
        return (
            {detail["index"]: name for name, detail in runner.get_input_details().items()},
            {detail["index"]: name for name, detail in runner.get_output_details().items()},
        )


def _tensor_spec(name: str, detail: Mapping[str, Any]) -> TensorSpec:
    scale, zero_point = detail["quantization"]
    return TensorSpec(
        name=name,
        shape=tuple(int(size) for size in detail["shape_signature"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale) if scale else None,
        zero_point=int(zero_point) if scale else None,
    )
