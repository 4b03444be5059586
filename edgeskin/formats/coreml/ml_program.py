"""ML Programs: the operators of a function as saved, each constant where it is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgeskin.formats.coreml.values import Values, dtype, shape
from edgeskin.formats.network import Facts, Network, Operator, Quantization, Role, Tensor

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("conv", "conv_transpose", "linear", "matmul"), "multiply"),
    **dict.fromkeys(("relu", "relu6", "clip"), "clamp"),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), "move"),
    "transpose": "transpose",
    "quantize": "quantize",
    "dequantize": "dequantize",
    "batch_norm": "batch_norm",
}
_CONSTEXPR = "constexpr_"
# Inputs that an operator works on, in this order; the others steer it.
_DATA = (
    *("x", "y", "input", "a", "b", "data", "values", "cond", "query", "key", "value", "attn_mask"),
    *("weight", "weight_ih", "weight_hh", "bias", "gamma", "beta", "mean", "variance", "indices"),
    *("quantized_data", "nonzero_data"),
)
# Of a constexpr operator: what holds the weights, and what is beside them.
_WEIGHTS = ("quantized_data", "indices", "nonzero_data", "data", "source_data")
_MOST_NUMBERS = 4  # of a constant that image arithmetic uses: one for each channel


@dataclass
class _Reader:
    """The state of one pass over a block."""

    values: Values
    tensors: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)


def network(function: Any, values: Values) -> Network:
    """The block of `function` that its opset names, as a Network.

    Raises:
        ValueError: There is no such block, or the function has no inputs.
    """
    if not function.inputs:
        raise ValueError("it has no inputs")
    blocks = function.block_specializations
    if function.opset not in blocks:
        opsets = ", ".join(blocks) or "nothing"
        raise ValueError(f"its function is written for {function.opset}, and holds {opsets} only")
    block = blocks[function.opset]
    reader = _Reader(values)
    for feature in function.inputs:
        reader.tensors[feature.name] = _tensor(feature)
    for op in block.operations:
        _add(op, reader)
    return Network(
        tuple(reader.operators),
        reader.tensors,
        tuple(feature.name for feature in function.inputs),
        tuple(block.outputs),
        facts=Facts(beside=tuple(reader.beside)),
        constants=lambda name: values.array(reader.constants[name]),
    )


def arithmetic(name: str, network: Network, function: Any, values: Values) -> list[dict[str, Any]]:
    """What is done to the pixels of the input `name` before the network: factors and offsets."""
    block = function.block_specializations[function.opset]
    listed = {op.outputs[0].name: op for op in block.operations if op.outputs}
    stored = {name: op.attributes["val"] for name, op in listed.items() if op.type == "const"}
    steps: list[dict[str, Any]] = []
    for _ in network.operators:  # at most: a damaged file may lead round in a circle
        readers = network.consumers.get(name, [])
        if len(readers) != 1:
            break
        (op,) = readers
        numbers = _beside_pixels(listed[op.name], name, stored)
        if op.type in ("mul", "add", "sub") and numbers is not None:
            read = values.array(numbers)
            if not 0 < read.size <= _MOST_NUMBERS:
                break
            steps.append({"type": op.type, "values": [float(number) for number in read]})
        elif op.type != "cast":
            break
        name = op.outputs[0]
    return steps


def _beside_pixels(op: Any, name: str, stored: Mapping[str, Any]) -> Any | None:
    """The constant that a binary operator takes beside the tensor `name`."""
    for key in ("x", "y"):
        for binding in op.inputs[key].arguments if key in op.inputs else ():
            if binding.name != name:
                return stored.get(binding.name)
    return None


def _add(op: Any, reader: _Reader) -> None:
    for output in op.outputs:
        reader.tensors[output.name] = _tensor(output)
    if op.type == "const":
        _add_constant(op.outputs[0].name, op.attributes["val"], reader)
        return
    for block in op.blocks:
        reader.beside.append(f"{op.type} {op.outputs[0].name}: {len(block.operations)} operators")
    reader.operators.append(_operator(op, reader))


def _add_constant(name: str, value: Any, reader: _Reader) -> Tensor:
    """A constant, whose place and length are checked here."""
    kind = value.type.tensorType
    reader.constants[name] = value
    reader.tensors[name] = Tensor(
        name,
        shape(value.type),
        dtype(kind.dataType),
        constant=True,
        stored_bytes=reader.values.stored_bytes(value),
    )
    return reader.tensors[name]


def _operator(op: Any, reader: _Reader) -> Operator:
    bindings = {key: _names(op, key, reader) for key in (*op.inputs, *op.attributes)}
    role: Role = "dequantize" if op.type.startswith(_CONSTEXPR) else _ROLES.get(op.type, "other")
    quantization = _quantization(bindings, reader) if role in ("quantize", "dequantize") else None
    if quantization and role == "quantize":
        integers = op.outputs[0].name
        reader.tensors[integers] = replace(reader.tensors[integers], quantization=quantization)
    if op.type.startswith(_CONSTEXPR):
        inputs = _weights(op.type, bindings, reader)
    else:
        inputs = tuple(name for key in _DATA for name in bindings.get(key, ()))
    operands, count = _multiply_adds(op.type, bindings, op.outputs[0].name, reader)
    return Operator(
        op.type,
        inputs,
        tuple(output.name for output in op.outputs),
        role,
        permutation=tuple(map(int, _numbers("perm", bindings, reader))),
        operands=operands,
        multiply_adds=count,
        quantization=None if role == "quantize" else quantization,
    )


def _names(op: Any, key: str, reader: _Reader) -> list[str]:
    """Tensors that `key` binds; a value written in place becomes one."""
    if key in op.inputs:
        names = []
        for index, binding in enumerate(op.inputs[key].arguments):
            if binding.WhichOneof("binding") == "value":
                constant = _add_constant(
                    f"{op.outputs[0].name}.{key}{index or ''}", binding.value, reader
                )
                names.append(constant.name)
            else:
                names.append(binding.name)
        return names
    if key == "name" or not op.outputs:
        return []
    return [_add_constant(f"{op.outputs[0].name}.{key}", op.attributes[key], reader).name]


def _weights(kind: str, bindings: Mapping[str, list[str]], reader: _Reader) -> tuple[str, ...]:
    """The weights behind a constexpr operator, under the type that they really have."""
    (name,) = next((bindings[key] for key in _WEIGHTS if bindings.get(key)), [""])
    beside = [n for key, names in bindings.items() if key not in _WEIGHTS for n in names]
    stored = reader.tensors.get(name)
    if stored is None or not stored.constant:
        return (name, *beside) if name else tuple(beside)
    if "lut" in kind:
        stored = replace(stored, dtype=f"{_palette_bits(bindings, reader)}-bit palette")
    elif "sparse" in kind:
        stored = replace(stored, dtype=f"sparse {stored.dtype}")
    reader.tensors[name] = stored
    return (name, *beside)


def _palette_bits(bindings: Mapping[str, list[str]], reader: _Reader) -> int:
    """log2 of the palette's entries; of a grouped one, (groups..., entries, vector)."""
    sizes = reader.tensors[bindings["lut"][0]].shape if bindings.get("lut") else ()
    entries = sizes[-2] if len(sizes) > 1 else math.prod(sizes)
    return max(0, entries - 1).bit_length()


