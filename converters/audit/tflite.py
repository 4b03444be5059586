"""TFLite files: LiteRT's own schema says what is in them, XNNPACK what it takes of them."""

from __future__ import annotations

import math
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgeskin.converters.audit.network import (
    Network,
    Off,
    Operator,
    Placement,
    Quantization,
    Role,
    Tensor,
)
from edgeskin.errors import InvalidArtifact

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
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise InvalidArtifact(f"{path} is not a TFLite file, or is cut off at its start")
    _interpreter(path)  # checks every offset in the file, which the schema's reader does not
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    names = _names(graph)
    tensors = [
        _tensor(tensor, name, model.buffers, schema)
        for tensor, name in zip(graph.tensors, names, strict=True)
    ]
    codes = _words(schema.BuiltinOperator)
    kinds = [_type(code, codes) for code in model.operatorCodes]
    return Network(
        tuple(_operator(op, kinds[op.opcodeIndex], model, tensors) for op in graph.operators),
        {tensor.name: tensor for tensor in tensors},
        tuple(names[i] for i in graph.inputs),
        tuple(names[i] for i in graph.outputs),
        qdq=False,
    )


def place(path: Path, network: Network) -> Placement:
    """Which operators XNNPACK takes.

    LiteRT lists the file's operators and, behind them, one for each delegated
    part, with the tensors at both ends of it: what lies between is inside.
    """
    listed = _interpreter(path)._get_ops_details()
    count = len(network.operators)
    parts = [op for op in listed[count:] if op["op_name"] == "DELEGATE"]
    producer = {int(t): i for i, op in enumerate(listed[:count]) for t in op["outputs"]}
    inside: set[int] = set()
    for part in parts:
        inside |= _between(part, listed, producer)
    off = [
        Off(op.type, op.name, _types(op, network))
        for i, op in enumerate(network.operators)
        if i not in inside
    ]
    return Placement(f"LiteRT {version('ai-edge-litert')}, XNNPACK", tuple(off), len(parts))


def _between(part: Any, listed: Any, producer: dict[int, int]) -> set[int]:
    """Operators met on the way back from a part's outputs to its inputs."""
    ends, waiting, found = set(map(int, part["inputs"])), list(map(int, part["outputs"])), set()
    while waiting:
        tensor = waiting.pop()
        index = producer.get(tensor)
        if index is not None and index not in found and tensor not in ends:
            found.add(index)
            waiting += [int(t) for t in listed[index]["inputs"]]
    return found


def _interpreter(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidArtifact(f"LiteRT refuses {path}: {why}") from error
    return interpreter


def _names(graph: Any) -> list[str]:
    """The tensors' names; one that several share gets its index."""
    given = [(tensor.name or b"").decode(errors="replace") for tensor in graph.tensors]
    often = Counter(given)
    return [n if n and often[n] == 1 else f"{n}#{i}" for i, n in enumerate(given)]


def _words(enumeration: Any) -> dict[int, str]:
    return {value: word for word, value in vars(enumeration).items() if isinstance(value, int)}


def _type(code: Any, words: dict[int, str]) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    word = words.get(number, f"operator {number}")
    return code.customCode.decode() if word == "CUSTOM" and code.customCode else word


def _tensor(tensor: Any, name: str, buffers: Any, schema: Any) -> Tensor:
    stored = buffers[tensor.buffer]
    shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return Tensor(
        name,
        tuple(int(size) for size in (shape if shape is not None else ())),
        _words(schema.TensorType)[tensor.type].lower(),
        constant=(stored.data is not None and len(stored.data) > 0) or stored.offset > 1,
        quantization=_quantization(tensor.quantization),
    )


def _quantization(found: Any) -> Quantization | None:
    if found is None or found.scale is None or not len(found.scale):
        return None
    zeros = found.zeroPoint if found.zeroPoint is not None else [0] * len(found.scale)
    axis = int(found.quantizedDimension) if len(found.scale) > 1 else None
    return Quantization(tuple(map(float, found.scale)), tuple(map(int, zeros)), axis)


def _operator(op: Any, kind: str, model: Any, tensors: list[Tensor]) -> Operator:
    ins = [int(i) for i in op.inputs if i >= 0]
    outs = [int(i) for i in op.outputs]
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
    import numpy as np

    buffer = model.buffers[model.subgraphs[0].tensors[inputs[1]].buffer].data
    return () if buffer is None else tuple(np.frombuffer(bytes(buffer), np.int32).tolist())


def _types(op: Operator, network: Network) -> str:
    kinds = [network.tensors[name].dtype for name in (*op.inputs[:1], *op.outputs[:1])]
    return "not taken: " + " to ".join(kinds)
