"""ONNX files, as written and as ONNX Runtime rewrites them when it loads them."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
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
)
from edgeskin.formats.onnx.onnx_files import batch_of_one, check_stored, facts, stored_bytes

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
# Operators on integers: (data, scale, zero point) of each input; scale, zero point of the output.
_QLINEAR = {
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), (((0, 1, 2), (3, 4, 5)), (6, 7))),
    "QGemm": (((0, 1, 2), (3, 4, 5)), (7, 8)),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), (((0, 1, 2), (3, 4, 5)), (6, 7))),
    **dict.fromkeys(
        ("QLinearSigmoid", "QLinearLeakyRelu", "QLinearGlobalAveragePool", "QLinearAveragePool"),
        (((0, 1, 2),), (3, 4)),
    ),
}
_ERRORS_ONLY = 3
_RECORD_PROVIDERS = "session.record_ep_graph_assignment_info"


def read(path: Path) -> Network:
    """The graph of an `.onnx` file, its shapes inferred for a batch of one.

    Raises:
        InvalidArtifact: Truncated, not an ONNX file, or its external data is
            missing, too short, or outside the file's folder.
    """
    import onnx.inliner

    try:
        model = onnx.load(path, load_external_data=False)
        check_stored(model, path)
        file_facts = facts(model)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        batch_of_one(model.graph)
        with suppress(Exception):  # over 2 GB, or other domains: sizes stay unknown
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        return replace(network(model, path.parent), facts=file_facts)
    except InvalidArtifact:
        raise
    except Exception as error:  # protobuf, onnx and the file system have types of their own
        raise InvalidArtifact(
            f"{path} is truncated or not an ONNX model: {_line(error)}"
        ) from error


def network(model: Any, folder: Path) -> Network:
    """A ModelProto as a Network; constants written as nodes become tensors."""
    graph = model.graph
    tensors = _tensors(graph)
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    constants = _Constants(graph, folder)
    quantizations = [_quantization(node, constants) for node in nodes]
    for node, quantization in zip(nodes, quantizations, strict=True):
        if quantization:
            _add_quantization(node, tensors, *quantization)
        elif node.op_type in _QLINEAR:
            _add_qlinear(node, tensors, constants)
    return Network(
        tuple(
            _operator(node, tensors, quantization[0] if quantization else None)
            for node, quantization in zip(nodes, quantizations, strict=True)
        ),
        tensors,
        tuple(value.name for value in graph.input if not tensors[value.name].constant),
        tuple(value.name for value in graph.output),
        constants=constants.read,
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
    options.add_session_config_entry(_RECORD_PROVIDERS, "1")
    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        optimised = Path(scratch) / "optimised.onnx"
        options.optimized_model_filepath = str(optimised)
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            run = network(onnx.load(optimised, load_external_data=False), Path(scratch))
        except Exception as error:  # ONNX Runtime's own types share no base but Exception
            raise InvalidArtifact(f"ONNX Runtime refuses {path}: {_line(error)}") from error
        providers = _providers(session)
    off = [
        OffFastPath(op.type, op.name, "computed in float: its QDQ pairs did not fuse")
        for op in run.operators
        if run.is_integer(op) and op.role != "dequantize" and run.follows(op, "dequantize")
    ]
    shapes = {name: tensor.shape for name, tensor in written.tensors.items()}
    tensors = {n: replace(t, shape=t.shape or shapes.get(n, ())) for n, t in run.tensors.items()}
    return Placement(
        f"ONNX Runtime {ort.__version__}, CPU",
        tuple(off),
        graph=replace(run, tensors=tensors),
        providers=providers,
    )


def _providers(session: Any) -> dict[str, int]:
    """Operators by the provider that ONNX Runtime assigned them to; empty before 1.24."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def _tensors(graph: Any) -> dict[str, Tensor]:
    """Every tensor of a graph; the type of one that nothing declares is `unknown`."""
    tensors = {name: Tensor(name, (), "unknown") for node in graph.node for name in node.output}
    for value in (*graph.value_info, *graph.input, *graph.output):
        kind = value.type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
        tensors[value.name] = Tensor(value.name, shape, _dtype(kind.elem_type))
    for node in graph.node:
        if node.op_type == "Constant":
            tensors[node.output[0]] = replace(tensors[node.output[0]], constant=True)
    for stored in graph.initializer:
        tensors[stored.name] = Tensor(
            stored.name,
            tuple(stored.dims),
            _dtype(stored.data_type),
            constant=True,
            stored_bytes=stored_bytes(stored),
        )
    return tensors


