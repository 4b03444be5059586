"""Pixels straight into integer arithmetic, where normalising and quantizing undo each other."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeskin.converters.legalize.onnx.qdq import (
    DEQUANTIZE,
    QUANTIZE,
    Array,
    add_constant,
    attribute,
    constant,
    nodes,
    only_user,
)

_MOVES = ("Transpose", "Slice", "Gather")


def pixels_are_integers(graph: ir.Graph) -> None:
    """Remove normalisation and the first QuantizeLinear where each of 256 pixels becomes itself.

    So it is with mean 127/255, standard deviation 128/255 and the scale 1/128:
    (v - 127) / 128 is the integer v with the zero point 127.
    """
    for quantize in nodes(graph, QUANTIZE):
        path = _from_pixels(quantize)
        steps = [node for node in path if node.op_type not in _MOVES]
        if path and np.array_equal(_integers(steps), np.arange(256)):
            for node in steps:
                assert node.inputs[0] is not None
                node.outputs[0].replace_all_uses_with(node.inputs[0])
                graph.remove(node, safe=True)


def pixels_are_quantized(graph: ir.Graph) -> None:
    """Write the cast of pixels to float32 as DequantizeLinear with scale 1 and zero point 0.

    Qualcomm's NPU provider (onnxruntime-qnn 2.7.0) casts every pixel but 0 to 1.
    """
    for cast in nodes(graph, "Cast"):
        image = cast.inputs[0]
        if image is None or image.dtype != ir.DataType.UINT8:
            continue
        if attribute(cast, "to") == ir.DataType.FLOAT:
            scale = add_constant(graph, "pixel_scale", np.array(1, np.float32))
            zero = add_constant(graph, "pixel_zero", np.array(0, np.uint8))
            dequantize = ir.node(DEQUANTIZE, [image, scale, zero])
            graph.insert_before(cast, dequantize)
            cast.outputs[0].replace_all_uses_with(dequantize.outputs[0])
            graph.remove(cast, safe=True)


def _from_pixels(quantize: ir.Node) -> list[ir.Node]:
    """The nodes from an input of pixels to `quantize`; empty where others use what is between."""
    path = [quantize]
    while (value := path[0].inputs[0]) is not None and not value.is_graph_input():
        node = value.producer()
        if node is None or only_user(value) is None or not _is_step(node):
            return []
        path.insert(0, node)
    return path if value is not None and value.dtype == ir.DataType.UINT8 else []


def _is_step(node: ir.Node) -> bool:
    if node.op_type in ("Mul", "Sub"):
        number = constant(node.inputs[1])
        return number is not None and number.size == 1
    return node.op_type == "Cast" or node.op_type in _MOVES


def _integers(steps: list[ir.Node]) -> Array:
    """What `steps` make of the pixels 0 to 255, (256,), in float32 as at run time."""
    values: Array = np.arange(256, dtype=np.float32)
    for node in steps:
        constants = [
            array.ravel() for value in node.inputs[1:] if (array := constant(value)) is not None
        ]
        if node.op_type == "Mul":
            values = values * constants[0]
        elif node.op_type == "Sub":
            values = values - constants[0]
        elif node.op_type == QUANTIZE:
            scale, zero_point = constants
            limits = np.iinfo(zero_point.dtype)
            integers = np.rint(values / scale) + zero_point.astype(np.float32)
            values = np.clip(integers, limits.min, limits.max)
    return values
