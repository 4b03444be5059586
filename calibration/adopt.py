"""A network that somebody else quantized, as a program: its scales are kept.

PT2E graphs of torchao and NNCF, and QDQ models of ONNX, say the same in several ways. Here
each way becomes the one that programs have, and not one integer changes its meaning:
uint8 activations are int8 ones 128 lower, a weight with one scale has that scale in every
channel, and a float weight behind a quantize step is stored as the integers that it gives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from edgeskin.calibration.checks import float_operators, warnings_about
from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    LAYERS,
    QUANTIZE,
    QUANTIZE_CHANNELS,
    argument,
    aten,
    attribute,
    evaluated,
    layer_name,
    operands,
    set_argument,
)
from edgeskin.calibration.program import Program
from edgeskin.calibration.record import CalibrationRecord
from edgeskin.calibration.rewrites import tidied
from edgeskin.calibration.schemes import SCHEMES
from edgeskin.errors import InvalidRun
from edgeskin.spec import Spec

_PER_TENSOR = (QUANTIZE, DEQUANTIZE)
_MIDDLE = 128
_REQUANTIZE = "Quantize it again with int8 weights, symmetric, per output channel, and int8 or "
_REQUANTIZE += "uint8 activations; or import the float model and calibrate it."


def adopt(graph: fx.GraphModule, spec: Spec) -> Program:
    """The program of a quantized graph, float32 (1, 3, H, W) to a tuple of raw heads.

    Raises:
        InvalidRun: Nothing is quantized, or something in a way that no program has: weights
            with a zero point, activations per channel, other widths than 8 and 16 bits.
    """
    for node in list(graph.graph.nodes):
        _store_integers(graph, node)
    for node in graph.graph.nodes:
        if node.target in _PER_TENSOR:
            _signed(graph, node)
    for layer in list(graph.graph.nodes):
        if layer.target in LAYERS:
            _from_products(graph, layer)
            _per_channel(graph, layer)
    graph.graph.eliminate_dead_code()
    for step in graph.graph.find_nodes(op="call_function", target=QUANTIZE_CHANNELS):
        raise InvalidRun(
            f"'{step.all_input_nodes[0].name}' is quantized with a scale for each channel, and no "
            "runtime of a phone takes activations so: give each a single scale (NNCF: "
            "AdvancedQuantizationParameters(activations_quantization_params="
            "QuantizationParameters(per_channel=False)))"
        )
    scheme = _scheme(graph)
    program = tidied(graph, torch.zeros(1, 3, spec.input.height, spec.input.width))
    in_float = float_operators(program)
    record = CalibrationRecord(
        float_operators=in_float,
        warnings=tuple(warnings_about(SCHEMES[scheme], in_float, {})),
    )
    return Program(spec, scheme, record, module=program)


def _store_integers(graph: fx.GraphModule, node: fx.Node) -> None:
    """Let a constant that a step quantizes be its integers."""
    if node.target not in (QUANTIZE, QUANTIZE_CHANNELS):
        return
    source = argument(node, "input")
    if source.op != "get_attr":
        return
    name = f"{source.target}_integers".replace(".", "_")
    graph.register_buffer(name, evaluated(graph, node))
    with graph.graph.inserting_before(node):
        node.replace_all_uses_with(graph.graph.get_attr(name))
    graph.graph.erase_node(node)


def _signed(graph: fx.GraphModule, step: fx.Node) -> None:
    """Let a step of uint8 be one of int8, 128 lower."""
    if argument(step, "dtype") is not torch.uint8:
        return
    source = argument(step, "input")
    if step.target is DEQUANTIZE and source.op == "get_attr":
        values = attribute(graph, source).to(torch.int16) - _MIDDLE
        _replace(graph, source, values.to(torch.int8))
    others = [user for user in step.users if user.target is not DEQUANTIZE]
    if step.target is QUANTIZE and others:
        raise InvalidRun(
            f"the integers of '{step.name}' are computed with by {others[0].target}, not only "
            f"read as numbers. {_REQUANTIZE}"
        )
    for name in ("zero_point", "quant_min", "quant_max"):
        set_argument(step, name, int(argument(step, name)) - _MIDDLE)
    set_argument(step, "dtype", torch.int8)


def _replace(graph: fx.GraphModule, node: fx.Node, tensor: Tensor) -> None:
    name = f"{node.target}_signed".replace(".", "_")
    graph.register_buffer(name, tensor)
    node.target = name


def _from_products(graph: fx.GraphModule, layer: fx.Node) -> None:
    """Let a weight that is integers times scales, less zeros, be a dequantize step (NNCF's way)."""
    _, weight = operands(layer)
    product = weight
    if weight.target is aten.sub.Tensor and _is_zero(graph, weight.args[1]):
        product = weight.args[0]
    if not isinstance(product, fx.Node) or product.target is not aten.mul.Tensor:
        return
    integers, scales = (_constant(graph, part) for part in product.args)
    if integers is None or scales is None or integers.dtype is not torch.int8:
        return
    channels = integers.shape[0]
    if scales.numel() == 1 or scales.shape == (channels, *[1] * (integers.dim() - 1)):
        limits = torch.iinfo(torch.int8)
        least = limits.min + int(int(integers.min()) > limits.min)
        kind = (least, limits.max, torch.int8)
        _dequantize(graph, layer, product.args[0], scales.float().flatten(), kind)


def _dequantize(
    graph: fx.GraphModule,
    layer: fx.Node,
    integers: Any,
    scales: Tensor,
    kind: tuple[Any, ...],
) -> None:
    """Let the weight of `layer` be `integers` with a scale for each channel, float32 (n,) or (1,).

    `kind` is the least and the largest integer, and their type.
    """
    _, weight = operands(layer)
    channels, name = attribute(graph, integers).shape[0], f"{weight.name}_scales"
    graph.register_buffer(name, scales.expand(channels).clone())
    graph.register_buffer(f"{name}_zero", torch.zeros(channels, dtype=torch.int64))
    with graph.graph.inserting_before(weight):
        named = graph.graph.get_attr(name), graph.graph.get_attr(f"{name}_zero")
        arguments = (integers, *named, 0, *kind)
        fresh = graph.graph.call_function(DEQUANTIZE_CHANNELS, arguments)
    weight.replace_all_uses_with(fresh, delete_user_cb=lambda user: user is layer)


def _constant(graph: fx.GraphModule, node: object) -> Tensor | None:
    if isinstance(node, fx.Node) and node.op == "get_attr":
        return attribute(graph, node)
    return None


def _is_zero(graph: fx.GraphModule, node: object) -> bool:
    tensor = _constant(graph, node)
    return tensor is not None and not tensor.any()


def _per_channel(graph: fx.GraphModule, layer: fx.Node) -> None:
    """Let the weight of a layer have a scale for each output channel, and zero point 0."""
    _, weight = operands(layer)
    if weight.target is DEQUANTIZE_CHANNELS:
        if argument(weight, "axis") != 0:
            raise _refusal(layer, f"has its scales along axis {argument(weight, 'axis')}")
        zero_points = argument(weight, "zero_points")
        if isinstance(zero_points, fx.Node) and attribute(graph, zero_points).any():
            raise _refusal(layer, "has weights with a zero point")
        return
    if weight.target is not DEQUANTIZE or argument(weight, "input").op != "get_attr":
        return
    if argument(weight, "zero_point") != 0:
        raise _refusal(layer, "has weights with a zero point")
    kind = tuple(argument(weight, name) for name in ("quant_min", "quant_max", "dtype"))
    scale = torch.tensor([float(argument(weight, "scale"))])
    _dequantize(graph, layer, argument(weight, "input"), scale, kind)


def _refusal(layer: fx.Node, what: str) -> InvalidRun:
    return InvalidRun(f"layer '{layer_name(layer)}' {what}. {_REQUANTIZE}")


def _scheme(graph: fx.GraphModule) -> str:
    """The scheme whose integers these are."""
    steps = [node for node in graph.graph.nodes if node.target is QUANTIZE]
    weights = [node for node in graph.graph.nodes if node.target is DEQUANTIZE_CHANNELS]
    if not (steps or weights):
        raise InvalidRun(f"nothing in it is quantized in a way that is known. {_REQUANTIZE}")
    if not steps:
        return "w8"
    kinds = {str(argument(step, "dtype")) for step in steps}
    if kinds == {"torch.int8"}:
        return "w8a8"
    if kinds == {"torch.int16"} and not any(argument(step, "zero_point") for step in steps):
        return "w8a16"
    raise InvalidRun(f"its activations are {', '.join(sorted(kinds))}. {_REQUANTIZE}")
