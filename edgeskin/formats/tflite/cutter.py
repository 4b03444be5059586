"""Parts of TFLite files."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.cutting import needed
from edgeskin.formats.network import Network
from edgeskin.formats.tflite.flatbuffer import Graph


def open_cutter(path: Path, network: Network) -> TFLiteCutter:
    return TFLiteCutter(path, network)


class TFLiteCutter:
    """Cuts a part out of a flatbuffer, as a model of its own."""

    integers = True

    def __init__(self, path: Path, network: Network):
        self.path = path
        self.graph = Graph(path.read_bytes())
        self.names = list(network.tensors)  # in the order of the file
        self.number = {name: index for index, name in enumerate(self.names)}

    def cut(self, inputs: Sequence[str], outputs: Sequence[str], out: Path) -> None:
        operators = self.graph.operators
        steps = [
            ([self.names[t] for t in op.inputs if t >= 0], [self.names[t] for t in op.outputs])
            for op in operators
        ]
        part = _Part(self.graph, self.names)
        ends = [part.tensor(self.number[name], as_input=True) for name in inputs]
        kept = [part.operator(operators[i]) for i in needed(steps, inputs, outputs)]
        computed = {t for op in kept for t in op.outputs}
        for index, tensor in enumerate(part.tensors):
            if index not in computed and index not in ends and not part.is_constant(tensor):
                raise InvalidArtifact(
                    f"{self.path.name}: {outputs[0]} also depends on {tensor.name}, an input"
                )
        out.write_bytes(part.pack(kept, ends, [part.tensor(self.number[n]) for n in outputs]))


class _Part:
    """Tensors and buffers in use, numbered anew; the schema's other objects are shared."""

    def __init__(self, graph: Graph, names: Sequence[str]):
        self.graph = graph
        self.names = names
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]
        self._known: dict[int, int] = {}

    def tensor(self, number: int, *, as_input: bool = False) -> int:
        """The new number of a tensor; `as_input` leaves its constant values behind."""
        if number < 0:
            return number
        if number not in self._known:
            twin = copy.copy(self.graph.body.tensors[number])
            twin.name = self.names[number]
            buffer = self.graph.model.buffers[twin.buffer]
            twin.buffer = 0
            if not as_input and buffer.data is not None and len(buffer.data):
                self.buffers.append(buffer)
                twin.buffer = len(self.buffers) - 1
            self.tensors.append(twin)
            self._known[number] = len(self.tensors) - 1
        return self._known[number]

    def is_constant(self, tensor: Any) -> bool:
        return bool(tensor.buffer)

    def operator(self, operator: Any) -> Any:
        twin = copy.copy(operator)
        twin.inputs = [self.tensor(t) for t in operator.inputs]
        twin.outputs = [self.tensor(t) for t in operator.outputs]
        return twin

    def pack(self, operators: list[Any], inputs: list[int], outputs: list[int]) -> bytes:
        body = schema.SubGraphT()
        body.name, body.tensors, body.operators = b"main", self.tensors, operators
        body.inputs, body.outputs = inputs, outputs
        model = schema.ModelT()
        model.version, model.operatorCodes = 3, self.graph.model.operatorCodes
        model.subgraphs, model.buffers = [body], self.buffers
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
