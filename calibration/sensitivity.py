"""Which parts of a network INT8 hurts most, measured on a calibrated program's own graph.

A part is a block: the layers whose module paths begin alike. Its sensitivity is the SQNR of the
outputs if its layers alone compute in integers, all others in float: the lower, the more INT8
hurts it. No other part's noise hides it so, as it would if parts were put into float one by one:
where one part makes most of the noise, all others seem to give nothing, or less.
A part costs two passes over the images, one to correct biases, and no calibration. Noises of
parts add up in power as long as they are small and independent.
"""

from __future__ import annotations

import copy
import glob
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves

from edgeskin import metrics
from edgeskin.calibration.bias import channel_means, correct_biases
from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    argument,
    attribute,
    computations,
    evaluated,
    layer_name,
    layers,
    operands,
)
from edgeskin.calibration.program import Program
from edgeskin.calibration.quantizer import EdgeQuantizer, quantizes
from edgeskin.calibration.record import PartSensitivity
from edgeskin.calibration.schemes import find_scheme
from edgeskin.progress import Progress, silent

MOST_PARTS = 40
_DEQUANTIZE = (DEQUANTIZE, DEQUANTIZE_CHANNELS)
_FAKE = torch.ops.aten.fake_quantize_per_tensor_affine.default
Heads = list[NDArray[np.float32]]


class Parts:
    """The integer layers of a program, grouped by the first names of their module paths.

    Of all depths that give at most `MOST_PARTS` parts the deepest is taken: a MobileNet's or
    EfficientNet's blocks, its stem and its heads.
    """

    def __init__(self, program: Program):
        found = [n for n in layers(program.module) if operands(n)[1].target is DEQUANTIZE_CHANNELS]
        paths = [layer_name(layer).split(".") for layer in found]
        most = max(map(len, paths), default=1)
        prefixes = [[".".join(path[:depth]) for path in paths] for depth in range(1, most + 1)]
        fitting = [names for names in prefixes if len(set(names)) <= MOST_PARTS]
        self.layers: dict[str, list[Node]] = {}
        for name, layer in zip((fitting or prefixes[:1])[-1], found, strict=True):
            self.layers.setdefault(name, []).append(layer)

    def patterns(self, part: str) -> list[str]:
        """What `exclude` calls the layers of a part."""
        whole = glob.escape(part)
        exact = {layer_name(layer) == part for layer in self.layers[part]}
        return [whole if is_whole else f"{whole}.*" for is_whole in sorted(exact)]


class Simulation:
    """A program with more of its layers in float, without calibrating it again.

    What the quantizer leaves alone where these layers are excluded loses its quantize steps, all
    other scales stay, and biases are corrected anew, as they make up for what was rounded.

    Args:
        reference: The float graph that the program was made from.
        samples: The calibration images as inputs, float32 (1, 3, H, W).
    """

    def __init__(self, program: Program, reference: GraphModule, samples: Sequence[Tensor]):
        self.program, self.reference, self.samples = program, reference, samples
        self.means = channel_means(reference, samples)

    def __call__(self, exclude: Sequence[str]) -> GraphModule:
        """The graph with the layers that `exclude` names in float, besides the program's own.

        Raises:
            UnknownName: A pattern matches no layer.
        """
        graph, annotated = copy.deepcopy(self.program.module), copy.deepcopy(self.reference)
        patterns = (*self.program.calibration.exclude, *exclude)
        EdgeQuantizer(find_scheme(self.program.scheme), patterns).annotate(annotated)
        for node, twin in zip(_readers(graph), _readers(annotated), strict=True):
            for used, original in zip(tree_leaves(node.args), tree_leaves(twin.args), strict=True):
                if getattr(used, "target", None) in _DEQUANTIZE and not quantizes(original, twin):
                    _pass_by(graph, node, used, self.reference, original)
        graph = simulated(graph)
        correct_biases(graph, self.reference, self.samples, means=self.means)
        return graph


