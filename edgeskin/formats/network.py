"""A model file as the audit sees it: operators and tensors, the same for every format.

Each format's module reads a file into a `Network`; what is asked of one
(`document.py`) is asked of all.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from numpy.typing import NDArray

# What an operator is to the audit, whatever its format calls it. `multiply` is
# counted in multiply-adds; `clamp` is an activation that integer kernels apply
# for free; `move` and `transpose` change no value.
Role = Literal[
    "multiply", "clamp", "move", "transpose", "quantize", "dequantize", "batch_norm", "other"
]


_UNARY = ("clamp", "move", "transpose", "quantize", "dequantize")


def bits(dtype: str) -> int:
    """Bits of one value: the number in the type's name; 8 for bool and others without one."""
    word = re.match(r"[a-z]+(\d+)", dtype)
    return int(word[1]) if word else 8


@dataclass(frozen=True)
class Quantization:
    """real = scale * (q - zero_point): one pair, or one for each channel along `axis`."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None


@dataclass(frozen=True)
class Tensor:
    """A tensor of a model file.

    `dtype` is a numpy name; a size of -1 is known only at run time. `stored_bytes` is
    what a constant takes in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool = False
    quantization: Quantization | None = None
    stored_bytes: int = 0

    @property
    def is_integer(self) -> bool:
        return "int" in self.dtype

    @property
    def values(self) -> int:
        """The number of values; 0 where a size is not known."""
        return max(0, math.prod(self.shape)) if -1 not in self.shape else 0


@dataclass(frozen=True)
class Operator:
    """An operator of a model file.

    `type` is the format's own word; `operands` are the two tensors that `multiply` takes.
    `multiply_adds` is 0 where a size is not known. `quantization` is what a
    `dequantize` reads its input with: two of them may read one constant in two ways.
    `node` is the name that an ONNX file gives the node.
    """

    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    role: Role = "other"
    permutation: tuple[int, ...] = ()
    operands: tuple[str, ...] = ()
    multiply_adds: int = 0
    quantization: Quantization | None = None
    node: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        return self.outputs[0] if self.outputs else self.type


COMPILED = frozenset({"EPContext", "DISPATCH_OP"})
"""Operators of ONNX Runtime and LiteRT that hold a part compiled for an accelerator."""


@dataclass(frozen=True)
class OffFastPath:
    """An operator that a runtime does not run on its fast path."""

    type: str
    name: str
    why: str