def _multiply_adds(
    kind: str, bindings: Mapping[str, list[str]], output: str, reader: _Reader
) -> tuple[tuple[str, ...], int]:
    """The two tensors that are multiplied, and the number of products."""
    other = "y" if kind == "matmul" else "weight"
    if _ROLES.get(kind) != "multiply" or not bindings.get("x") or not bindings.get(other):
        return (), 0
    x, weight, out = (reader.tensors[n] for n in (bindings["x"][0], bindings[other][0], output))
    match kind:
        case "conv_transpose":
            count = x.values * math.prod(weight.shape[1:])
        case "matmul":
            transposed = any(_numbers("transpose_x", bindings, reader))
            axis = -2 if transposed else -1
            count = out.values * (x.shape[axis] if len(x.shape) >= -axis else 0)
        case _:
            count = out.values * math.prod(weight.shape[1:])
    return (x.name, weight.name), max(0, count)


def _quantization(bindings: Mapping[str, list[str]], reader: _Reader) -> Quantization | None:
    """Scale and zero point (0 where there is none); None where they are not constants."""
    scale = tuple(map(float, _numbers("scale", bindings, reader)))
    if not scale:
        return None
    zeros = tuple(map(int, _numbers("zero_point", bindings, reader))) or (0,)
    if len(zeros) != len(scale):
        zeros = zeros[:1] * len(scale)
    axis = [int(number) for number in _numbers("axis", bindings, reader)]
    return Quantization(scale, zeros, axis[0] if axis and len(scale) > 1 else None)


def _numbers(key: str, bindings: Mapping[str, list[str]], reader: _Reader) -> list[Any]:
    names = bindings.get(key) or [""]
    value = reader.constants.get(names[0])
    return [] if value is None else list(reader.values.array(value))


def _tensor(named: Any) -> Tensor:
    kind = named.type.tensorType
    return Tensor(named.name, shape(named.type), dtype(kind.dataType))
