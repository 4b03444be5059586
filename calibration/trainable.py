"""A quantized program as a graph that can be trained, and the way back.

The graph is the program's own: each quantize and dequantize pair becomes a fake
quantizer, tensors that share a range share one, and the integer weights become
float weights behind fake quantizers. So calibration and training give one
structure. Batch norms were folded before calibration, which freezes them.

A fake quantizer computes what the pair computes. With scale s, zero point z and
integers least..most, the pair gives

    s * (clamp(round(x / s) + z, least, most) - z) = s * clamp(round(x / s), least - z, most - z)

and the right side is `fake_quant.FixedRange`. So the scales, zero points and weights that
training ends with are all that the program needs to compute what the graph does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import GraphModule, Node
from torch.nn import functional as F

from edgeskin.calibration.fake_quant import FixedRange, LearnedRange, MovingRange, Weight
from edgeskin.calibration.finalize import (
    ZERO_TO_ONE,
    check_scales,
    fit_biases,
    pin,
    quantize_channels,
)
from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    LAYERS,
    QUANTIZE,
    argument,
    aten,
    attribute,
    bias_of,
    layers,
    parameters,
    replace_attribute,
)
from edgeskin.calibration.program import Program
from edgeskin.calibration.quantizer import SAME_RANGE
from edgeskin.calibration.ranges import half_up
from edgeskin.calibration.schemes import find_scheme

MakeRange = Callable[[float, int, int, int], FixedRange]
_RANGE = ("scale", "zero_point", "quant_min", "quant_max")
"""The arguments of a quantize step that `MakeRange` takes."""


def trainable(program: Program, reference: GraphModule, *, learned: bool) -> GraphModule:
    """`program` with fake quantizers, for batches of any size.

    Args:
        reference: The float graph that the program was made from, batch norms folded.
        learned: Scales are trained; else ranges are moving averages.

    Returns:
        Trains the weights and biases of convolutions and linear layers, and their
        ranges; everything else is constant. `ranges.N` and `weights.N` are its
        fake quantizers, in the order of `shared_ranges` and `_weights`.
    """
    graph = copy.deepcopy(program.module)
    activations = find_scheme(program.scheme).activations
    symmetric = activations is not None and activations.symmetric
    _fake_weights(graph, reference, learned)
    _fake_ranges(graph, LearnedRange if learned else partial(MovingRange, symmetric=symmetric))
    _float_constants(graph)
    _any_batch(graph)
    _in_place(graph)
    graph.graph.eliminate_dead_code()
    return fx.GraphModule(graph, graph.graph)


@torch.no_grad()
def settled(module: nn.Module, program: Program) -> GraphModule:
    """The program's graph with what `module`, made by `trainable` of it, has learned.

    Raises:
        InvalidRun: A scale is not finite; names its layer.
    """
    graph = copy.deepcopy(program.module)
    # `trainable` numbered its ranges and weights by walking this same graph in this order.
    for index, shared in enumerate(shared_ranges(graph)):
        scale, zero_point = _part(module, f"ranges.{index}").scale_and_zero_point()
        for quantize in shared.steps:
            pin(quantize, scale, zero_point)
    floats: dict[Node, Tensor] = {}
    for index, (_, dequantize) in enumerate(_weights(graph)):
        weight = _part(module, f"weights.{index}")
        floats[dequantize] = weight.values.contiguous()
        quantize_channels(graph, dequantize, floats[dequantize], weight.scales())
    for place in _float_places(graph):
        replace_attribute(graph, place, attribute(module, place).clone())
    graph.recompile()
    check_scales(graph)
    fit_biases(graph, [floats.get(argument(layer, "weight")) for layer in layers(graph)])
    return graph.requires_grad_(False)


def _part(module: nn.Module, name: str) -> Any:
    return module.get_submodule(name)


@dataclass
class SharedRange:
    """Quantize steps with one range; a `fixed` one is known beforehand."""

    steps: list[Node]
    fixed: bool


def shared_ranges(graph: GraphModule) -> list[SharedRange]:
    """The ranges of all activations, in the order of the graph.

    A runtime pools, reshapes or concatenates bare integers, which is right only while the
    tensors around the operator have one scale. Calibration gave them one; training
    keeps it only if the steps share their fake quantizer. Steps whose scales differ
    after calibration are not joined.

    Merging is transitive: a chain of such operators ends in one range, and one fixed
    member fixes it.
    """
    ranges = {
        node: SharedRange([node], _is_known(argument(node, "input")))
        for node in graph.graph.nodes
        if node.target is QUANTIZE
    }
    for node in graph.graph.nodes:
        steps, constant = _joined(node)
        for step in steps:
            if parameters(step) == parameters(steps[0]):
                _merge(ranges, ranges[steps[0]], ranges[step])
                ranges[step].fixed |= constant
    unique = {id(shared): shared for shared in ranges.values()}
    return list(unique.values())


def _joined(node: Node) -> tuple[list[Node], bool]:
    """The quantize steps around `node` that should agree, and whether a constant should too.

    All steps behind a node quantize the same values. A constant input has been quantized
    for good: it has a dequantize step and no quantize step, so there are fewer of
    these (`before`) than of those (`sources`).
    """
    after = [user for user in node.users if user.target is QUANTIZE]
    if node.target not in SAME_RANGE:
        return after, False
    sources = [argument(x, "input") for x in node.all_input_nodes if x.target is DEQUANTIZE]
    before = [source for source in sources if source.target is QUANTIZE]
    return before + after, len(before) < len(sources)


def _merge(ranges: dict[Node, SharedRange], one: SharedRange, other: SharedRange) -> None:
    if one is not other:
        one.steps += other.steps
        one.fixed |= other.fixed
        ranges.update(dict.fromkeys(other.steps, one))


def _is_known(source: Node) -> bool:
    """Whether the range is known beforehand: the network's input, an output such as a sigmoid's."""
    return source.op == "placeholder" or source.target in ZERO_TO_ONE


def _fake_ranges(graph: GraphModule, make: MakeRange) -> None:
    fake_quantizers = nn.ModuleList()
    graph.add_submodule("ranges", fake_quantizers)
    for index, shared in enumerate(shared_ranges(graph)):
        kind = FixedRange if shared.fixed else make
        fake_quantizer = kind(*(argument(shared.steps[0], name) for name in _RANGE))
        if isinstance(fake_quantizer, LearnedRange):
            fake_quantizer.limit = min(clamped_scale(step) for step in shared.steps)
        fake_quantizers.append(fake_quantizer)
        for quantize in shared.steps:
            with graph.graph.inserting_before(quantize):
                fake = graph.graph.call_module(f"ranges.{index}", (argument(quantize, "input"),))
            for dequantize in list(quantize.users):
                dequantize.replace_all_uses_with(fake)


def clamped_scale(quantize: Node) -> float:
    """The scale that just holds the clamp in front of `quantize`; infinite without one.

    quant_max - quant_min steps of this scale span low..high, from one end to the other.
    """
    clamp = argument(quantize, "input")
    if clamp.target is not aten.clamp.default:
        return math.inf
    low, high = argument(clamp, "min"), argument(clamp, "max")
    if low is None or high is None:
        return math.inf
    steps = argument(quantize, "quant_max") - argument(quantize, "quant_min")
    return float(half_up(torch.tensor((high - low) / steps, dtype=torch.float64)))


def _fake_weights(graph: GraphModule, reference: GraphModule, learned: bool) -> None:
    floats = dict(zip(layers(graph), layers(reference), strict=True))
    fake_quantizers = nn.ModuleList()
    graph.add_submodule("weights", fake_quantizers)
    for index, (layer, dequantize) in enumerate(_weights(graph)):
        values = attribute(reference, argument(floats[layer], "weight"))
        scales = attribute(graph, argument(dequantize, "scales")).float()
        fake_quantizers.append(Weight(values, scales, argument(dequantize, "quant_max"), learned))
        with graph.graph.inserting_before(dequantize):
            fake = graph.graph.call_module(f"weights.{index}")
        dequantize.replace_all_uses_with(fake)
    for place in _float_places(graph):
        _learn(graph, place)


def _weights(graph: GraphModule) -> list[tuple[Node, Node]]:
    """The layers with integer weights and the steps that dequantize them, each step once."""
    first_readers: dict[Node, Node] = {}
    for layer in layers(graph):
        weight = argument(layer, "weight")
        if weight.target is DEQUANTIZE_CHANNELS:
            first_readers.setdefault(weight, layer)
    return [(layer, dequantize) for dequantize, layer in first_readers.items()]


def _float_places(graph: GraphModule) -> Iterator[Node]:
    """The `get_attr` nodes of biases, and of the weights of layers that stay float."""
    for layer in layers(graph):
        for place in (argument(layer, "weight"), bias_of(layer)):
            if place is not None and place.op == "get_attr":
                yield place


def _learn(graph: GraphModule, place: Node) -> None:
    """Make the tensor behind a `get_attr` node a parameter of this graph alone."""
    path, _, name = str(place.target).rpartition(".")
    owner = graph.get_submodule(path)
    tensor = getattr(owner, name).detach().clone()
    delattr(owner, name)
    setattr(owner, name, nn.Parameter(tensor))


def _float_constants(graph: GraphModule) -> None:
    """Constants that the program holds as integers become what they stand for."""
    for node in list(graph.graph.nodes):
        if node.target is DEQUANTIZE and argument(node, "input").op == "get_attr":
            name = f"_constant_{node.name}"
            integers = attribute(graph, argument(node, "input"))
            graph.register_buffer(name, DEQUANTIZE(integers, *parameters(node)))
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(graph.graph.get_attr(name))


# The first size of a shape below is the batch of the export, 1; -1 stands for any other:
# reshape finds it from the number of values, expand leaves it as it is. A tensor of batch 1
# that meets a larger batch in a concat is a constant (a class token), repeated for each image.
def _reshape(x: Tensor, shape: list[int]) -> Tensor:
    return x.reshape(-1, *shape[1:])


def _expand(x: Tensor, shape: list[int]) -> Tensor:
    return x.expand(-1, *shape[1:])


def _concatenate(tensors: list[Tensor], dim: int = 0) -> Tensor:
    batch = max(tensor.shape[0] for tensor in tensors)
    return torch.cat([tensor.expand(batch, *tensor.shape[1:]) for tensor in tensors], dim)


# Operators that name the batch of 1 which a program is exported for, and their like for any.
_ANY_BATCH: dict[Any, Any] = {
    aten.view.default: _reshape,
    aten.expand.default: _expand,
    aten.cat.default: _concatenate,
}


def _in_place(graph: GraphModule) -> None:
    """ReLU and ReLU6 write over the output of their layer, which nothing else needs."""
    for node in graph.graph.nodes:
        if node.target not in (aten.relu.default, aten.clamp.default):
            continue
        source = argument(node, "self")
        if source.target in LAYERS and len(source.users) == 1:
            if node.target is aten.relu.default:
                node.target = torch.relu_
            elif len(node.args) == 3:  # both bounds
                node.target = F.hardtanh_


def _any_batch(graph: GraphModule) -> None:
    for node in graph.graph.nodes:
        node.target = _ANY_BATCH.get(node.target, node.target)
