"""Permutations of more than five axes, written with fewer.

Core ML holds tensors of five axes at most. Windows of a feature map (Swin, MaxViT) and pixel
shuffle take six, of which one is the batch of 1 and others stay side by side: without the
first, and with the others as one, the same values move in the same order.
"""

from __future__ import annotations

from math import prod

import torch
from torch.fx import GraphModule, Node

from edgeskin.calibration.graphs import argument, aten

MOST_AXES = 5
_PERMUTATIONS = {aten.permute.default, aten.transpose.int}
_VIEWS = {aten.view.default, aten._unsafe_view.default, aten.reshape.default}


def lower_ranks(graph: GraphModule) -> None:
    """Rewrite each permutation of more than `MOST_AXES` axes that fewer can express, in place.

    Every node must have its value's shape in `meta["val"]`.
    """
    for node in list(graph.graph.nodes):
        if node.target in _PERMUTATIONS and _rank(node) > MOST_AXES:
            _lower(graph, node)
    for node in list(graph.graph.nodes):
        if node.target in _VIEWS and (origin := _origin(_input(node))) is not _input(node):
            with graph.graph.inserting_before(node):
                if not origin.meta["val"].is_contiguous():
                    origin = _contiguous(graph, origin)
            node.replace_input_with(_input(node), origin)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def fewest_axes(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """A shape and a permutation of it that move the same values as `dims` on `shape`.

    >>> fewest_axes((1, 8, 7, 8, 7, 96), (0, 1, 3, 2, 4, 5))
    ([8, 7, 8, 672], [0, 2, 1, 3])
    """
    places = {
        axis: place for place, axis in enumerate(a for a, size in enumerate(shape) if size > 1)
    }
    runs: list[list[int]] = []
    for axis in (axis for axis in dims if axis in places):
        if runs and places[axis] == places[runs[-1][-1]] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    ordered = sorted(runs)
    return [prod(shape[axis] for axis in run) for run in ordered], [ordered.index(r) for r in runs]


def _lower(graph: GraphModule, permute: Node) -> None:
    source: Node = argument(permute, "self")
    shape, out = tuple(source.meta["val"].shape), permute.meta["val"].shape
    fewer, order = fewest_axes(shape, _dims(permute, len(shape)))
    if len(fewer) > MOST_AXES:
        return
    with graph.graph.inserting_before(permute):
        if not source.meta["val"].is_contiguous():
            source = _contiguous(graph, source)
        merged = _node(graph, aten.view.default, source, fewer)
        moved = _node(graph, aten.permute.default, merged, order)
        result = _node(graph, aten.view.default, _contiguous(graph, moved), list(out))
    permute.replace_all_uses_with(result)
    graph.graph.erase_node(permute)


def _dims(permute: Node, rank: int) -> tuple[int, ...]:
    """The axis of its input that each axis of a permutation is."""
    if permute.target is aten.permute.default:
        return tuple(dim % rank for dim in argument(permute, "dims"))
    dims = list(range(rank))
    one, other = argument(permute, "dim0"), argument(permute, "dim1")
    dims[one], dims[other] = dims[other], dims[one]
    return tuple(dims)


def _node(graph: GraphModule, operator: torch._ops.OpOverload, x: Node, sizes: list[int]) -> Node:
    node = graph.graph.call_function(operator, (x, sizes))
    node.meta["val"] = operator(x.meta["val"], sizes)
    return node


def _contiguous(graph: GraphModule, x: Node) -> Node:
    """A copy that a view may be taken of."""
    node = graph.graph.call_function(
        aten.clone.default, (x,), {"memory_format": torch.contiguous_format}
    )
    node.meta["val"] = x.meta["val"].clone(memory_format=torch.contiguous_format)
    return node


def _origin(source: Node) -> Node:
    """Behind views of `source` that have too many axes: a view of them is a view of it."""
    place = source
    while _is_view(place) or (place.target is aten.clone.default and _is_view(_input(place))):
        place = _input(place)
        if _rank(place) <= MOST_AXES and _rank(source) > MOST_AXES:
            return place
    return source


def _is_view(node: Node) -> bool:
    return node.target in _VIEWS


def _input(node: Node) -> Node:
    return node.all_input_nodes[0]


def _rank(node: Node) -> int:
    return int(node.meta["val"].dim())