@dataclass(frozen=True)
class Placement:
    """What a runtime made of a file.

    `graph` is what it runs, `providers` how many operators each of its parts
    runs, where it says so.
    """

    runtime: str
    off: tuple[OffFastPath, ...] = ()
    partitions: int | None = None
    graph: Network | None = None
    providers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What a file says about itself.

    Attributes:
        deployment: Versions of the format, and what they ask for.
        images: Of each input that is an image, what the file says of its pixels.
        metadata: Its own entries, as text.
        beside: What it holds beside the network that is examined, in words.
    """

    deployment: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()


def _unread(name: str) -> NDArray[Any]:
    raise KeyError(name)


@dataclass(frozen=True)
class Network:
    """Operators from input to output, and tensors by name.

    `qdq` says that a pair of quantize and dequantize stands for an integer, as
    in ONNX and Core ML; without it they are conversions, which take time.
    `constants` gives the numbers of one, flat.
    """

    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    qdq: bool = True
    facts: Facts = Facts()
    constants: Callable[[str], NDArray[Any]] = field(default=_unread, compare=False, repr=False)

    @property
    def is_compiled(self) -> bool:
        """Whether a part of it is compiled for an accelerator, so that no CPU runs it."""
        return any(op.type in COMPILED for op in self.operators)

    def values(self, name: str) -> NDArray[Any]:
        """The numbers of a constant in its shape, read from the file when asked for."""
        return self.constants(name).reshape(self.tensors[name].shape)

    @cached_property
    def producer(self) -> dict[str, Operator]:
        return {name: op for op in self.operators for name in op.outputs}

    @cached_property
    def consumers(self) -> dict[str, list[Operator]]:
        consumers: dict[str, list[Operator]] = defaultdict(list)
        for op in self.operators:
            for name in dict.fromkeys(op.inputs):
                consumers[name].append(op)
        return consumers

    def stored(self, name: str) -> Tensor:
        """The tensor behind `name`, before what dequantizes it or moves its values."""
        read_with = None
        while (op := self.producer.get(name)) and op.role in ("dequantize", "move", "transpose"):
            name, read_with = op.inputs[0], op.quantization or read_with
        tensor = self.tensors[name]
        return replace(tensor, quantization=read_with) if read_with else tensor

    def effective_tensor(self, name: str) -> Tensor:
        """The tensor that an operator reading `name` computes with: of a QDQ pair, the integers."""
        stored = self.stored(name)
        return stored if self.qdq or stored.constant else self.tensors[name]

    def is_only_quantized(self, name: str) -> bool:
        """Whether all that reads a float tensor makes integers of it.

        A runtime then never holds the float numbers, only those integers.
        """
        if not self.qdq or name in self.outputs:
            return False
        readers = self.consumers.get(name, [])
        return bool(readers) and all(map(self._is_only_quantized_behind, readers))

    def _is_only_quantized_behind(self, op: Operator) -> bool:
        passes = op.role in ("clamp", "move", "transpose")
        return op.role == "quantize" or (passes and self.is_only_quantized(op.outputs[0]))

    def follows(self, op: Operator, role: Role) -> bool:
        """Whether an input that is no constant comes straight from an operator of `role`."""
        producers = [self.producer[name] for name in op.inputs if name in self.producer]
        return any(p.role == role and not self.tensors[p.inputs[0]].constant for p in producers)

    def is_integer(self, op: Operator) -> bool:
        """Whether an operator computes in integers, be they its types or QDQ pairs around it."""
        fused = op.role == "clamp" and op.inputs[0] in self.producer
        if fused and self.is_only_quantized(op.outputs[0]):
            return self.is_integer(self.producer[op.inputs[0]])
        if op.operands:
            return all(self.effective_tensor(name).is_integer for name in op.operands)
        inputs = [self.effective_tensor(name) for name in op.inputs if name in self.tensors]
        outputs = [name for name in op.outputs if name in self.tensors]
        return all(self._is_stored_as_integer(name) for name in outputs) and any(
            tensor.is_integer and not tensor.constant for tensor in inputs
        )

    def _is_stored_as_integer(self, name: str) -> bool:
        return self.tensors[name].is_integer or self.is_only_quantized(name)


def check(network: Network) -> None:
    """Compare the names that operators use with what is there.

    Raises:
        ValueError: An operator reads what a later one makes, two make the same
            tensor, an input, an output or a tensor is unknown, or there are no inputs or outputs.
    """
    for what, names in (("inputs", network.inputs), ("outputs", network.outputs)):
        if not names:
            raise ValueError(f"it has no {what}")
    computed: set[str] = set()
    for op in network.operators:
        if not op.outputs or (op.role in _UNARY and not op.inputs):
            raise ValueError(f"{op.type} '{op.name}' has no {'in' if op.outputs else 'out'}put")
        for name in (*op.inputs, *op.outputs):
            if name not in network.tensors:
                raise ValueError(
                    f"{op.type} '{op.name}' names a tensor that is not there, '{name}'"
                )
        for name in op.inputs:
            if name not in computed and name in network.producer:
                raise ValueError(f"{op.type} '{op.name}' reads '{name}', which is made after it")
        if repeated := computed.intersection(op.outputs):
            raise ValueError(f"'{min(repeated)}' is made twice")
        computed.update(op.outputs)
    if missing := set(network.outputs) - set(network.tensors):
        raise ValueError(f"its output '{min(missing)}' is not there")
