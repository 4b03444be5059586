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
    PADS,
    QUANTIZE,
    Run,
    argument,
    aten,
    attribute,
    bias_of,
    computations,
    layer_name,
    layers,
    operands,
    replace_attribute,
    set_argument,
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
                least, most = argument(step, "quant_min"), argument(step, "quant_max")
                zero_point = least if argument(step, "zero_point") else 0
                pin(step, 1 / (most + 1 - zero_point), zero_point)
    graph.recompile()


def pin_input(graph: GraphModule, spec: Spec, symmetric: bool) -> None:
    """Give the network's input the scale that its 256 pixel values ask for."""
    image = next(node for node in graph.graph.nodes if node.op == "placeholder")
    for step in _image_steps(image):
        least, most = argument(step, "quant_min"), argument(step, "quant_max")
        pin(step, *input_scale(spec, least, most, symmetric))
    graph.recompile()


def _image_steps(image: Node) -> Iterator[Node]:
    """The steps into integers of the image, and of the image with zeros around it."""
    for step in _steps(image):
        yield step
        for user in (user for dequantize in step.users for user in dequantize.users):
            if user.target in PADS:
                yield from _steps(user)


def _steps(node: Node) -> list[Node]:
    return [user for user in node.users if user.target is QUANTIZE]


def pin(quantize: Node, scale: float, zero_point: int) -> None:
    """Give a quantize step, and the dequantize steps behind it, a scale and zero point."""
    for step in [quantize, *quantize.users]:
        _set_scale(step, scale, zero_point)


def _set_scale(step: Node, scale: float, zero_point: int) -> None:
    set_argument(step, "scale", scale)
    set_argument(step, "zero_point", zero_point)


def round_scales(graph: GraphModule, reference: GraphModule) -> None:
    """Round every scale up to a number that float16 holds; quantize constants to match.

    Args:
        graph: Quantized from `reference`: the same computations in the same order.
        reference: The float graph, with the float weights and constants.
    """
    for node in graph.graph.nodes:
        if node.target in (QUANTIZE, DEQUANTIZE):
            scale = torch.tensor(argument(node, "scale"), dtype=torch.float64)
            set_argument(node, "scale", float(half_up(scale)))
    for dequantize, values in _constants(graph, reference):
        if dequantize.target is DEQUANTIZE_CHANNELS:
            scales = attribute(graph, argument(dequantize, "scales"))
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
    if not isinstance(used, Node) or used.target not in steps:
        return False
    is_constant: bool = argument(used, "input").op == "get_attr"
    return is_constant


def quantize_channels(graph: GraphModule, dequantize: Node, values: Tensor, scales: Tensor) -> None:
    """Let a symmetric weight be `values` in steps of `scales` (channels,), rounded up."""
    scales = half_up(scales)
    steps = values / scales.reshape(-1, *[1] * (values.dim() - 1))
    _store_integers(graph, dequantize, steps.round())
    replace_attribute(graph, argument(dequantize, "scales"), scales)


def _quantize_constant(graph: GraphModule, dequantize: Node, values: Tensor) -> None:
    """Let a constant be `values` in steps of its scale; a lone number gets one that meets it."""
    if values.numel() == 1:
        scale = float((values.abs() / _LONE_CONSTANT).half().clamp(LEAST_SCALE))
        _set_scale(dequantize, scale, 0)
    scale, zero_point = argument(dequantize, "scale"), argument(dequantize, "zero_point")
    _store_integers(graph, dequantize, (values / scale).round() + zero_point)


def _store_integers(graph: GraphModule, dequantize: Node, rounded: Tensor) -> None:
    """Let `dequantize` read `rounded`, cut to its range and in its type."""
    least, most = argument(dequantize, "quant_min"), argument(dequantize, "quant_max")
    integers = rounded.clamp(least, most).to(argument(dequantize, "dtype"))
    replace_attribute(graph, argument(dequantize, "input"), integers)


def float_weights(reference: GraphModule) -> list[Tensor | None]:
    """The weights of the layers of a float graph; None where they are computed."""
    weights = (argument(layer, "weight") for layer in layers(reference))
    return [attribute(reference, w) if w.op == "get_attr" else None for w in weights]


def fit_biases(graph: GraphModule, weights: Iterable[Tensor | None]) -> None:
    """Widen the weight scales of (nearly) dead channels until |bias| fits into int32.

    `weights` are those of `layers(graph)` in float.

    A trained network has channels whose weights are 1e-9 and whose bias is not;
    with a scale to match, a runtime would cut the bias off without a word.
    """
    for layer, values in zip(layers(graph), weights, strict=True):
        (x, weight), bias = operands(layer), bias_of(layer)
        quantized = x.target is DEQUANTIZE and weight.target is DEQUANTIZE_CHANNELS
        if bias and quantized and values is not None:
            # |bias| <= limit * input scale * weight scale, solved for the weight scale
            least = attribute(graph, bias).abs() / (argument(x, "scale") * _BIAS_LIMIT)
            scales = attribute(graph, argument(weight, "scales"))
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
        if node.target is QUANTIZE and not 0 < (scale := argument(node, "scale")) < math.inf:
            raise InvalidRun(
                f"layer '{layer_name(argument(node, 'input'))}' has the scale {scale}: its values "
                "on the calibration images are too large for 8 bits. Train the run again."
            )
