"""TFLite files: LiteRT's own schema says what is in them, XNNPACK what it takes of them."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.network import (
    Network,
    OffFastPath,
    Operator,
    Placement,
    Quantization,
    Role,
    Tensor,
    bits,
)
from edgeskin.formats.tflite.tflite_facts import facts

# What the schema's reader raises where offsets lead astray.
_BROKEN = (struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError)

_ROLES: dict[str, Role] = {
    **dict.fromkeys(
        ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"),
        "multiply",
    ),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"), "clamp"),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), "move"),
    "TRANSPOSE": "transpose",
    "QUANTIZE": "quantize",
    "DEQUANTIZE": "dequantize",
}


def read(path: Path) -> Network:
    """The main subgraph of a `.tflite` file.

    Raises:
        InvalidArtifact: Truncated, or not a TFLite file.
    """
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise InvalidArtifact(f"{path} is not a TFLite file, or is cut off at its start")
    try:
        return _network(content)
    except _BROKEN as error:
        why = str(error) or type(error).__name__
        raise InvalidArtifact(f"{path} is truncated or not a TFLite file: {why}") from error


def _network(content: bytes) -> Network:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    names = _names(graph)
    tensors = [
        _tensor(tensor, name, model.buffers, schema)
        for tensor, name in zip(graph.tensors, names, strict=True)
    ]
    for tensor, entry in zip(tensors, graph.tensors, strict=True):
        _check_length(tensor, entry, model.buffers, len(content))
    codes = _words(schema.BuiltinOperator)
    kinds = [_type(code, codes) for code in model.operatorCodes or ()]
    return Network(
        tuple(_operator(op, kinds[op.opcodeIndex], model, tensors) for op in graph.operators or ()),
        {tensor.name: tensor for tensor in tensors},
        tuple(names[i] for i in _indices(graph.inputs)),
        tuple(names[i] for i in _indices(graph.outputs)),
        qdq=False,
        facts=facts(model, kinds, content, names),
        constants=partial(
            _numbers, content, model.buffers, dict(zip(names, graph.tensors, strict=True)), schema
        ),
    )


def _numbers(
    content: bytes, buffers: Any, entries: Mapping[str, Any], schema: Any, name: str
) -> NDArray[Any]:
    """The numbers of a constant whose type numpy has, flat."""
    buffer = buffers[entries[name].buffer]
    behind = content[buffer.offset : buffer.offset + buffer.size]
    data = behind if buffer.offset > 1 else bytes(buffer.data)
    return np.frombuffer(data, _words(schema.TensorType)[entries[name].type].lower())


def _check_length(tensor: Tensor, entry: Any, buffers: Any, end: int) -> None:
    """A constant has as many bytes as its shape and type ask for, all of them in the file."""
    buffer = buffers[entry.buffer]
    if buffer.offset > 1 and buffer.offset + buffer.size > end:
        raise ValueError(
            f"'{tensor.name}' reaches to byte {buffer.offset + buffer.size}, the file has {end}"
        )
    if not tensor.constant or entry.sparsity is not None or tensor.dtype == "string":
        return
    needed = -(-math.prod(tensor.shape) * bits(tensor.dtype) // 8)
    if min(tensor.shape, default=0) < 0 or needed > tensor.stored_bytes:
        shape = "x".join(map(str, tensor.shape))
        raise ValueError(
            f"'{tensor.name}' is {shape} {tensor.dtype} in {tensor.stored_bytes} bytes"
        )


def _indices(vector: Any) -> list[int]:
    """Indices of tensors; -1 stands for an input that is left out, others are refused."""
    indices = [] if vector is None else [int(index) for index in vector]
    if min(indices, default=0) < -1:
        raise ValueError(f"an operator refers to tensor {min(indices)}")
    return [index for index in indices if index >= 0]


def place(path: Path, network: Network) -> Placement:
    """Which operators XNNPACK takes.

    LiteRT lists the file's operators and, behind them, one for each delegated
    part, with the tensors at both ends of it: what lies between is inside.
    """
    listed = _operators(path)
    count = len(network.operators)
    parts = [op for op in listed[count:] if op["op_name"] == "DELEGATE"]
    producer = {int(t): i for i, op in enumerate(listed[:count]) for t in op["outputs"]}
    inside: set[int] = set()
    for part in parts:
        inside |= _between(part, listed, producer)
    off = [
        OffFastPath(op.type, op.name, _types(op, network))
        for i, op in enumerate(network.operators)
        if i not in inside
    ]
    return Placement(f"LiteRT {version('ai-edge-litert')}, XNNPACK", tuple(off), len(parts))


def _between(part: Any, listed: Any, producer: dict[int, int]) -> set[int]:
    """Operators met on the way back from a part's outputs to its inputs."""
    ends, waiting, inside = set(map(int, part["inputs"])), list(map(int, part["outputs"])), set()
    while waiting:
        tensor = waiting.pop()
        index = producer.get(tensor)
        if index is not None and index not in inside and tensor not in ends:
            inside.add(index)
            waiting += [int(t) for t in listed[index]["inputs"]]
    return inside


