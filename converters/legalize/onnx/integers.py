"""Integers in the types and shapes that ONNX Runtime's integer kernels take."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeskin.converters.legalize.onnx.qdq import (
    DEQUANTIZE,
    QUANTIZE,
    Array,
    add_constant,
    attribute,
    constant,
    dequantize_of,
    edit,
    nodes,
    quantize_behind,
    sizes,
)

_INT32 = np.iinfo(np.int32).min, np.iinfo(np.int32).max


def activations_to_uint8(graph: ir.Graph) -> None:
    """Re-express int8 activations as uint8: q + 128 with zero_point + 128.

    The real numbers stay the same. ONNX Runtime's CPU kernels multiply uint8
    activations with int8 weights; on int8 activations EfficientNet-Lite0 took
    1.5 times as long. What has one scale, constants of add and mul included, is
    an activation; what has one for each channel is a weight and stays int8.
    """
    _unsigned(graph, np.dtype(np.int8))


def activations_to_uint16(graph: ir.Graph) -> None:
    """Re-express int16 activations as uint16: q + 32768 with zero_point + 32768.

    The real numbers stay the same. Qualcomm's NPU provider multiplies uint16 activations, and
    leaves the weights of layers on int16 ones to the CPU.
    """
    _unsigned(graph, np.dtype(np.int16))


def _unsigned(graph: ir.Graph, kind: np.dtype[Any]) -> None:
    for node in nodes(graph, QUANTIZE, DEQUANTIZE):
        zero_point = constant(node.inputs[2])
        if zero_point is not None and zero_point.dtype == kind and not zero_point.shape:
            for place in (0, 2):
                if constant(node.inputs[place]) is not None:
                    edit(node, place, _shift, f"u{kind.name}")


def _shift(array: Array) -> Array:
    half = 1 << (8 * array.dtype.itemsize - 1)
    shifted: Array = (array.astype(np.int32) + half).astype(f"u{array.dtype.name}")
    return shifted


def full_rank_constants(graph: ir.Graph) -> None:
    """Give a constant of one number as many dimensions as what it is added to or multiplied with.

    With fewer, ONNX Runtime works value by value where height and width are 1.
    """
    for node in nodes(graph, "Add", "Mul"):
        for value, other in (tuple(node.inputs), tuple(reversed(node.inputs))):
            source, rank = dequantize_of(value), len(sizes(other))
            array = constant(source.inputs[0]) if source is not None else None
            if source is not None and array is not None and array.size == 1 and array.ndim < rank:
                edit(source, 0, partial(np.reshape, shape=(1,) * rank), f"{rank}d")


def mean_to_pooling(graph: ir.Graph) -> None:
    """Write a mean over height and width as GlobalAveragePool, which has an integer kernel."""
    for node in nodes(graph, "ReduceMean"):
        axes = constant(node.inputs[1])
        if axes is None or len(sizes(node.inputs[0])) != 4 or sorted(axes % 4) != [2, 3]:
            continue
        source, quantize = dequantize_of(node.inputs[0]), quantize_behind(node.outputs[0])
        if source is not None and quantize is not None:
            _pool(graph, node, quantize)


def _pool(graph: ir.Graph, mean: ir.Node, quantize: ir.Node) -> None:
    pool = ir.node("GlobalAveragePool", [mean.inputs[0]])
    pool.outputs[0].shape, pool.outputs[0].type = mean.outputs[0].shape, mean.outputs[0].type
    graph.insert_before(mean, pool)
    mean.outputs[0].replace_all_uses_with(pool.outputs[0])
    graph.remove(mean, safe=True)
    if attribute(mean, "keepdims", 1):
        return
    # The pooling keeps both dimensions; the integers behind it lose them.
    flat = ir.node("Flatten", [quantize.outputs[0]], {"axis": 1})
    graph.insert_after(quantize, flat)
    quantize.outputs[0].replace_all_uses_with(flat.outputs[0])
    flat.replace_input_with(0, quantize.outputs[0])


def integer_biases(graph: ir.Graph) -> None:
    """Store the bias of an integer layer as int32 in units of input scale x weight scale.

    That is how every integer kernel adds it. ONNX Runtime before 1.21 fuses a
    layer only where the file says so; later ones do the same on loading. A bias that is too
    large for that, which 16 bits of activations make possible, has coarser units.
    """
    for node in nodes(graph, "Conv", "Gemm"):
        bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        x, weight = dequantize_of(node.inputs[0]), dequantize_of(node.inputs[1])
        if bias is None or x is None or weight is None or not _is_weight(weight):
            continue
        least = np.abs(bias) / _INT32[1]
        scale = np.maximum(_scale(x) * _scale(weight), least).astype(np.float32)
        steps = np.rint(bias.astype(np.float64) / scale)
        integers = np.clip(steps, *_INT32).astype(np.int32)
        name = node.inputs[2].name if node.inputs[2] is not None else None
        dequantize = ir.node(
            DEQUANTIZE,
            [
                add_constant(graph, f"{name}_int32", integers),
                add_constant(graph, f"{name}_scale", np.broadcast_to(scale, bias.shape)),
                add_constant(graph, "zero_int32", np.zeros(bias.shape, np.int32)),
            ],
            {"axis": 0},
        )
        graph.insert_before(node, dequantize)
        node.replace_input_with(2, dequantize.outputs[0])


def _is_weight(dequantize: ir.Node) -> bool:
    array = constant(dequantize.inputs[0])
    return array is not None and array.dtype == np.int8


def _scale(dequantize: ir.Node) -> Array:
    scale = constant(dequantize.inputs[1])
    assert scale is not None
    return scale


def own_weights(graph: ir.Graph) -> None:
    """Give every layer weights and zero points of its own, and a dequantize step.

    On x86 without VNNI, ONNX Runtime adds products of uint8 and int8 in 16 bits,
    which saturates; with the session option `session.x64quantprecision` it does not. That
    replaces weights and zero points layer by layer, and fails to load where two layers share
    them (ONNX Runtime 1.31.1). A layer that is applied several times is stored as often.
    """
    used: set[ir.Value | None] = set()
    for node in nodes(graph, DEQUANTIZE):
        weight, zero_point = map(constant, (node.inputs[0], node.inputs[2]))
        if weight is None or zero_point is None or zero_point.dtype != np.int8:
            continue
        for step in _one_for_each_reader(graph, node):
            for place, array in ((0, weight), (2, zero_point)):
                if step.inputs[place] in used:
                    _copy_for(graph, step, place, array, len(used))
                used.add(step.inputs[place])


def _one_for_each_reader(graph: ir.Graph, dequantize: ir.Node) -> list[ir.Node]:
    """The step itself, which its first reader keeps, and a step like it for each other one."""
    steps = [dequantize]
    for reader, place in list(dequantize.outputs[0].uses())[1:]:
        steps.append(ir.node(DEQUANTIZE, dequantize.inputs, dequantize.attributes))
        graph.insert_before(dequantize, steps[-1])
        reader.replace_input_with(place, steps[-1].outputs[0])
    return steps


def own_constants(graph: ir.Graph) -> None:
    """Give a constant that is read with several scales a copy for each reader but the first.

    Qualcomm's NPU provider (onnxruntime-qnn 2.7.0) keeps one tensor a name, with the scale that it
    meets first: in a hard swish, x + 3 and a product with 1 / 6 read one integer.
    """
    first: dict[str | None, list[object]] = {}
    for number, node in enumerate(nodes(graph, DEQUANTIZE)):
        shared, array = node.inputs[0], constant(node.inputs[0])
        if shared is None or array is None:
            continue
        numbers = map(constant, node.inputs[1:])
        read_with: list[object] = [None if x is None else x.tolist() for x in numbers]
        if first.setdefault(shared.name, read_with) != read_with:
            _copy_for(graph, node, 0, array, number)


def _copy_for(graph: ir.Graph, node: ir.Node, place: int, array: Array, number: int) -> None:
    """Have a node read a copy of a constant; `number` makes its name."""
    shared = node.inputs[place]
    assert shared is not None
    name = f"{shared.name}_of_{number}"
    own = ir.val(name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(own)
    node.replace_input_with(place, own)
