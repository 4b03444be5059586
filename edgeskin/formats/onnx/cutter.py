"""Parts of ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.cutting import needed
from edgeskin.formats.network import Network


def open_cutter(path: Path, network: Network) -> OnnxCutter:
    return OnnxCutter(path, network)


class OnnxCutter:
    """Cuts a part out of an ONNX graph, as a model of its own."""

    integers = True

    def __init__(self, path: Path, network: Network):
        self.path = path
        self.network = network
        self.model = onnx.load(path)
        self.stored = {tensor.name: tensor for tensor in self.model.graph.initializer}
        declared = (*self.model.graph.input, *self.model.graph.output)
        self.declared = {value.name: value for value in declared}

    def cut(self, inputs: Sequence[str], outputs: Sequence[str], out: Path) -> None:
        graph = self.model.graph
        steps = [(node.input, node.output) for node in graph.node]
        nodes = [graph.node[i] for i in needed(steps, inputs, outputs)]
        read = {name for node in nodes for name in node.input if name}
        computed = {name for node in nodes for name in node.output}
        stored = [self.stored[name] for name in sorted(read & self.stored.keys())]
        missing = read - computed - self.stored.keys() - set(inputs)
        if missing:
            raise InvalidArtifact(
                f"{self.path.name}: {outputs[0]} also depends on {min(missing)}, an input"
            )
        part = helper.make_graph(
            nodes,
            self.model.graph.name,
            [self._value(name) for name in inputs],
            [self._value(name) for name in outputs],
            stored,
        )
        model = helper.make_model(part, opset_imports=self.model.opset_import)
        model.ir_version = self.model.ir_version
        out.write_bytes(model.SerializeToString())

    def _value(self, name: str) -> Any:
        if name in self.declared:
            return self.declared[name]
        tensor = self.network.tensors[name]
        typed = tensor.dtype != "unknown"
        kind = helper.np_dtype_to_tensor_dtype(_numpy(tensor.dtype)) if typed else TensorProto.FLOAT
        shape = [None if size == -1 else size for size in tensor.shape]
        return helper.make_tensor_value_info(name, kind, shape)


def _numpy(name: str) -> Any:
    import numpy as np

    return np.dtype(name)
