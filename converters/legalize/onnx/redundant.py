"""Operators that change no value or no integer, and clamps that change integers alone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeskin.converters.legalize.onnx.qdq import (
    CLAMPS,
    DEQUANTIZE,
    QUANTIZE,
    Array,
    add_constant,
    constant,
    dequantize_of,
    nodes,
    only_user,
    sizes,
)


def drop_gathers_of_all(graph: ir.Graph) -> None:
    """Take out a Gather that gives a flattened tensor its own shape again.

    torch's exporter writes `as_strided` so, which a mean over all pixels ends with where its input
    lies in memory as NHWC, as the app's does. Qualcomm's provider (onnxruntime-qnn 2.7.0) aborts
    the process over it: a MobileNetV3's float file could not be loaded.
    """
    for gather in nodes(graph, "Gather"):
        vector, indices = gather.inputs[0], constant(gather.inputs[1])
        flatten = None if vector is None else vector.producer()
        if flatten is None or flatten.op_type != "Reshape" or indices is None:
            continue
        source, output = flatten.inputs[0], gather.outputs[0]
        flat = constant(flatten.inputs[1])
        if source is None or flat is None or output.is_graph_output():
            continue
        in_order = np.array_equal(indices.ravel(), np.arange(indices.size))
        if flat.size == 1 and sizes(source) == indices.shape and in_order:
            output.replace_all_uses_with(source)
            graph.remove(gather, safe=True)


def drop_requantization(graph: ir.Graph) -> None:
    """Take out a dequantize and quantize step in a row that share scale and zero point."""
    for quantize in nodes(graph, QUANTIZE):
        dequantize = dequantize_of(quantize.inputs[0])
        if dequantize is None or quantize.outputs[0].is_graph_output():
            continue
        if all(map(_equal, quantize.inputs[1:], dequantize.inputs[1:])):
            assert dequantize.inputs[0] is not None
            quantize.outputs[0].replace_all_uses_with(dequantize.inputs[0])
            graph.remove(quantize, safe=True)


def _equal(one: ir.Value | None, other: ir.Value | None) -> bool:
    a, b = constant(one), constant(other)
    return a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b)


def drop_clamps(graph: ir.Graph) -> None:
    """Take out a Relu or Clip before a quantize step whose integers end where its bounds do.

    ONNX Runtime drops those whose real bounds lie outside of the integers' range. Where
    rounding alone makes them redundant (6.004 = 255 steps, clipped at 6, the 255th), 1.23
    fuses the layer with its quantize step and leaves the clamp: the file does not load.
    """
    for clamp in nodes(graph, *CLAMPS):
        quantize = only_user(clamp.outputs[0])
        if quantize is not None and quantize.op_type == QUANTIZE and _ends_there(clamp, quantize):
            quantize.replace_input_with(0, clamp.inputs[0])
            graph.remove(clamp, safe=True)


def _ends_there(clamp: ir.Node, quantize: ir.Node) -> bool:
    """Whether every real number beyond a bound has the same integer as the bound."""
    bounds, (scale, zero_point) = _bounds(clamp), map(constant, quantize.inputs[1:3])
    if bounds is None or scale is None or zero_point is None or scale.size != 1:
        return False
    low, high = _integers(bounds, scale, zero_point)
    ends = np.iinfo(zero_point.dtype)
    return bool(low <= ends.min and high >= ends.max)


def clamp_integers(graph: ir.Graph) -> None:
    """Put a Relu or Clip before a quantize step behind it, where it clamps integers.

    Rounding keeps the order of numbers, so that the integers are the same. A layer whose
    range reaches beyond its clamp, as where its result is joined with another's, runs in
    float otherwise: ONNX Runtime fuses a layer with the quantize step right behind it.
    """
    for clamp in nodes(graph, *CLAMPS):
        quantize = only_user(clamp.outputs[0])
        if quantize is None or quantize.op_type != QUANTIZE or only_user(clamp.inputs[0]) is None:
            continue
        bounds, (scale, zero_point) = _bounds(clamp), map(constant, quantize.inputs[1:3])
        if bounds is None or scale is None or zero_point is None or scale.size != 1:
            continue
        ends = np.iinfo(zero_point.dtype)
        limits = [
            add_constant(graph, f"limit_{int(limit)}", limit.astype(zero_point.dtype))
            for limit in np.clip(_integers(bounds, scale, zero_point), ends.min, ends.max)
        ]
        quantize.replace_input_with(0, clamp.inputs[0])
        graph.remove(clamp, safe=True)
        integers = ir.node("Clip", [quantize.outputs[0], *limits])
        integers.outputs[0].shape = quantize.outputs[0].shape
        integers.outputs[0].type = quantize.outputs[0].type
        quantize.outputs[0].replace_all_uses_with(integers.outputs[0])
        integers.replace_input_with(0, quantize.outputs[0])
        graph.insert_after(quantize, integers)


def clamp_by_bounds(graph: ir.Graph) -> None:
    """Write a Relu or Clip before a quantize step as Max and Min with quantized bounds.

    Each is quantized as the clamp is, in front as well as behind: rounding keeps the order of
    numbers, so that the results are the same. An NPU takes a layer whose own result is quantized;
    one whose clamp comes first it leaves to the CPU, as where activations of 16 bits are symmetric
    and `drop_clamps` has nothing to drop. A Clip there is taken and forgotten by Qualcomm's
    compiler (QAIRT 2.51), a Max or Min is not.
    """
    for clamp in nodes(graph, *CLAMPS):
        quantize, value = only_user(clamp.outputs[0]), clamp.inputs[0]
        if quantize is None or quantize.op_type != QUANTIZE or value is None:
            continue
        bounds, (scale, zero_point) = _bounds(clamp), map(constant, quantize.inputs[1:3])
        if bounds is None or scale is None or zero_point is None or scale.size != 1:
            continue
        parameters, ends = list(quantize.inputs[1:3]), np.iinfo(zero_point.dtype)
        low, high = _integers(bounds, scale, zero_point)
        needed = {"Max": low} if low > ends.min else {}
        needed |= {"Min": high} if high < ends.max else {}
        for kind, integer in needed.items():
            limit = np.clip(integer, ends.min, ends.max).astype(zero_point.dtype)
            stored = add_constant(graph, f"limit_{limit}", limit)
            steps = [
                ir.node(QUANTIZE, [value, *parameters]),
                ir.node(DEQUANTIZE, [None, *parameters]),
                ir.node(DEQUANTIZE, [stored, *parameters]),
                ir.node(kind, [None, None]),
            ]
            quantized, dequantized, bound, step = steps
            dequantized.replace_input_with(0, quantized.outputs[0])
            step.replace_input_with(0, dequantized.outputs[0])
            step.replace_input_with(1, bound.outputs[0])
            for node in steps:
                node.outputs[0].shape = ir.Shape(()) if node is bound else value.shape
                node.outputs[0].type = quantize.outputs[0].type if node is quantized else value.type
            graph.insert_before(clamp, steps)
            value = step.outputs[0]
        quantize.replace_input_with(0, value)
        graph.remove(clamp, safe=True)


def _integers(bounds: tuple[Array, Array], scale: Array, zero_point: Array) -> Array:
    """Float32 (2,): the integers that stand for the bounds, which may lie beyond their type."""
    integers: Array = np.rint(np.array(bounds, np.float32) / scale) + np.float32(zero_point)
    return integers


def _bounds(clamp: ir.Node) -> tuple[Array, Array] | None:
    """The low and the high bound, float32 (); None where one is computed at run time."""
    bounds = [np.array(-np.inf, np.float32), np.array(np.inf, np.float32)]
    if clamp.op_type == "Relu":
        bounds[0] = np.array(0, np.float32)
    for i, value in enumerate(clamp.inputs[1:3]):
        if value is not None:
            if (bound := constant(value)) is None:
                return None
            bounds[i] = bound
    return bounds[0], bounds[1]
