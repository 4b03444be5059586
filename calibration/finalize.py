"""Last repairs of a quantized graph, and the checks that name a broken layer.

Whatever found the scales, they end here as numbers that float16 holds, and the
integers of weights and constants are made from their float values once more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves

from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    Run,
    argument,
    aten,
    attribute,
    computations,
    layer_name,
    layers,
    replace_attribute,
)
from edgeskin.calibration.ranges import LEAST_SCALE, half_up, input_scale
from edgeskin.errors import InvalidRun
from edgeskin.spec import Spec

# Outputs that lie in 0..1; TFLite demands that one step is 1 / (number of integers).
ZERO_TO_ONE = {aten.sigmoid.default}
# A runtime holds the bias as int32 in units of input scale x weight scale; one bit to spare.
_BIAS_LIMIT = 2.0**30
# What a constant that is one number becomes: exact for every number that float16 holds.
_LONE_CONSTANT = 64


def pin_ranges(graph: GraphModule) -> None:
    """Give outputs that lie in 0..1 the scale that TFLite demands: 1/256 for affine int8."""
    for node in graph.graph.nodes:
        if node.target in ZERO_TO_ONE:
            for step in _steps(node):
                zero, least, most = (argument(step, index) for index in (2, 3, 4))
                zero = least if zero else 0
                _pin(step, 1 / (most + 1 - zero), zero)
    graph.recompile()


def pin_input(graph: GraphModule, spec: Spec, symmetric: bool) -> None:
    """Give the network's input the scale that its 256 pixel values ask for."""
    image = next(node for node in graph.graph.nodes if node.op == "placeholder")
    for step in _steps(image):
        _pin(step, *input_scale(spec, argument(step, 3), argument(step, 4), symmetric))
    graph.recompile()


def _steps(node: Node) -> list[Node]:
    return [user for user in node.users if user.target is QUANTIZE]


def _pin(quantize: Node, scale: float, zero_point: int) -> None:
    for step in [quantize, *quantize.users]:
        step.update_arg(1, scale)
        step.update_arg(2, zero_point)


def round_scales(graph: GraphModule, reference: GraphModule) -> None:
    """Round every scale up to a number that float16 holds; quantize constants to match.

    Args:
        graph: Quantized from `reference`: the same computations in the same order.
        reference: The float graph, with the float weights and constants.
    """
    for node in graph.graph.nodes:
        if node.target in (QUANTIZE, DEQUANTIZE):
            node.update_arg(1, float(half_up(torch.tensor(node.args[1], dtype=torch.float64))))
    for dequantize, values in _constants(graph, reference):
        if dequantize.target is DEQUANTIZE_CHANNELS:
            scales = attribute(graph, argument(dequantize, 1))
            quantize_channels(graph, dequantize, values, scales)
        else:
            _quantize_constant(graph, dequantize, values)
    graph.recompile()


def _constants(graph: GraphModule, reference: GraphModule) -> Iterator[tuple[Node, Tensor]]:
    """The steps that dequantize a constant, with the float values of each."""
    for node, twin in zip(computations(graph), computations(reference), strict=True):
        for used, original in zip(tree_leaves(node.args), tree_leaves(twin.args), strict=True):
            if _is_constant(used):
                yield used, attribute(reference, original)


def _is_constant(used: Any) -> bool:
    steps = (DEQUANTIZE, DEQUANTIZE_CHANNELS)
    return isinstance(used, Node) and used.target in steps and argument(used, 0).op == "get_attr"


def quantize_channels(graph: GraphModule, dequantize: Node, values: Tensor, scales: Tensor) -> None:
    """Let a symmetric weight be `values` in steps of `scales` (channels,), rounded up."""
    scales = half_up(scales)
    least, most, dtype = (argument(dequantize, index) for index in (4, 5, 6))
    steps = values / scales.reshape(-1, *[1] * (values.dim() - 1))
    integers = steps.round().clamp(least, most).to(dtype)
    replace_attribute(graph, argument(dequantize, 0), integers)
    replace_attribute(graph, argument(dequantize, 1), scales)


def _quantize_constant(graph: GraphModule, dequantize: Node, values: Tensor) -> None:
    """Let a constant be `values` in steps of its scale; a lone number gets one that meets it."""
    if values.numel() == 1:
        scale = float((values.abs() / _LONE_CONSTANT).half().clamp(LEAST_SCALE))
        dequantize.update_arg(1, scale)
        dequantize.update_arg(2, 0)
    scale, zero_point, least, most, dtype = (argument(dequantize, index) for index in range(1, 6))
    integers = ((values / scale).round() + zero_point).clamp(least, most).to(dtype)
    replace_attribute(graph, argument(dequantize, 0), integers)


def float_weights(reference: GraphModule) -> list[Tensor | None]:
    """The weights of the layers of a float graph; None where they are computed."""
    weights = (argument(layer, 1) for layer in layers(reference))
    return [attribute(reference, w) if w.op == "get_attr" else None for w in weights]


def fit_biases(graph: GraphModule, weights: Iterable[Tensor | None]) -> None:
    """Widen the weight scales of (nearly) dead channels until |bias| fits into int32.

    `weights` are those of `layers(graph)` in float.

    A trained network has channels whose weights are 1e-9 and whose bias is not;
    with a scale to match, a runtime would cut the bias off without a word.
    """
    for layer, values in zip(layers(graph), weights, strict=True):
        x, weight, bias = (argument(layer, index) for index in range(3))
        known = x.target is DEQUANTIZE and weight.target is DEQUANTIZE_CHANNELS
        if bias and known and values is not None:
            least = attribute(graph, bias).abs() / (x.args[1] * _BIAS_LIMIT)
            scales = attribute(graph, argument(weight, 1))
            wider = torch.maximum(scales, least.to(scales.dtype))
            quantize_channels(graph, weight, values, wider)


@torch.no_grad()
def name_not_finite(graph: GraphModule, inputs: Iterable[Tensor]) -> NoReturn:
    """Run the float `graph` on the inputs until a value is not finite, and name its layer.

    Raises:
        InvalidRun: Always; names the first layer that gives NaN or infinity on an input.
    """
    for x in inputs:
        run = Run(graph, x)
        for node in graph.graph.nodes:
            if node.op != "output" and not _finite(run.step(node)):
                raise InvalidRun(
                    f"layer '{layer_name(node)}' gives NaN or infinity on a calibration image. "
                    "Train again with a lower learning rate, or check its weights."
                )
    raise InvalidRun("the network gives NaN or infinity on a calibration image")


def _finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def check_scales(graph: GraphModule) -> None:
    """Refuse a quantized graph without scales, or with one that float16 cannot hold.

    Raises:
        InvalidRun: A scale is beyond float16 (names its layer), or nothing is quantized.
    """
    nodes = list(graph.graph.nodes)
    if not any(node.target in (DEQUANTIZE, DEQUANTIZE_CHANNELS) for node in nodes):
        raise InvalidRun("the network has no convolution or linear layer that could be quantized")
    for node in nodes:
        if node.target is QUANTIZE and not 0 < node.args[1] < math.inf:
            raise InvalidRun(
                f"layer '{layer_name(node.args[0])}' has the scale {node.args[1]}: its values on "
                "the calibration images are too large for 8 bits. Train the run again."
            )
