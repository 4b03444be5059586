"""A `.tflite` file as a graph that rewrites edit.

Tensors are numbers, as in the file; operators are the schema's own objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
_TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.UINT8: np.uint8,
}


class Graph:
    """The first subgraph of a model, with its operators in an order that runs."""

    def __init__(self, content: bytes):
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        _pull_in_buffers(self.model, content)
        self.body = self.model.subgraphs[0]
        for operator in self.operators:
            operator.inputs = [int(t) for t in operator.inputs]
            operator.outputs = [int(t) for t in operator.outputs]

    def pack(self) -> bytes:
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    @property
    def operators(self) -> list[Any]:
        operators: list[Any] = self.body.operators
        return operators

    def name(self, operator: Any) -> str:
        """The name of an operator in the schema, such as "CONV_2D"."""
        return _NAMES[self.model.operatorCodes[operator.opcodeIndex].builtinCode]

    def shape(self, tensor: int) -> tuple[int, ...]:
        shape = self.body.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def kind(self, tensor: int) -> Any:
        """The numpy type, or None for one that no rewrite touches."""
        return _TYPES.get(self.body.tensors[tensor].type)

    def quantization(self, tensor: int) -> tuple[float, int] | None:
        """Scale and zero point of a tensor that has just one of each."""
        entry = self.body.tensors[tensor].quantization
        if entry is None or entry.scale is None or len(entry.scale) != 1:
            return None
        return float(entry.scale[0]), int(entry.zeroPoint[0])

    def set_quantization(self, tensor: int, scale: float, zero_point: int) -> None:
        entry = schema.QuantizationParametersT()
        entry.scale = np.array([scale], np.float32)
        entry.zeroPoint = np.array([zero_point], np.int64)
        self.body.tensors[tensor].quantization = entry

    def constant(self, tensor: int) -> NDArray[Any] | None:
        data = self.model.buffers[self.body.tensors[tensor].buffer].data
        kind = self.kind(tensor)
        if data is None or not len(data) or kind is None:
            return None
        return np.asarray(data, np.uint8).view(kind).reshape(self.shape(tensor))

    def producer(self, tensor: int) -> Any | None:
        return next((op for op in self.operators if tensor in op.outputs), None)

    def consumers(self, tensor: int) -> list[Any]:
        return [op for op in self.operators if tensor in op.inputs]

    def is_output(self, tensor: int) -> bool:
        return tensor in self.body.outputs

    def add_constant(self, values: NDArray[Any], like: int | None = None) -> int:
        """A new constant tensor, with the scale and zero point of the tensor `like`."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        kind = next(code for code, kind in _TYPES.items() if kind == values.dtype)
        return self._add(values.shape, kind, like, len(self.model.buffers) - 1)

    def add_tensor(self, shape: Sequence[int], like: int) -> int:
        """A new activation with the type, scale and zero point of `like`."""
        return self._add(shape, self.body.tensors[like].type, like, 0)

    def add_float(self, shape: Sequence[int]) -> int:
        """A new float32 activation."""
        return self._add(shape, schema.TensorType.FLOAT32, None, 0)

    def _add(self, shape: Sequence[int], kind: int, like: int | None, buffer: int) -> int:
        tensor = schema.TensorT()
        tensor.name = f"legalized_{len(self.body.tensors)}"
        tensor.shape = [int(size) for size in shape]
        tensor.type, tensor.buffer, tensor.hasRank = kind, buffer, True
        if like is not None:
            tensor.quantization = self.body.tensors[like].quantization
        self.body.tensors.append(tensor)
        return len(self.body.tensors) - 1

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        """A new operator without options, not yet in the graph."""
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        self._set_code(operator, name)
        return operator

    def _set_code(self, operator: Any, name: str) -> None:
        code = getattr(schema.BuiltinOperator, name)
        codes = self.model.operatorCodes
        known = [index for index, entry in enumerate(codes) if entry.builtinCode == code]
        if not known:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
            entry.version = 1
            codes.append(entry)
        operator.opcodeIndex = known[0] if known else len(codes) - 1

    def insert_before(self, place: Any, operator: Any) -> None:
        self.operators.insert(self._index(place), operator)

    def insert_after(self, place: Any, operator: Any) -> None:
        self.operators.insert(self._index(place) + 1, operator)

    def _index(self, operator: Any) -> int:
        return next(index for index, one in enumerate(self.operators) if one is operator)

    def become(self, operator: Any, name: str, kind: int, options: Any) -> None:
        """Make `operator` one of another kind, with the options of that kind."""
        self._set_code(operator, name)
        operator.builtinOptionsType, operator.builtinOptions = kind, options

    def become_reshape(self, operator: Any, source: int) -> None:
        """Make `operator` a RESHAPE of `source`."""
        shape = np.array(self.shape(operator.outputs[0]), np.int32)
        operator.inputs = [source, self.add_constant(shape)]
        options = schema.ReshapeOptionsT()
        options.newShape = shape
        self.become(operator, "RESHAPE", schema.BuiltinOptions.ReshapeOptions, options)

    def reshaped(self, place: Any, source: int, shape: tuple[int, ...]) -> int:
        """`source` in another shape, by a RESHAPE in front of `place` where it needs one."""
        if self.shape(source) == shape:
            return source
        new = self.add_tensor(shape, like=source)
        reshape = self.operator("RESHAPE", [source], [new])
        self.insert_before(place, reshape)
        self.become_reshape(reshape, source)
        return new

    def remove_dead(self) -> None:
        """Drop operators whose results nobody uses."""
        needed = {int(tensor) for tensor in self.body.outputs}
        alive = []
        for operator in reversed(self.operators):
            if needed.intersection(operator.outputs):
                needed.update(operator.inputs)
                alive.append(operator)
        self.body.operators = alive[::-1]


def _pull_in_buffers(parsed: schema.ModelT, model: bytes) -> None:
    """Bring weights that lie behind the flatbuffer, found by offset, back into it."""
    for buffer in parsed.buffers:
        if buffer.offset:
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
