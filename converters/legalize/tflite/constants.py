"""Constants in the rank of what they meet.

litert-torch keeps an operator in NHWC only when all its operands have four
dimensions; a number or a (C, 1, 1) factor beside a feature map costs two
TRANSPOSE otherwise.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    QUANTIZE,
    aten,
    attribute,
    replace_attribute,
)

_BROADCASTING = {aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor}


def give_constants_full_rank(graph: GraphModule) -> None:
    """Put ones in front of the shape of each constant operand: (C, 1, 1) to (1, C, 1, 1).

    Broadcasting puts them there anyway. A constant whose users differ in rank stays.
    """
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            ranks = {user.meta["val"].dim() for user in _operators(node)}
            if len(ranks) == 1:
                _expand(graph, node, ranks.pop())
    graph.recompile()


def _operators(constant: Node) -> list[Node]:
    """Users of the constant, behind quantize and dequantize; empty if any does not broadcast."""
    users: list[Node] = []
    for user in constant.users:
        behind = _operators(user) if user.target in (QUANTIZE, DEQUANTIZE) else [user]
        if not behind or any(node.target not in _BROADCASTING for node in behind):
            return []
        users += behind
    return users


def _expand(graph: GraphModule, constant: Node, rank: int) -> None:
    tensor = attribute(graph, constant)
    ones = (1,) * (rank - tensor.dim())
    replace_attribute(graph, constant, tensor.reshape(*ones, *tensor.shape))
