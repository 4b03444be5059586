"""The operators of a quantized graph, and access to its nodes' arguments and tensors."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators of `qdq`
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Interpreter, Node

aten = torch.ops.aten
qdq = torch.ops.quantized_decomposed

CONVOLUTION = aten.conv2d.default
LINEAR = aten.linear.default
LAYERS = {CONVOLUTION, LINEAR}
PADS = (aten.pad.default, aten.constant_pad_nd.default)

# The two factors of each product, as its schema calls them.
OPERANDS: dict[Any, tuple[str, str]] = {
    CONVOLUTION: ("input", "weight"),
    LINEAR: ("input", "weight"),
    aten.matmul.default: ("self", "other"),
    aten.bmm.default: ("self", "mat2"),
}

QUANTIZE = qdq.quantize_per_tensor.default
DEQUANTIZE = qdq.dequantize_per_tensor.default
QUANTIZE_CHANNELS = qdq.quantize_per_channel.default
DEQUANTIZE_CHANNELS = qdq.dequantize_per_channel.default
_STEPS = {QUANTIZE, DEQUANTIZE, QUANTIZE_CHANNELS, DEQUANTIZE_CHANNELS}


def argument(node: Node, name: str) -> Any:
    """The argument that the schema of `node`'s operator calls `name`, or its default.

    A convolution has `input`, `weight`, `bias`, `stride` and so on; a step into integers
    or back has `input`, `scale`, `zero_point`, `quant_min`, `quant_max` and `dtype`, one
    per channel `scales` and `zero_points`.

    Raises:
        KeyError: The operator has no such argument.
    """
    position, default = _arguments(node.target)[name]
    return node.args[position] if position < len(node.args) else node.kwargs.get(name, default)


def set_argument(node: Node, name: str, value: Any) -> None:
    """Change a positional argument of `node`, or add the next one."""
    position, _ = _arguments(node.target)[name]
    node.args = (*node.args[:position], value, *node.args[position + 1 :])


@cache
def _arguments(operator: OpOverload) -> dict[str, tuple[int, Any]]:
    """The position and the default of each argument, by its name in the schema."""
    schema = operator._schema.arguments
    return {each.name: (index, each.default_value) for index, each in enumerate(schema)}


def operands(product: Node) -> tuple[Any, Any]:
    """What a product multiplies: the input and the weight of a layer, or two matrices."""
    first, second = OPERANDS[product.target]
    return argument(product, first), argument(product, second)


def bias_of(product: Node) -> Node | None:
    """The bias of a layer; a product of matrices has none."""
    bias: Node | None = argument(product, "bias") if product.target in LAYERS else None
    return bias


def parameters(step: Node) -> tuple[Any, ...]:
    """What a step into integers or back does: all of its arguments but the input.

    A quantize step and the dequantize step that undoes it have the same ones.
    """
    return step.args[1:]


def layers(graph: GraphModule) -> list[Node]:
    """The convolutions and linear layers, from input to output."""
    return [node for node in graph.graph.nodes if node.target in LAYERS]


def computations(graph: GraphModule) -> list[Node]:
    """The nodes that compute, without the steps into integers and back."""
    return [
        node
        for node in graph.graph.nodes
        if node.op == "call_function" and node.target not in _STEPS
    ]


def constants(graph: GraphModule) -> set[Node]:
    """The nodes that are the same for every input: weights, and what is made of them alone."""
    fixed: set[Node] = set()
    for node in graph.graph.nodes:
        sources = node.all_input_nodes
        if node.op == "get_attr" or (sources and fixed.issuperset(sources)):
            fixed.add(node)
    return fixed


def attribute(graph: nn.Module, node: Node) -> Tensor:
    """The tensor that a `get_attr` node stands for."""
    path, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(graph.get_submodule(path), name)
    return tensor


def evaluated(graph: GraphModule, node: Node) -> Tensor:
    """What an operator of constants gives."""
    arguments = [attribute(graph, a) if isinstance(a, Node) else a for a in node.args]
    result: Tensor = node.target(*arguments)  # type: ignore[operator]
    return result


def replace_attribute(graph: GraphModule, node: Node, tensor: Tensor) -> None:
    """Put a new tensor behind a `get_attr` node, leaving the old one as it was.

    A graph shares tensors with the network it was exported from, so nothing is
    ever written into one.
    """
    path, _, name = str(node.target).rpartition(".")
    owner = graph.get_submodule(path)
    if isinstance(getattr(owner, name, None), nn.Parameter):
        tensor = nn.Parameter(tensor, requires_grad=False)
    setattr(owner, name, tensor)


def layer_name(node: Node) -> str:
    """The module path of the nearest weight at or before `node`, or the node's own name."""
    place = node
    while place.all_input_nodes:
        for source in place.all_input_nodes:
            path = str(source.target).rpartition(".")[0]
            if source.op == "get_attr" and path:
                return path
        place = place.all_input_nodes[0]
    return node.name


class Run(Interpreter):
    """One input on its way through a graph, node by node."""

    def __init__(self, graph: GraphModule, sample: Tensor):
        super().__init__(graph)
        self.args_iter = iter([sample])

    def step(self, node: Node) -> Any:
        self.env[node] = self.run_node(node)
        return self.env[node]

    def forget(self, node: Node) -> None:
        """Drop the values that `node` was the last to use."""
        for used in self.user_to_last_uses.get(node, []):
            del self.env[used]
