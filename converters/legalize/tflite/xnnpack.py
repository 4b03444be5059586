"""TFLite files as LiteRT's XNNPACK delegate runs them fastest.

Each rewrite takes the graph and one operator, and answers whether it changed
anything. All are exact but `gelu_in_float`, which may round to the next integer, and
`l2_norm_by_its_formula`, whose last bits may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeskin.converters.legalize.tflite.moves import (
    drop_moves,
    keep_reduced_dimensions,
    pad_before_transpose,
    sink_reshapes,
)
from edgeskin.converters.legalize.tflite.pixels import (
    pixels_are_quantized,
    pixels_are_the_integers,
    widen_channel_constants,
)
from edgeskin.converters.legalize.tflite.stem import pair_columns
from edgeskin.formats.tflite.flatbuffer import Graph

Rewrite = Callable[[Graph, Any], bool]


def pad_with_zero_point(graph: Graph, operator: Any) -> bool:
    """PADV2 with the zero point is PAD, which the delegate takes in INT8.

    So comes the padding of a max pooling: -128, the least integer, which behind
    a ReLU is the zero point too.
    """
    if graph.name(operator) != "PADV2":
        return False
    quantization = graph.quantization(operator.inputs[0])
    value = graph.constant(operator.inputs[2])
    if quantization is None or value is None or int(value.item()) != quantization[1]:
        return False
    operator.inputs = operator.inputs[:2]
    graph.become(operator, "PAD", schema.BuiltinOptions.PadOptions, schema.PadOptionsT())
    return True


def gelu_in_float(graph: Graph, operator: Any) -> bool:
    """GELU between DEQUANTIZE and QUANTIZE: the delegate has it in float only.

    In INT8 it would cut the network into parts, one more for each GELU.
    """
    if graph.name(operator) != "GELU" or graph.kind(operator.inputs[0]) is not np.int8:
        return False
    (integers_in,), (integers_out,) = operator.inputs, operator.outputs
    operator.inputs = [graph.add_float(graph.shape(integers_in))]
    operator.outputs = [graph.add_float(graph.shape(integers_out))]
    graph.insert_before(operator, graph.operator("DEQUANTIZE", [integers_in], operator.inputs))
    graph.insert_after(operator, graph.operator("QUANTIZE", operator.outputs, [integers_out]))
    return True


def nearest_from_the_corner(graph: Graph, operator: Any) -> bool:
    """A nearest pixel is that at floor(i * in / out), as torch has it, not at the half pixel.

    litert-torch writes torch's `nearest` with half pixels, which is another pixel where a size
    does not grow by a whole factor: 3 to 7 in GhostNetV2. (`nearest-exact` comes as a gather.)
    """
    if graph.name(operator) != "RESIZE_NEAREST_NEIGHBOR":
        return False
    options = operator.builtinOptions
    before, after = graph.shape(operator.inputs[0]), graph.shape(operator.outputs[0])
    if not options.halfPixelCenters or all(b % a == 0 for a, b in zip(before, after, strict=True)):
        return False
    options.halfPixelCenters = False
    return True


def l2_norm_by_its_formula(graph: Graph, operator: Any) -> bool:
    """A float L2_NORMALIZATION, which LiteRT's GPU lacks, as x / max(sqrt(sum(x^2)), 1e-6).

    The epsilon is that of the operator's own kernel. In 16 bits it is not 0, as its square is,
    but squares overflow beyond 256, which `verify --under gpu` shows.
    """
    if graph.name(operator) != "L2_NORMALIZATION":
        return False
    if graph.kind(operator.inputs[0]) is not np.float32:
        return False
    source = operator.inputs[0]
    shape = graph.shape(source)
    squares = graph.add_tensor(shape, like=source)
    sums, lengths, clamped = (graph.add_tensor((*shape[:-1], 1), like=source) for _ in range(3))
    axis = graph.add_constant(np.array([len(shape) - 1], np.int32))
    epsilon = graph.add_constant(np.array([1e-6], np.float32))
    total = graph.operator("SUM", [squares, axis], [sums])
    keep = schema.ReducerOptionsT()
    keep.keepDims = True
    graph.become(total, "SUM", schema.BuiltinOptions.ReducerOptions, keep)
    for step in (
        graph.operator("SQUARE", [source], [squares]),
        total,
        graph.operator("SQRT", [sums], [lengths]),
        graph.operator("MAXIMUM", [lengths, epsilon], [clamped]),
    ):
        graph.insert_before(operator, step)
    operator.inputs = [source, clamped]
    graph.become(operator, "DIV", schema.BuiltinOptions.DivOptions, schema.DivOptionsT())
    return True


REWRITES: tuple[Rewrite, ...] = (
    nearest_from_the_corner,
    pixels_are_the_integers,
    pixels_are_quantized,
    widen_channel_constants,
    pad_with_zero_point,
    gelu_in_float,
    pair_columns,
    keep_reduced_dimensions,
    pad_before_transpose,
    drop_moves,
    sink_reshapes,
)

# For any delegate: GPU, NNAPI, Hexagon.
PORTABLE: tuple[Rewrite, ...] = (
    *(
        rewrite
        for rewrite in REWRITES
        if rewrite not in (widen_channel_constants, gelu_in_float, pair_columns)
    ),
    l2_norm_by_its_formula,
)


def legalize(content: bytes, rewrites: Sequence[Rewrite] = REWRITES) -> bytes:
    """The model with every rewrite applied, again and again until none finds anything."""
    graph = Graph(content)
    while sum(_apply(graph, rewrite) for rewrite in rewrites):
        pass
    return graph.pack()


def _apply(graph: Graph, rewrite: Rewrite) -> int:
    """How many operators `rewrite` changed."""
    changed = sum(rewrite(graph, operator) for operator in list(graph.operators))
    graph.remove_dead()
    return changed