def sensitivity(
    simulation: Simulation, samples: Sequence[Tensor], progress: Progress = silent
) -> list[PartSensitivity]:
    """The SQNR of each part alone in integers, the most sensitive, with the lowest, first.

    Args:
        samples: Inputs, float32 (1, 3, H, W), that nothing was calibrated on.
        progress: Called with (what, parts done, parts in all).
    """
    program = simulation.program
    parts, truth = Parts(program), outputs(simulation.reference, samples)
    patterns = {name: parts.patterns(name) for name in parts.layers}
    products = {name: sum(map(multiply_adds, found)) for name, found in parts.layers.items()}
    weights = {name: _weights(found) for name, found in parts.layers.items()}
    of_all = sum(map(multiply_adds, layers(program.module)))
    table = []
    for done, name in enumerate(parts.layers, 1):
        others = [p for other, own in patterns.items() if other != name for p in own]
        alone_db = sqnr_db(truth, outputs(simulation(others), samples))
        table.append(
            PartSensitivity(
                part=name,
                alone_db=alone_db,
                multiply_adds=products[name] / of_all,
                weights=weights[name] / sum(weights.values()),
            )
        )
        progress("measuring sensitivity", done, len(parts.layers))
    return sorted(table, key=lambda row: row.alone_db)


def _readers(graph: GraphModule) -> list[Node]:
    """The nodes that compute, and the one that returns the outputs."""
    return [*computations(graph), *graph.graph.find_nodes(op="output")]


def _pass_by(
    graph: GraphModule, node: Node, dequantize: Node, reference: GraphModule, original: Node
) -> None:
    """Let `node` read in float what it reads from `dequantize`."""
    source = argument(dequantize, "input")
    if source.op == "get_attr":
        source = _constant(graph, dequantize, attribute(reference, original))
    else:
        source = argument(source, "input")
    node.replace_input_with(dequantize, source)


def simulated(module: GraphModule) -> GraphModule:
    """The same function with float constants, and with a quantize and dequantize step in one."""
    graph = copy.deepcopy(module)
    for node in graph.graph.nodes:
        if node.target not in _DEQUANTIZE or not node.users:
            continue
        source = argument(node, "input")
        if source.op == "get_attr":
            fake = _constant(graph, node, evaluated(graph, node))
        else:
            steps = [argument(node, n) for n in ("scale", "zero_point", "quant_min", "quant_max")]
            with graph.graph.inserting_before(node):
                fake = graph.graph.call_function(_FAKE, (argument(source, "input"), *steps))
        node.replace_all_uses_with(fake)
    graph.graph.eliminate_dead_code()
    return GraphModule(graph, graph.graph)


def _constant(graph: GraphModule, before: Node, values: Tensor) -> Node:
    name = f"{before.name}_in_float"
    graph.register_buffer(name, values)
    with graph.graph.inserting_before(before):
        return graph.graph.get_attr(name)


@torch.no_grad()
def outputs(graph: GraphModule, samples: Sequence[Tensor]) -> Heads:
    """The raw heads of all samples, each (N, ...)."""
    heads = zip(*(graph(sample) for sample in samples), strict=True)
    return [torch.cat(head).numpy() for head in heads]


def sqnr_db(reference: Heads, candidate: Heads) -> float:
    """Of the worst raw head: before a softmax, which hides the error of a sure answer."""
    pairs = zip(reference, candidate, strict=True)
    return float(np.min([metrics.sqnr_db(*pair) for pair in pairs]))  # NaN stays NaN


def multiply_adds(layer: Node) -> int:
    """Products of one image: each output value is a sum over the weights of its channel."""
    return math.prod(layer.meta["val"].shape) * math.prod(_weight_shape(layer)[1:])


def _weights(found: Sequence[Node]) -> int:
    """How many weights some layers have; one that is run twice has its own once."""
    shapes = {argument(operands(n)[1], "input").target: _weight_shape(n) for n in found}
    return sum(map(math.prod, shapes.values()))


def _weight_shape(layer: Node) -> tuple[int, ...]:
    return tuple(operands(layer)[1].meta["val"].shape)
