"""The first convolution: few channels, many pixels."""

from __future__ import annotations

from math import gcd, lcm

import numpy as np
import onnx_ir as ir

from edgeskin.converters.fold import Fold
from edgeskin.converters.legalize.onnx.qdq import (
    DEQUANTIZE,
    Step,
    add_shape,
    attribute,
    chain,
    constant,
    dequantize_of,
    edit,
    nodes,
    quantize_behind,
    sizes,
)

# ONNX Runtime's convolution reads its input in place where the channels are a multiple of
# this; it copies a window for each pixel first where they are not (3 channels: 4 times slower).
_CHANNELS = 4
_MOST_CHANNELS = 8


def widen_stem(graph: ir.Graph) -> None:
    """Let a convolution over few channels see several pixels of a row as one with more channels.

    In NHWC memory (H, W, C) is (H, W/n, nC) without moving a byte, and the same
    sums come from a kernel with zeros in it that gives n / stride output
    pixels at once (`fold.Fold` has the algebra). More products, but all in the fast kernel.
    """
    for node in nodes(graph, "Conv"):
        fold, quantize = _fold(node), quantize_behind(node.outputs[0])
        x = dequantize_of(node.inputs[0])
        if fold is not None and quantize is not None and x is not None:
            restored = _rows(graph, node.outputs[0], 1)
            _fold_input(graph, node, x, fold)
            _widen(node, fold)
            _unfold_output(graph, quantize, restored)


def _fold(node: ir.Node) -> Fold | None:
    """None where the convolution has enough channels, or its width does not divide."""
    weight = dequantize_of(node.inputs[1])
    array = constant(weight.inputs[0]) if weight is not None else None
    before, after = sizes(node.inputs[0]), sizes(node.outputs[0])
    if array is None or array.ndim != 4 or not before or not after or not _is_plain(node):
        return None
    channels, stride = array.shape[1], attribute(node, "strides", [1, 1])[1]
    # The fewest pixels of which a cell has whole output pixels and a multiple of 4 channels.
    pixels = lcm(stride, _CHANNELS // gcd(channels, _CHANNELS))
    if channels % _CHANNELS == 0 or channels > _MOST_CHANNELS:
        return None
    if before[3] % pixels or after[3] * stride != before[3]:
        return None  # the rows of input and output must both be whole cells, and as many
    return Fold(pixels, stride, attribute(node, "pads", [0, 0, 0, 0])[1], array.shape[3])


def _is_plain(node: ir.Node) -> bool:
    return attribute(node, "group", 1) == 1 and set(attribute(node, "dilations", [1])) == {1}


def _rows(graph: ir.Graph, value: ir.Value, pixels: int) -> list[Step]:
    """The steps from (N, C, H, W) to (N, pixels * C, H, W / pixels), pixel after pixel.

    For `pixels` = 1, back to the shape of `value` from any number.
    """
    _, channels, height, width = sizes(value)
    target = add_shape(graph, -1, height, width // pixels, channels * pixels)
    return [
        ("Transpose", [], {"perm": [0, 2, 3, 1]}),
        ("Reshape", [target], {}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
    ]


def _fold_input(graph: ir.Graph, node: ir.Node, x: ir.Node, fold: Fold) -> None:
    integers, *scale_and_zero_point = x.inputs
    steps = _rows(graph, x.outputs[0], fold.pixels)
    new_nodes = chain(integers, [*steps, (DEQUANTIZE, scale_and_zero_point, {})])
    graph.insert_before(node, new_nodes)
    node.replace_input_with(0, new_nodes[-1].outputs[0])


def _widen(node: ir.Node, fold: Fold) -> None:
    weight = dequantize_of(node.inputs[1])
    assert weight is not None
    edit(weight, 0, fold.weights, "wide")
    # Scale, zero point and bias of channel m are those of all channels p * M + m: whole copies
    # of the list, one behind the other.
    for owner, index in ((weight, 1), (weight, 2), (node, 2)):
        if index < len(owner.inputs):
            edit(owner, index, lambda array: np.tile(array, fold.per_cell), "wide")
    top, _, bottom, _ = attribute(node, "pads", [0, 0, 0, 0])
    rows, _ = attribute(node, "strides", [1, 1])
    height = attribute(node, "kernel_shape")[0]
    # Output cell j reads the cells j + first to j + last. With -first cells of zeros before the
    # row and last behind it, there are as many output cells as input cells. A pixel beyond
    # the row was a zero of the old padding; it is one of these now.
    changes = {
        "kernel_shape": [height, fold.last - fold.first + 1],
        "pads": [top, -fold.first, bottom, fold.last],
        "strides": [rows, 1],
    }
    node.attributes.update({name: ir.AttrInt64s(name, value) for name, value in changes.items()})


def _unfold_output(graph: ir.Graph, quantize: ir.Node, steps: list[Step]) -> None:
    wide = quantize.outputs[0]
    new_nodes = chain(wide, steps)
    wide.replace_all_uses_with(new_nodes[-1].outputs[0])
    new_nodes[0].replace_input_with(0, wide)
    graph.insert_after(quantize, new_nodes)
