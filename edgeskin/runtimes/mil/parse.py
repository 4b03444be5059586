"""An ML Program as plain data: operators in order, constants as NumPy arrays.

Read from the protobuf itself, with the type that the file gives to each tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.coreml.package import Package
from edgeskin.runtimes.mil.blobs import BITS, Blobs, stored_bytes, unpack

MAX_ELEMENTS = 2**28  # of one tensor; 1 GiB in float32
OPSETS = ("CoreML5", "CoreML6", "CoreML7", "CoreML8", "CoreML9")  # iOS 15 to 18, and 26
_DTYPES = {
    1: "bool",
    2: "str",
    10: "float16",
    11: "float32",
    12: "float64",
    21: "int8",
    22: "int16",
    23: "int32",
    24: "int64",
    25: "int4",
    31: "uint8",
    32: "uint16",
    33: "uint32",
    34: "uint64",
    35: "uint4",
    36: "uint2",
    37: "uint1",
    38: "uint6",
    39: "uint3",
}


@dataclass(frozen=True)
class Type:
    """A tensor's element type as NumPy calls it (or uint1 to uint6, int4), and its shape.

    A size that only a run tells is -1.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Variable:
    """A named tensor; `type` is None for what a classifier gives beside tensors."""

    name: str
    type: Type | None


Constant = NDArray[Any] | tuple[Any, ...]
Argument = str | Constant  # a variable's name, or a value written in place


@dataclass(frozen=True)
class Operation:
    """One operator; every input is a list of arguments, of one but for `concat` and the like."""

    type: str
    inputs: Mapping[str, tuple[Argument, ...]]
    outputs: tuple[Variable, ...]
    blocks: tuple[Block, ...] = ()

    @property
    def name(self) -> str:
        return self.outputs[0].name if self.outputs else ""


@dataclass(frozen=True)
class Block:
    """Operators in the order of the file, and the names of what they give."""

    inputs: tuple[Variable, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """The function that an app runs; constants by name, those of inner blocks too."""

    opset: str
    block: Block
    constants: Mapping[str, Constant]


def read_program(model: Any, package: Package) -> Program:
    """The default function of a Model message.

    Raises:
        InvalidArtifact: Not an ML Program, an opset of the future, or weights
            that are missing, truncated, elsewhere, or of another type.
    """
    kind = model.WhichOneof("Type")
    if kind != "mlProgram":
        raise InvalidArtifact(
            f"{package.path} holds a {kind or 'model without a type'}, not an ML Program: "
            "it can be inspected, not run; convert it again for iOS 15 or newer"
        )
    name = model.description.defaultFunctionName or "main"
    if name not in model.mlProgram.functions:
        raise InvalidArtifact(f"{package.path} has no function '{name}'")
    function = model.mlProgram.functions[name]
    if function.opset not in OPSETS or function.opset not in function.block_specializations:
        raise InvalidArtifact(
            f"{package.path} has the operator set '{function.opset}'; known are {', '.join(OPSETS)}"
        )
    reader = _Reader(package)
    inputs = tuple(_variable(value) for value in function.inputs)
    block = reader.block(function.block_specializations[function.opset], inputs)
    return Program(function.opset, block, reader.constants)


class _Reader:
    """Walks the messages; opens each weights file once."""

    def __init__(self, package: Package):
        self.constants: dict[str, Constant] = {}
        self._package = package
        self._files: dict[str, Blobs] = {}

    def block(self, message: Any, inputs: tuple[Variable, ...]) -> Block:
        operations = []
        for operation in message.operations:
            if operation.type == "const":
                value = self._value(operation.attributes["val"])
                self.constants[operation.outputs[0].name] = value
            else:
                operations.append(self._operation(operation))
        return Block(inputs, tuple(operations), tuple(message.outputs))

    def _operation(self, message: Any) -> Operation:
        inputs: dict[str, tuple[Argument, ...]] = {
            key: tuple(self._argument(binding) for binding in argument.arguments)
            for key, argument in message.inputs.items()
        }
        for key, value in message.attributes.items():  # as iOS 16 and 17 write compressed weights
            if key != "name":
                inputs[key] = (self._value(value),)
        blocks = tuple(self.block(b, tuple(map(_variable, b.inputs))) for b in message.blocks)
        outputs = tuple(map(_variable, message.outputs))
        return Operation(message.type, inputs, outputs, blocks)

    def _argument(self, binding: Any) -> Argument:
        return (
            binding.name if binding.WhichOneof("binding") == "name" else self._value(binding.value)
        )

    def _value(self, message: Any) -> Constant:
        if message.type.WhichOneof("type") == "listType":
            values = message.immediateValue.list.values
            return tuple(np.asarray(self._value(value)).item() for value in values)
        kind = tensor_type(message.type)
        if kind is None or -1 in kind.shape:
            raise self._package.damaged("it has a constant that is no tensor of known size")
        count = math.prod(kind.shape)
        if message.WhichOneof("value") == "blobFileValue":
            place = message.blobFileValue
            flat = self._blobs(place.fileName).read(place.offset, kind.dtype, count)
        else:
            flat = self._immediate(message.immediateValue.tensor, kind.dtype, count)
        return flat.reshape(kind.shape)

    def _immediate(self, tensor: Any, dtype: str, count: int) -> NDArray[Any]:
        field = tensor.WhichOneof("value")
        values: Any = getattr(tensor, field).values if field else ()
        if len(values) != (stored_bytes(dtype, count) if field == "bytes" else count):
            raise self._package.damaged(
                f"it has a constant of {len(values)} {field} for {count} of {dtype}"
            )
        if field != "bytes":
            return np.array(values, dtype)
        raw = np.frombuffer(values, np.uint8)
        return unpack(raw, dtype, count) if dtype in BITS else raw.view(dtype)

    def _blobs(self, name: str) -> Blobs:
        if name not in self._files:
            self._files[name] = Blobs(self._package.weights_file(name))
        return self._files[name]


def tensor_type(message: Any) -> Type | None:
    """A ValueType as a Type; None for lists, dictionaries and the like.

    Raises InvalidArtifact for an element type that is unknown, and for absurd sizes.
    """
    if message.WhichOneof("type") != "tensorType":
        return None
    tensor = message.tensorType
    if tensor.dataType not in _DTYPES:
        raise InvalidArtifact(f"the program has a tensor of the unknown type {tensor.dataType}")
    if tensor.rank != len(tensor.dimensions):
        raise InvalidArtifact("the program has a tensor whose rank and dimensions disagree")
    shape = tuple(_size_of(dimension) for dimension in tensor.dimensions)
    check_size(shape)
    return Type(_DTYPES[tensor.dataType], shape)


def check_size(shape: Iterable[int]) -> None:
    """Refuse a tensor larger than any real model has.

    Raises:
        InvalidArtifact: It has more than `MAX_ELEMENTS` values.
    """
    known = [max(size, 1) for size in shape]
    if math.prod(known) > MAX_ELEMENTS:
        raise InvalidArtifact(
            f"the program has a tensor of {' x '.join(map(str, known))} values, "
            f"over the {MAX_ELEMENTS} that are allowed: it is damaged"
        )


def _variable(message: Any) -> Variable:
    return Variable(message.name, tensor_type(message.type))


def _size_of(dimension: Any) -> int:
    return int(dimension.constant.size) if dimension.WhichOneof("dimension") == "constant" else -1
