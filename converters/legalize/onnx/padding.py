"""Padding in the convolution behind it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeskin.converters.legalize.onnx.qdq import (
    QUANTIZE,
    attribute,
    constant,
    nodes,
    only_user,
    sizes,
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
        if dequantize is not None and convolution is not None and _takes_padding(convolution):
            pads = np.add(attribute(convolution, "pads", [0, 0, 0, 0]), widths)
            convolution.attributes["pads"] = ir.AttrInt64s("pads", pads.tolist())
            quantize.replace_input_with(0, pad.inputs[0])
            for value in (quantize.outputs[0], dequantize.outputs[0]):  # smaller than they were
                value.shape = ir.Shape(sizes(pad.inputs[0]))
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
