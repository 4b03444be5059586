"""Permutations of many axes, written with fewer.

Core ML holds tensors of five axes at most, LiteRT's GPU of four. Windows of a feature map
(Swin, MaxViT) and pixel shuffle take six, of which one is the batch of 1 and others stay side
by side: without the first, and with the others as one, the same values move in the same order.

Attention whose queries, keys and values one layer computes takes five, and selects the three
behind the permutation; selected before it, they need four.
"""

from __future__ import annotations

import operator
from math import prod
from typing import cast

import torch
from torch.fx import GraphModule, Node

from edgeskin.calibration.graphs import argument, aten

MOST_AXES = 4
_PERMUTATIONS = {aten.permute.default, aten.transpose.int}
_VIEWS = {aten.view.default, aten._unsafe_view.default, aten.reshape.default}


def lower_ranks(graph: GraphModule) -> bool:
    """Write permutations of more than `MOST_AXES` axes with fewer where they can be, in place.

    What is selected behind one, along an axis that a view in front of it split off, is sliced
    before both: view (1, N, 3, H, D), permute (3, 1, H, N, D), select i is slice i of three, view
    (1, N, H, D), permute (1, H, N, D).

    Args:
        graph: Every node must have its value's shape in `meta["val"]`.

    Returns:
        Whether a permutation was written anew.
    """
    parts = [(node, part) for node in graph.graph.nodes if (part := _part(node))]
    changed = [_select_before(graph, node, *part) for node, part in parts]
    graph.graph.eliminate_dead_code()
    for node in list(graph.graph.nodes):
        if node.target in _PERMUTATIONS and _rank(node) > MOST_AXES:
            changed.append(_lower(graph, node))
    for node in list(graph.graph.nodes):
        if node.target in _VIEWS and (origin := _origin(_input(node))) is not _input(node):
            with graph.graph.inserting_before(node):
                if not origin.meta["val"].is_contiguous():
                    origin = _contiguous(graph, origin)
            node.replace_input_with(_input(node), origin)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return any(changed)


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


def _part(node: Node) -> tuple[Node, int, int] | None:
    """What `node` selects a part of, along which axis, and which part; None if it selects none."""
    if node.target is aten.select.int:
        return argument(node, "self"), argument(node, "dim"), argument(node, "index")
    if node.target is operator.getitem and _input(node).target is aten.unbind.int:
        parts = _input(node)
        return argument(parts, "self"), argument(parts, "dim"), cast(int, node.args[1])
    return None


def _select_before(graph: GraphModule, part: Node, permute: Node, dim: int, index: int) -> bool:
    """Write `part`, the one at `index` along `dim` of `permute`, with fewer axes, if it can be."""
    if permute.target not in _PERMUTATIONS or not _is_view(_input(permute)):
        return False
    rank, split = _rank(permute), tuple(_input(permute).meta["val"].shape)
    dims, source = list(_dims(permute, rank)), _input(_input(permute))
    axis = dims.pop(dim % rank)
    place = _split_axis(tuple(source.meta["val"].shape), split, axis)
    if rank <= MOST_AXES or place is None:
        return False
    length = source.meta["val"].shape[place] // split[axis]
    index %= split[axis]
    with graph.graph.inserting_before(part):
        cut = graph.graph.call_function(
            aten.slice.Tensor, (source, place, index * length, (index + 1) * length)
        )
        cut.meta["val"] = source.meta["val"].narrow(place, index * length, length)
        if not cut.meta["val"].is_contiguous():
            cut = _contiguous(graph, cut)
        viewed = _node(graph, aten.view.default, cut, [*split[:axis], *split[axis + 1 :]])
        moved = _node(graph, aten.permute.default, viewed, [d - (d > axis) for d in dims])
    part.replace_all_uses_with(moved)
    return True


def _split_axis(shape: tuple[int, ...], split: tuple[int, ...], axis: int) -> int | None:
    """The axis of `shape` whose outermost part is `axis` of its view `split`, if there is one."""
    for place, size in enumerate(shape):
        if prod(shape[:place]) == prod(split[:axis]) and size % split[axis] == 0:
            return place
    return None


def _lower(graph: GraphModule, permute: Node) -> bool:
    """Write `permute` with fewer axes, if it can be."""
    source: Node = argument(permute, "self")
    shape, out = tuple(source.meta["val"].shape), permute.meta["val"].shape
    fewer, order = fewest_axes(shape, _dims(permute, len(shape)))
    if len(fewer) > MOST_AXES:
        return False
    with graph.graph.inserting_before(permute):
        if not source.meta["val"].is_contiguous():
            source = _contiguous(graph, source)
        merged = _node(graph, aten.view.default, source, fewer)
        moved = _node(graph, aten.permute.default, merged, order)
        result = _node(graph, aten.view.default, _contiguous(graph, moved), list(out))
    permute.replace_all_uses_with(result)
    graph.graph.erase_node(permute)
    return True


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
