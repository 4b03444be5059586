"""Last repairs of a quantized graph, and the checks that name a broken layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    Run,
    argument,
    aten,
    attribute,
    layer_name,
    layers,
    replace_attribute,
)
from edgeskin.errors import InvalidRun

# Outputs whose range is known, and which TFLite demands: (scale, zero_point) for int8.
FIXED_OUTPUTS: dict[Any, tuple[float, int]] = {aten.sigmoid.default: (1 / 256, -128)}
# A runtime holds the bias as int32 in units of input scale x weight scale; one bit to spare.
_BIAS_LIMIT = 2.0**30


def pin_ranges(graph: GraphModule) -> None:
    """Give outputs whose range is known beforehand (`FIXED_OUTPUTS`) that range."""
    for node in graph.graph.nodes:
        if node.target in FIXED_OUTPUTS:
            _pin(node, *FIXED_OUTPUTS[node.target])
    graph.recompile()


def _pin(node: Node, scale: float, zero_point: int) -> None:
    for quantize in list(node.users):
        if quantize.target is QUANTIZE:
            for user in [quantize, *quantize.users]:
                user.update_arg(1, scale)
                user.update_arg(2, zero_point)


def fit_biases(graph: GraphModule) -> None:
    """Widen the weight scales of (nearly) dead channels until |bias| fits into int32.

    A trained network has channels whose weights are 1e-9 and whose bias is not;
    with a scale to match, a runtime would cut the bias off without a word.
    """
    for layer in layers(graph):
        x, weight, bias = (argument(layer, index) for index in range(3))
        if bias and x.target is DEQUANTIZE and weight.target is DEQUANTIZE_CHANNELS:
            least = attribute(graph, bias).abs() / (x.args[1] * _BIAS_LIMIT)
            _widen(graph, weight, least)


def _widen(graph: GraphModule, dequantize: Node, least: Tensor) -> None:
    """Make every scale of a constant weight at least `least` (channels,)."""
    integers, scales = (attribute(graph, argument(dequantize, index)) for index in range(2))
    wider = torch.maximum(scales, least.to(scales.dtype))
    ratio = (scales / wider).reshape(-1, *[1] * (integers.dim() - 1))
    rounded = (integers * ratio).round().to(integers.dtype)
    replace_attribute(graph, argument(dequantize, 0), rounded)
    replace_attribute(graph, argument(dequantize, 1), wider)


@torch.no_grad()
def check_finite(graph: GraphModule, inputs: Iterable[Tensor]) -> None:
    """
    Raises:
        InvalidRun: An input leads to NaN or infinity; names the first layer that gives it.
    """
    for index, x in enumerate(inputs):
        if not all(output.isfinite().all() for output in graph(x)):
            raise InvalidRun(
                f"layer '{layer_name(_first_not_finite(graph, x))}' gives NaN or infinity on "
                f"calibration image {index}. Train again with a lower learning rate, or check "
                "its weights."
            )


def _first_not_finite(graph: GraphModule, x: Tensor) -> Node:
    run = Run(graph, x)
    return next(node for node in graph.graph.nodes if not _finite(run.step(node)))


def _finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def check_scales(graph: GraphModule) -> None:
    """
    Raises:
        InvalidRun: A scale is zero, NaN or infinite (names its layer), or there is none.
    """
    steps = [node for node in graph.graph.nodes if node.target is QUANTIZE]
    if not steps:
        raise InvalidRun("the network has no convolution or linear layer that could be quantized")
    for node in steps:
        if not 0 < node.args[1] < math.inf:
            raise InvalidRun(
                f"layer '{layer_name(node.args[0])}' has the scale {node.args[1]}: some of its "
                "values are not finite on the calibration images. Train the run again."
            )
