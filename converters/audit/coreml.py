"""Core ML packages: the ML Program as saved, weights file included.

Core ML says nowhere but on a device who runs an operator, so what is off the
fast path is judged by the pairs that coremltools itself puts around operators
for 8-bit activations (`insert_suffix_quantize_dequantize_pair`): conv, linear
and add, each with an activation behind it or without, and pooling. Between such
pairs the Neural Engine of the A17 Pro, M4 and later multiplies int8 by int8
(coremltools guide, "Linear 8-Bit Quantization" under "Performance").
"""

from __future__ import annotations

import importlib
import logging
import math
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
    **dict.fromkeys(("conv", "conv_transpose", "linear", "matmul"), "multiply"),
    **dict.fromkeys(("relu", "relu6", "clip"), "clamp"),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), "move"),
    "transpose": "transpose",
    "quantize": "quantize",
    "dequantize": "dequantize",
    "constexpr_affine_dequantize": "dequantize",
    "batch_norm": "batch_norm",
}
_DTYPES = {"fp16": "float16", "fp32": "float32", "fp64": "float64"}
_DATA = {
    "x",
    "y",
    "weight",
    "bias",
    "values",
    "gamma",
    "beta",
    "mean",
    "variance",
    "a",
    "b",
    "data",
}
_DATA |= {"query", "key", "value", "attn_mask", "cond"}
_FUSED = {"conv", "linear", "add", "avg_pool", "max_pool"}
_ACTIVATIONS = {"leaky_relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid", "relu", "relu6"}


def read(path: Path) -> Network:
    """The main function of the ML Program in an `.mlpackage`.

    Raises:
        InvalidArtifact: Truncated, weights missing, or not an ML Program.
    """
    ct = _coremltools()
    from coremltools.converters.mil.frontend.milproto.load import load

    try:
        model = ct.models.MLModel(str(path), skip_model_load=True)
        spec = model.get_spec()
        if spec.WhichOneof("Type") != "mlProgram":
            raise ValueError(f"its type is {spec.WhichOneof('Type')}, not an ML Program")
        program = load(
            spec,
            specification_version=spec.specificationVersion,
            file_weights_dir=model.weights_dir,
        )
    except Exception as error:  # protobuf and coremltools have types of their own
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidArtifact(f"{path} is truncated or not a Core ML model: {why}") from error
    return network(program.functions["main"])


def _coremltools() -> Any:
    """coremltools, without what it says about other packages when it is imported.

    It loads TensorFlow where there is one, which must not come before torch.
    """
    logging.disable(logging.WARNING)
    try:
        importlib.import_module("torch")
        return importlib.import_module("coremltools")
    finally:
        logging.disable(logging.NOTSET)


def network(function: Any) -> Network:
    """A MIL function as a Network."""
    tensors = {var.name: _tensor(var) for var in function.inputs.values()}
    operators = []
    for op in function.operations:
        quantization = _quantization(op)
        made = quantization if op.op_type == "quantize" else None
        for var in op.outputs:
            tensors[var.name] = _tensor(var, op.op_type == "const", made)
        if op.op_type != "const":
            operators.append(_operator(op, tensors, None if made else quantization))
    return Network(
        tuple(operators), tensors, tuple(function.inputs), tuple(v.name for v in function.outputs)
    )


def place(path: Path, found: Network) -> Placement:
    """Integer operators whose pairs no pattern of coremltools covers, each with the reason."""
    off = [
        Off(op.type, op.name, why)
        for op in found.operators
        if found.is_integer(op) and (why := _why_off(op, found))
    ]
    return Placement("Core ML, by coremltools' patterns for W8A8 (iOS 17)", tuple(off))


def _why_off(op: Operator, found: Network) -> str:
    if op.role in ("quantize", "dequantize", "move", "transpose"):
        return ""
    before = [found.producer[name] for name in op.inputs if name in found.producer]
    if op.type in _ACTIVATIONS and any(b.type in _FUSED for b in before):
        return ""
    if op.type not in _FUSED:
        return "not in coremltools' int8 patterns: likely float16 between its pairs"
    if op.type == "add" and not all(b.role == "dequantize" for b in before):
        return "one of its inputs is not dequantized"
    return ""


def _tensor(var: Any, constant: bool = False, quantization: Quantization | None = None) -> Tensor:
    from coremltools.converters.mil.mil import types

    kind = types.builtin_to_string(var.dtype) if hasattr(var, "dtype") else "unknown"
    shape = tuple(size if isinstance(size, int) else -1 for size in (var.shape or ()))
    return Tensor(var.name, shape, _DTYPES.get(kind, kind), constant, quantization)


def _operator(op: Any, tensors: dict[str, Tensor], quantization: Quantization | None) -> Operator:
    operands, count = _multiply_adds(op, tensors)
    return Operator(
        op.op_type,
        tuple(var.name for value in _data(op) for var in _each(value)),
        tuple(var.name for var in op.outputs),
        _ROLES.get(op.op_type, "other"),
        permutation=tuple(op.perm.val.tolist()) if op.op_type == "transpose" else (),
        operands=operands,
        multiply_adds=count,
        quantization=quantization,
    )


def _data(op: Any) -> list[Any]:
    """The tensors that an operator works on, without the numbers that steer it."""
    if _ROLES.get(op.op_type) in ("quantize", "dequantize"):
        return [op.inputs.get("quantized_data", op.inputs.get("input"))]
    return [value for key, value in op.inputs.items() if key in _DATA]


def _each(value: Any) -> list[Any]:
    found = value if isinstance(value, list | tuple) else [value]
    return [var for var in found if var is not None]


def _multiply_adds(op: Any, tensors: dict[str, Tensor]) -> tuple[tuple[str, ...], int]:
    """The two tensors that are multiplied, and the number of products."""
    if _ROLES.get(op.op_type) != "multiply":
        return (), 0
    y = op.y if op.op_type == "matmul" else op.weight
    x, weight, out = (tensors[var.name] for var in (op.x, y, op.outputs[0]))
    match op.op_type:
        case "conv_transpose":
            count = x.values * math.prod(weight.shape[1:])
        case "matmul":
            count = out.values * x.shape[-2 if op.transpose_x and op.transpose_x.val else -1]
        case _:
            count = out.values * math.prod(weight.shape[1:])
    return (x.name, weight.name), count


def _quantization(op: Any) -> Quantization | None:
    """Scale and zero point (0 where there is none) of a quantize or dequantize."""
    import numpy as np

    if _ROLES.get(op.op_type) not in ("quantize", "dequantize"):
        return None
    scale = np.asarray(op.scale.val).reshape(-1)
    zero = np.zeros(1, int) if op.zero_point is None else np.asarray(op.zero_point.val).reshape(-1)
    zeros = np.broadcast_to(zero, scale.shape)
    axis = int(op.axis.val) if op.axis is not None and scale.size > 1 else None
    return Quantization(tuple(scale.tolist()), tuple(zeros.tolist()), axis)
