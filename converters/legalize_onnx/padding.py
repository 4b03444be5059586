"""Padding in the convolution behind it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeskin.converters.legalize_onnx.qdq import (
    QUANTIZE,
    attribute,
    constant,
    dequantize_of,
    nodes,
    only_user,
)


def pad_in_convolution(graph: ir.Graph) -> None:
    """Give a convolution the zeros that a Pad puts around its input.

    Padding as TensorFlow does it differs from side to side, so networks write
    it as an operator of its own, for which ONNX Runtime has no integer kernel.
    The pad may stand before the quantize step: zero is an integer in any case.
    """
    for pad in nodes(graph, "Pad"):
        widths, quantize = _widths(pad), only_user(pad.outputs[0])
        if widths is None or quantize is None or quantize.op_type != QUANTIZE:
            continue
        dequantize = only_user(quantize.outputs[0])
        convolution = only_user(dequantize.outputs[0]) if dequantize is not None else None
        if convolution is not None and _takes_padding(convolution):
            pads = np.add(attribute(convolution, "pads", [0, 0, 0, 0]), widths)
            convolution.attributes["pads"] = ir.AttrInt64s("pads", pads.tolist())
            quantize.replace_input_with(0, pad.inputs[0])
            for value in (quantize.outputs[0], *dequantize.outputs):  # smaller than they were
                value.shape = pad.inputs[0].shape
            graph.remove(pad, safe=True)


def _widths(pad: ir.Node) -> list[int] | None:
    """Zeros before and after, height before width; None for other padding."""
    widths = constant(pad.inputs[1])
    number = constant(pad.inputs[2]) if len(pad.inputs) > 2 else np.zeros(())
    axes = pad.inputs[3] if len(pad.inputs) > 3 else None
    mode = pad.attributes.get_string("mode", "constant")
    if widths is None or number is None or axes is not None or widths.shape != (8,):
        return None
    plain = mode == "constant" and not number.any() and (widths >= 0).all()
    return widths[[2, 3, 6, 7]].tolist() if plain and not widths[[0, 1, 4, 5]].any() else None


def _takes_padding(node: ir.Node) -> bool:
    return node.op_type == "Conv" and node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"


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
