"""The end of an exported graph: what its outputs were activated by."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import fx

aten = torch.ops.aten
Activation = Literal["softmax", "sigmoid"]

_ACTIVATIONS: dict[object, Activation] = {
    aten.softmax.int: "softmax",
    aten._softmax.default: "softmax",
    aten.sigmoid.default: "sigmoid",
}
# What only moves values: an activation may stand before it.
_MOVES = {
    aten.view.default,
    aten.reshape.default,
    aten.permute.default,
    aten.squeeze.dims,
    aten.squeeze.dim,
    aten.clone.default,
    aten.alias.default,
    aten.detach.default,
}


def output_nodes(graph: fx.GraphModule) -> tuple[fx.Node, ...]:
    """What the graph returns, in order."""
    [output] = graph.graph.find_nodes(op="output")
    returned: Any = output.args[0]
    return tuple(returned) if isinstance(returned, list | tuple) else (returned,)


def final_activation(node: fx.Node) -> fx.Node | None:
    """The softmax or sigmoid that an output ends in, values moved at most; None without one."""
    while node.target in _MOVES and len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
    return node if node.target in _ACTIVATIONS else None


def activation_name(node: fx.Node | None) -> Activation | None:
    return None if node is None else _ACTIVATIONS[node.target]


def without_final_activations(graph: fx.GraphModule, chosen: Sequence[bool]) -> fx.GraphModule:
    """A copy of the graph whose `chosen` outputs are as they were before softmax or sigmoid.

    What moves values behind the activation stays. An activation whose result is used elsewhere,
    too, is left out of this output alone.
    """
    graph = copy.deepcopy(graph)
    [end] = graph.graph.find_nodes(op="output")
    outputs = list(output_nodes(graph))
    for index, is_chosen in enumerate(chosen):
        if is_chosen and (activation := final_activation(outputs[index])) is not None:
            outputs[index] = _moved(graph.graph, outputs[index], activation)
    end.args = (tuple(outputs),)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _moved(graph: fx.Graph, output: fx.Node, activation: fx.Node) -> fx.Node:
    """What `activation` takes, moved as its result was on the way to `output`."""
    if output is activation:
        return activation.all_input_nodes[0]
    source = _moved(graph, output.all_input_nodes[0], activation)
    with graph.inserting_after(output):
        return graph.node_copy(output, lambda _: source)
