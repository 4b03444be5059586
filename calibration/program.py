"""A program: the quantized, target-neutral network with its spec, in one `.pt2` file.

The graph holds explicit quantize and dequantize pairs, and its weights as int8
(`Program.module`); `unfolded` gives the same function with float weights and
the quantize step in the graph, which the TFLite converter wants.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import fx

from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    QUANTIZE_CHANNELS,
    argument,
    evaluated,
    parameters,
    set_argument,
)
from edgeskin.calibration.header import Header, damaged, read_header
from edgeskin.files import atomic
from edgeskin.models.exported import load_graph, save_graph

# What to put in front of a constant that a graph dequantizes.
_QUANTIZE: dict[Any, Any] = {DEQUANTIZE: QUANTIZE, DEQUANTIZE_CHANNELS: QUANTIZE_CHANNELS}


@dataclass(frozen=True)
class Program(Header):
    """A quantized network: normalised float32 (1, 3, H, W) to a tuple of raw heads."""

    module: fx.GraphModule = field(kw_only=True)

    def example(self) -> torch.Tensor:
        """An input of the right shape, all zero."""
        return torch.zeros(1, 3, self.spec.input.height, self.spec.input.width)


def save_program(path: Path, program: Program, *, force: bool = False) -> None:
    """Write `program` as one `.pt2` file, whole or not at all.

    Raises:
        CannotWrite: `path` exists and `force` is False, or cannot be written.
    """
    archive = save_graph(program.module, program.example(), program.to_json())
    with atomic(path, force=force) as fresh:
        fresh.write_bytes(archive)


def load_program(path: Path) -> Program:
    """Read what `save_program` wrote; its outputs are bit-equal. Runs no code of the file.

    Raises:
        InvalidRun: Missing, damaged, not a program, or one that a newer edgeskin wrote.
        InvalidSpec: The spec in it does not validate.
    """
    path = Path(path)
    header = read_header(path)
    try:
        graph = load_graph(path.read_bytes())
    except Exception as error:  # zip, JSON and torch raise types of their own
        raise damaged(path, error) from error
    return Program(**vars(header), module=graph)


def unfolded(module: fx.GraphModule) -> fx.GraphModule:
    """The same function, bit by bit, with float weights that the graph quantizes.

    round((q * scale) / scale) is q again for every int8 q, so nothing is lost.
    """
    graph = copy.deepcopy(module)
    for node in list(graph.graph.nodes):
        if node.target in _QUANTIZE and argument(node, "input").op == "get_attr":
            _unfold(graph, node)
    graph.recompile()
    return graph


def dequantized(module: fx.GraphModule) -> fx.GraphModule:
    """The graph without its quantize steps: float operators, weights still rounded."""
    graph = copy.deepcopy(module)
    for node in list(graph.graph.nodes):
        if node.target not in (QUANTIZE, *_QUANTIZE):
            continue
        source = argument(node, "input")
        if source.op == "get_attr":
            source = _float_constant(graph, node)
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _unfold(graph: fx.GraphModule, dequantize: Any) -> None:
    """Put a float constant and its quantize step in front of `dequantize`."""
    constant = _float_constant(graph, dequantize)
    arguments = (constant, *parameters(dequantize))
    with graph.graph.inserting_before(dequantize):
        quantize = graph.graph.call_function(_QUANTIZE[dequantize.target], arguments)
    set_argument(dequantize, "input", quantize)


def _float_constant(graph: fx.GraphModule, dequantize: Any) -> fx.Node:
    """A float constant in front of `dequantize` that holds its result."""
    name = f"{argument(dequantize, 'input').target}_float".replace(".", "_")
    graph.register_buffer(name, evaluated(graph, dequantize))
    with graph.graph.inserting_before(dequantize):
        return graph.graph.get_attr(name)
