"""Depthwise convolutions that XNNPACK has no kernel for, as sums of those that it has.

Its depthwise kernels are of 3, 4, 9 and 25 taps (src/configs/dwconv-config.c of XNNPACK, as
built without several passes); a wider one runs some other, slow way. A float sum of bands of
rows rounds no integers, so that is what INT8 files have, too: the same function as the
program, which rounds once behind it. docs/decisions/0014 has figures.
"""

from __future__ import annotations

from torch import Tensor
from torch.fx import GraphModule, Node

from edgeskin.calibration.graphs import (
    CONVOLUTION,
    DEQUANTIZE_CHANNELS,
    argument,
    aten,
    attribute,
    bias_of,
    evaluated,
    operands,
)

MOST_TAPS = 25


def split_wide_kernels(graph: GraphModule) -> bool:
    """Write each wide depthwise convolution in bands of rows, in place; whether there was one."""
    found = False
    for layer in graph.graph.find_nodes(op="call_function", target=CONVOLUTION):
        weight = _weight(graph, layer)
        if weight is not None and _is_wide(layer, weight):
            _split(graph, layer, weight)
            found = True
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return found


def _weight(graph: GraphModule, layer: Node) -> Tensor | None:
    """The constant weight of a layer in float, whether or not the graph holds integers of it."""
    _, weight = operands(layer)
    if weight.op == "get_attr":
        return attribute(graph, weight).detach()
    if weight.target is DEQUANTIZE_CHANNELS and argument(weight, "input").op == "get_attr":
        return evaluated(graph, weight)
    return None


def _is_wide(layer: Node, weight: Tensor) -> bool:
    channels, inputs, rows, columns = weight.shape
    depthwise = inputs == 1 and argument(layer, "groups") == channels
    dense = all(step == 1 for step in argument(layer, "dilation"))
    return depthwise and dense and rows * columns > MOST_TAPS >= columns


def _split(graph: GraphModule, layer: Node, weight: Tensor) -> None:
    x, _ = operands(layer)
    (top, side), (stride, _) = _pair(argument(layer, "padding")), _pair(argument(layer, "stride"))
    rows = weight.shape[2]
    band = MOST_TAPS // weight.shape[3]
    height = (x.meta["val"].shape[-2] + 2 * top - rows) // stride * stride + 1
    call = graph.graph.call_function
    total: Node | None = None
    with graph.graph.inserting_before(layer):
        if top or side:
            x = call(aten.constant_pad_nd.default, (x, [side, side, top, top], 0.0))
        for first in range(0, rows, band):
            piece = weight[:, :, first : first + band].contiguous()
            name = f"{layer.name}_rows_{first}"
            graph.register_buffer(name, piece)
            last = first + piece.shape[2] - 1 + height
            taken = call(aten.slice.Tensor, (x, -2, first, last))
            bias = bias_of(layer) if total is None else None
            arguments = (taken, graph.graph.get_attr(name), bias, argument(layer, "stride"))
            part = call(CONVOLUTION, (*arguments, [0, 0], [1, 1], weight.shape[0]))
            total = part if total is None else call(aten.add.Tensor, (total, part))
    assert total is not None  # a kernel has a row
    total.meta = dict(layer.meta)
    layer.replace_all_uses_with(total)
    graph.graph.erase_node(layer)


def _pair(sizes: list[int]) -> tuple[int, int]:
    return (sizes[0], sizes[-1])
