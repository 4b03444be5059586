"""ONNX files, as written and as ONNX Runtime rewrites them when it loads them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
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
    **dict.fromkeys(("Relu", "Clip"), "clamp"),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"), "move"),
    "Transpose": "transpose",
    "QuantizeLinear": "quantize",
    "DequantizeLinear": "dequantize",
    "BatchNormalization": "batch_norm",
}
# Products: the places of data and weights among the inputs.
_MULTIPLY = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), (0, 1)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (0, 1)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QGemm"), (0, 3)),
}
_QDQ = ("QuantizeLinear", "DequantizeLinear")
_ERRORS_ONLY = 3


def read(path: Path) -> Network:
    """The graph of an `.onnx` file, its shapes inferred.

    Raises:
        InvalidArtifact: Truncated, not an ONNX file, or its external data is missing.
    """
    import onnx

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf, onnx and the file system have types of their own
        raise InvalidArtifact(
            f"{path} is truncated or not an ONNX model: {_line(error)}"
        ) from error
    with suppress(Exception):  # over 2 GB, or other domains: sizes stay unknown
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return network(model)


def network(model: Any) -> Network:
    """A ModelProto as a Network; constants written as nodes become tensors."""
    graph = model.graph
    tensors = _tensors(graph)
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    constants = _constants(graph)
    found = [_quantization(node, constants) for node in nodes]
    for node, known in zip(nodes, found, strict=True):
        if known:
            _add_quantization(node, tensors, *known)
    return Network(
        tuple(
            _operator(node, tensors, known[0] if known else None)
            for node, known in zip(nodes, found, strict=True)
        ),
        tensors,
        tuple(value.name for value in graph.input if not tensors[value.name].constant),
        tuple(value.name for value in graph.output),
    )


def place(path: Path, written: Network) -> Placement:
    """Where ONNX Runtime's CPU provider computes in float what the file has in integers.

    It writes out the graph that it runs: an operator that still stands between
    a DequantizeLinear and a QuantizeLinear there has no integer kernel.
    """
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        optimised = Path(scratch) / "optimised.onnx"
        options.optimized_model_filepath = str(optimised)
        try:
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            run = network(onnx.load(optimised))
        except Exception as error:  # ONNX Runtime's own types share no base but Exception
            raise InvalidArtifact(f"ONNX Runtime refuses {path}: {_line(error)}") from error
    off = [
        Off(op.type, op.name, "computed in float: its QDQ pairs did not fuse")
        for op in run.operators
        if run.is_integer(op) and op.role != "dequantize" and run.after(op, "dequantize")
    ]
    shapes = {name: tensor.shape for name, tensor in written.tensors.items()}
    tensors = {n: replace(t, shape=t.shape or shapes.get(n, ())) for n, t in run.tensors.items()}
    graph = replace(run, tensors=tensors)
    return Placement(f"ONNX Runtime {ort.__version__}, CPU", tuple(off), graph=graph)


def _tensors(graph: Any) -> dict[str, Tensor]:
    """Every tensor of a graph; the type of one that nothing declares is `unknown`."""
    found = {name: Tensor(name, (), "unknown") for node in graph.node for name in node.output}
    for value in (*graph.value_info, *graph.input, *graph.output):
        kind = value.type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
        found[value.name] = Tensor(value.name, shape, _dtype(kind.elem_type))
    for node in graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = replace(found[node.output[0]], constant=True)
    for stored in graph.initializer:
        found[stored.name] = Tensor(
            stored.name, tuple(stored.dims), _dtype(stored.data_type), constant=True
        )
    return found


def _dtype(number: int) -> str:
    import onnx

    try:
        return onnx.helper.tensor_dtype_to_np_dtype(number).name
    except KeyError:
        return "unknown"


def _constants(graph: Any) -> dict[str, Any]:
    """The values of constants, those written as nodes included."""
    from onnx import numpy_helper

    nodes = [node for node in graph.node if node.op_type == "Constant"]
    written = {n.output[0]: a.t for n in nodes for a in n.attribute if a.name == "value"}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    return {name: numpy_helper.to_array(t) for name, t in (written | stored).items()}


def _quantization(node: Any, constants: Mapping[str, Any]) -> tuple[Quantization, str] | None:
    """Scale and zero point of a QDQ node, and the type of its integer side."""
    if node.op_type not in _QDQ or node.input[1] not in constants:
        return None
    scale = constants[node.input[1]].reshape(-1)
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    zeros = (0,) * scale.size if zero is None else tuple(zero.reshape(-1).tolist())
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    dtype = "uint8" if zero is None else zero.dtype.name
    return Quantization(tuple(scale.tolist()), zeros, axis if scale.size > 1 else None), dtype


def _add_quantization(
    node: Any, tensors: dict[str, Tensor], quantization: Quantization, dtype: str
) -> None:
    """Give the integer side of a QDQ node its type and, where it is made there, its scale."""
    if node.op_type == "QuantizeLinear":
        made = tensors[node.output[0]]
        tensors[made.name] = replace(made, dtype=dtype, quantization=quantization)
    elif tensors[node.input[0]].dtype == "unknown":
        tensors[node.input[0]] = replace(tensors[node.input[0]], dtype=dtype)


def _operator(
    node: Any, tensors: Mapping[str, Tensor], quantization: Quantization | None
) -> Operator:
    given = node.input[:1] if node.op_type in _QDQ else node.input
    inputs = tuple(name for name in given if name in tensors)
    operands, count = _multiply_adds(node, tensors)
    return Operator(
        node.op_type,
        inputs,
        tuple(name for name in node.output if name),
        _ROLES.get(node.op_type, "multiply" if operands else "other"),
        permutation=tuple(i for a in node.attribute if a.name == "perm" for i in a.ints),
        operands=operands,
        multiply_adds=count,
        quantization=quantization if node.op_type == "DequantizeLinear" else None,
    )


def _multiply_adds(node: Any, tensors: Mapping[str, Tensor]) -> tuple[tuple[str, ...], int]:
    """The two tensors that are multiplied, and the number of products."""
    if node.op_type not in _MULTIPLY:
        return (), 0
    x, weight = (tensors[node.input[i]] for i in _MULTIPLY[node.op_type])
    out = tensors[node.output[0]]
    match node.op_type:
        case "Conv" | "ConvInteger" | "QLinearConv":
            count = out.values * math.prod(weight.shape[1:])
        case "ConvTranspose":
            count = x.values * math.prod(weight.shape[1:])
        case _:
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            count = out.values * (x.shape[0 if transposed else -1] if x.shape else 0)
    return (x.name, weight.name), max(0, count)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