def _operators(path: Path) -> Any:
    """The operators that LiteRT runs, once its delegate has taken what it takes."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        return interpreter._get_ops_details()
    except (ValueError, RuntimeError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidArtifact(f"LiteRT refuses {path}: {why}") from error


def _names(graph: Any) -> list[str]:
    """The tensors' names; one that several share gets its index."""
    names = [(tensor.name or b"").decode(errors="replace") for tensor in graph.tensors or ()]
    counts = Counter(names)
    return [n if n and counts[n] == 1 else f"{n}#{i}" for i, n in enumerate(names)]


def _words(enumeration: Any) -> dict[int, str]:
    return {value: word for word, value in vars(enumeration).items() if isinstance(value, int)}


def _type(code: Any, words: dict[int, str]) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    word = words.get(number, f"operator {number}")
    custom = (code.customCode or b"").decode(errors="replace")
    return custom if word == "CUSTOM" and custom else word


def _tensor(tensor: Any, name: str, buffers: Any, schema: Any) -> Tensor:
    stored = buffers[tensor.buffer]
    size = 0 if stored.data is None else len(stored.data)
    return (
        Tensor(  # a size that is open in shapeSignature is in `shape` what the file was made with
            name,
            tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ())),
            _words(schema.TensorType)[tensor.type].lower(),
            constant=size > 0 or stored.offset > 1,
            quantization=_quantization(tensor.quantization),
            stored_bytes=size or int(stored.size if stored.offset > 1 else 0),
        )
    )


def _quantization(entry: Any) -> Quantization | None:
    if entry is None or entry.scale is None or not len(entry.scale):
        return None
    zeros = [0] * len(entry.scale) if entry.zeroPoint is None else entry.zeroPoint
    if len(zeros) != len(entry.scale):
        raise ValueError(f"{len(entry.scale)} scales have {len(zeros)} zero points")
    axis = int(entry.quantizedDimension) if len(entry.scale) > 1 else None
    return Quantization(tuple(map(float, entry.scale)), tuple(map(int, zeros)), axis)


def _operator(op: Any, kind: str, model: Any, tensors: list[Tensor]) -> Operator:
    ins, outs = _indices(op.inputs), _indices(op.outputs)
    data, weight, count = _multiply_adds(kind, [tensors[i] for i in ins + outs])
    return Operator(
        kind,
        tuple(tensors[i].name for i in ins),
        tuple(tensors[i].name for i in outs),
        _ROLES.get(kind, "other"),
        permutation=_permutation(model, ins) if kind == "TRANSPOSE" else (),
        operands=(tensors[ins[data]].name, tensors[ins[weight]].name) if count else (),
        multiply_adds=count,
    )


def _multiply_adds(kind: str, tensors: list[Tensor]) -> tuple[int, int, int]:
    """Places of data and weights among the inputs, and the number of products."""
    match kind, tensors:
        case "CONV_2D" | "FULLY_CONNECTED", [_, weight, *_, out]:
            return 0, 1, out.values * math.prod(weight.shape[1:])
        case "DEPTHWISE_CONV_2D", [_, weight, *_, out]:
            return 0, 1, out.values * math.prod(weight.shape[1:3])
        case "TRANSPOSE_CONV", [_, weight, data, *_]:
            return 2, 1, data.values * math.prod(weight.shape[:3])
        case "BATCH_MATMUL", [x, y, out] if out.values:
            # With b matrices, the product of the three sizes is b (m k n b)^2.
            batch = math.prod(out.shape[:-2])
            return 0, 1, math.isqrt(x.values * y.values * out.values // batch)
    return 0, 0, 0


def _permutation(model: Any, inputs: list[int]) -> tuple[int, ...]:
    if len(inputs) < 2:
        return ()
    buffer = model.buffers[model.subgraphs[0].tensors[inputs[1]].buffer].data
    return () if buffer is None else tuple(np.frombuffer(bytes(buffer), np.int32).tolist())


def _types(op: Operator, network: Network) -> str:
    kinds = [network.tensors[name].dtype for name in (*op.inputs[:1], *op.outputs[:1])]
    return "not taken: " + " to ".join(kinds)