def _dtype(number: int) -> str:
    import onnx

    try:
        return onnx.helper.tensor_dtype_to_np_dtype(number).name
    except KeyError:
        return "unknown"


class _Constants:
    """The values of constants by name, those written as nodes included, read when asked for."""

    def __init__(self, graph: Any, folder: Path):
        nodes = [node for node in graph.node if node.op_type == "Constant"]
        written = {n.output[0]: a.t for n in nodes for a in n.attribute if a.name == "value"}
        self.stored = written | {tensor.name: tensor for tensor in graph.initializer}
        self.folder = folder

    def get(self, name: str) -> NDArray[Any] | None:
        from onnx import numpy_helper

        if name not in self.stored:
            return None
        return numpy_helper.to_array(self.stored[name], str(self.folder)).reshape(-1)

    def read(self, name: str) -> NDArray[Any]:
        values = self.get(name)
        if values is None:
            raise KeyError(name)
        return values


def _quantization(node: Any, constants: _Constants) -> tuple[Quantization, str] | None:
    """Scale and zero point of a QDQ node, and the type of its integer side."""
    if node.op_type not in _QDQ:
        return None
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    return _read_quantization(*node.input[1:3], constants=constants, axis=axis)


def _read_quantization(
    scale: str, zero: str = "", *, constants: _Constants, axis: int
) -> tuple[Quantization, str] | None:
    """The quantization that two constants hold; None where the scale is no constant."""
    scales, zeros = constants.get(scale), constants.get(zero)
    if scales is None:
        return None
    if zeros is None:
        zeros = np.zeros(scales.size, np.uint8)
    if zeros.size != scales.size:
        raise ValueError(f"'{scale}' has {scales.size} scales, '{zero}' {zeros.size} zero points")
    quantization = Quantization(
        tuple(map(float, scales)), tuple(map(int, zeros)), axis if scales.size > 1 else None
    )
    return quantization, zeros.dtype.name


def _add_qlinear(node: Any, tensors: dict[str, Tensor], constants: _Constants) -> None:
    """Give the ends of an integer operator the types and scales that its own inputs name."""
    of_inputs, of_output = _QLINEAR[node.op_type]
    axis = 1 if node.op_type == "QLinearMatMul" else 0
    # The name of a tensor, and the names of its scale and zero point.
    ends = [(node.input[i], [node.input[j] for j in pair]) for i, *pair in of_inputs]
    ends.append((node.output[0], [node.input[j] for j in of_output if j < len(node.input)]))
    for name, pair in ends:
        named = bool(pair) and all(pair)
        stored = _read_quantization(*pair, constants=constants, axis=axis) if named else None
        if stored and name in tensors:
            quantization, dtype = stored
            tensors[name] = replace(tensors[name], quantization=quantization, dtype=dtype)


def _add_quantization(
    node: Any, tensors: dict[str, Tensor], quantization: Quantization, dtype: str
) -> None:
    """Give the integer side of a QDQ node its type and, where it is made there, its scale."""
    if node.op_type == "QuantizeLinear":
        output = tensors[node.output[0]]
        tensors[output.name] = replace(output, dtype=dtype, quantization=quantization)
    elif tensors[node.input[0]].dtype == "unknown":
        tensors[node.input[0]] = replace(tensors[node.input[0]], dtype=dtype)


def _operator(
    node: Any, tensors: Mapping[str, Tensor], quantization: Quantization | None
) -> Operator:
    names = node.input[:1] if node.op_type in _QDQ else node.input
    if node.op_type in _QLINEAR:  # without scales and zero points, which steer it
        of_inputs, of_output = _QLINEAR[node.op_type]
        steering = {i for _, *pair in of_inputs for i in pair} | set(of_output)
        names = [name for i, name in enumerate(names) if i not in steering]
    inputs = tuple(name for name in names if name in tensors)
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
        node=node.name,
    )


def _multiply_adds(node: Any, tensors: Mapping[str, Tensor]) -> tuple[tuple[str, ...], int]:
    """The two tensors that are multiplied, and the number of products."""
    if node.op_type not in _MULTIPLY:
        return (), 0
    if any(node.input[i] not in tensors for i in _MULTIPLY[node.op_type]):
        return (), 0  # a tensor of the graph around this one
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
