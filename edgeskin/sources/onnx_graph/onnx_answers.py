"""What ONNX Runtime makes of a file, whole and operator by operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from edgeskin.formats.onnx.saturation import open_precise, saturates_here
from edgeskin.formats.onnx.session import OnnxSession
from edgeskin.runtimes import Kernels
from edgeskin.sources.onnx_graph.onnx_input import OnnxImage
from edgeskin.sources.onnx_graph.onnx_network import OnnxNetwork
from edgeskin.sources.source_model import Step

_ERRORS_ONLY = 3
_INTEGERS = {"QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger"}


class OnnxAnswers:
    """A file on ONNX Runtime's CPU provider, its graph as written.

    Where sums of its integer operators would overflow on this machine, the graph is optimized: the
    option against that acts on those.

    `model` is what the network was read from: the file with its functions
    inlined, and converted where its operator set was too old.
    """

    def __init__(self, path: Path, model: ModelProto, image: OnnxImage, network: OnnxNetwork):
        self._model = model
        self._image = image
        self._network = network
        integers = any(node.op_type in _INTEGERS for node in model.graph.node)
        self._precise = integers and saturates_here()
        kernels: Kernels = "fast" if self._precise else "reference"
        self._session = OnnxSession(path, threads=1, kernels=kernels)
        self.runtime = self._session.runtime

    def answer(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Outputs in the file's order; raises InvalidArtifact where ONNX Runtime cannot run it."""
        results = self._session.run(self._feeds(image))
        return tuple(results[spec.name] for spec in self._session.outputs)

    def steps(self, image: NDArray[Any]) -> Iterator[Step]:
        """Each operator's first output that both compute; those that were put together as one."""
        session, names = self._all_values
        theirs = dict(zip(names, session.run(names, self._feeds(image)), strict=True))
        with torch.inference_mode():
            for call, values in self._network.trace(torch.from_numpy(np.float32(image))):
                name = call.outputs[0]
                if name in theirs:
                    shift = self._network.shifts.get(name, 0)
                    ours = values[name].numpy()
                    ours = ours.astype(np.int32) + shift if shift else ours
                    yield Step(call.label, theirs[name], ours)

    def _feeds(self, image: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {self._image.name: image.astype(self._image.dtype)}

    @cached_property
    def _all_values(self) -> tuple[Any, list[str]]:
        """A session that gives what every operator makes that the network has too."""
        import onnxruntime as ort

        model = ModelProto()
        model.CopyFrom(self._model)
        made = {name for node in model.graph.node for name in node.output}
        names = [call.outputs[0] for call in self._network.calls if call.outputs[0] in made]
        known = {value.name for value in model.graph.output}
        model.graph.output.extend(ValueInfoProto(name=n) for n in names if n not in known)

        def start(entries: Mapping[str, str]) -> Any:
            options = ort.SessionOptions()
            if not self._precise:
                options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.intra_op_num_threads = 1
            options.log_severity_level = _ERRORS_ONLY
            for key, value in entries.items():
                options.add_session_config_entry(key, value)
            providers = ["CPUExecutionProvider"]
            return ort.InferenceSession(model.SerializeToString(), options, providers)

        return (open_precise(start)[0] if self._precise else start({})), names
