"""Operators that only move values (RESHAPE, TRANSPOSE): fewer of them, where they cost least.

Whether a chain of moves keeps the order of the values is not derived from
their parameters but tried on the numbers 0, 1, 2, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.formats.tflite.flatbuffer import Graph

_MOVES = {"RESHAPE", "TRANSPOSE"}
_UNARY = {"QUANTIZE", "DEQUANTIZE", "LOGISTIC", "TANH", "GELU", "RSQRT", "SQUARE", "RELU", "RELU6"}
_BINARY = {"ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE"}


def drop_moves(graph: Graph, operator: Any) -> bool:
    """A chain of moves that keeps the order becomes one RESHAPE, or nothing."""
    if graph.name(operator) not in _MOVES:
        return False
    target = operator.outputs[0]
    for source, order in _chain(graph, operator):
        if not np.array_equal(order.ravel(), np.arange(order.size)):
            continue
        if graph.shape(source) == graph.shape(target) and not graph.is_output(target):
            return _bypass(graph, source, target)
        if source != operator.inputs[0] or graph.name(operator) == "TRANSPOSE":
            graph.become_reshape(operator, source)
            return True
    return False


def _chain(graph: Graph, operator: Any) -> list[tuple[int, NDArray[np.int64]]]:
    """The tensors that the values come from, farthest first, and the order they arrive in."""
    moves: list[Any] = []
    orders: list[tuple[int, NDArray[np.int64]]] = []
    step = operator
    while step is not None and graph.name(step) in _MOVES:
        moves.insert(0, step)
        source = step.inputs[0]
        orders.insert(0, (source, _order(graph, source, moves)))
        step = graph.producer(source)
    return orders


def _order(graph: Graph, source: int, moves: Sequence[Any]) -> NDArray[np.int64]:
    order = np.arange(np.prod(graph.shape(source), dtype=int)).reshape(graph.shape(source))
    for move in moves:
        if graph.name(move) == "TRANSPOSE":
            order = order.transpose(graph.constant(move.inputs[1]))
        else:
            order = order.reshape(graph.shape(move.outputs[0]))
    return order


def _bypass(graph: Graph, source: int, target: int) -> bool:
    """Let all readers of `target` read `source`."""
    for user in graph.consumers(target):
        user.inputs = [source if tensor == target else tensor for tensor in user.inputs]
    return True


def sink_reshapes(graph: Graph, operator: Any) -> bool:
    """RESHAPE before an elementwise operator goes behind it, where it meets another move.

    f(reshape(x)) = reshape(f(x)); with two operands, both come from the same
    shape or one is a number.
    """
    if not _elementwise(graph, operator) or not _meets_move(graph, operator.outputs[0]):
        return False
    varying = [t for t in operator.inputs if not _is_number(graph, t)]
    sources = [_before_reshape(graph, t) for t in varying]
    shapes = {graph.shape(source) for source in sources if source is not None}
    same = len({graph.shape(t) for t in varying}) == 1
    if None in sources or len(shapes) != 1 or not same:
        return False
    old = operator.outputs[0]
    if graph.name(operator) == "SOFTMAX" and shapes.copy().pop()[-1] != graph.shape(old)[-1]:
        return False
    new = graph.add_tensor(shapes.pop(), like=old)
    change = dict(zip(varying, sources, strict=True))
    operator.inputs = [change.get(t, t) for t in operator.inputs]
    operator.outputs = [new]
    reshape = graph.operator("RESHAPE", [new], [old])
    graph.insert_after(operator, reshape)
    graph.become_reshape(reshape, new)
    return True


def _elementwise(graph: Graph, operator: Any) -> bool:
    return graph.name(operator) in _UNARY | _BINARY | {"SOFTMAX"}


def _is_number(graph: Graph, tensor: int) -> bool:
    values = graph.constant(tensor)
    return values is not None and values.size == 1 and values.ndim <= 1


def _before_reshape(graph: Graph, tensor: int) -> int | None:
    producer = graph.producer(tensor)
    if producer is None or graph.name(producer) != "RESHAPE":
        return None
    return int(producer.inputs[0])


def _meets_move(graph: Graph, tensor: int) -> bool:
    """Whether the values reach another move through elementwise operators alone."""
    return any(
        graph.name(user) in _MOVES
        or (_elementwise(graph, user) and _meets_move(graph, user.outputs[0]))
        for user in graph.consumers(tensor)
    )


def pad_before_transpose(graph: Graph, operator: Any) -> bool:
    """PAD behind a TRANSPOSE goes before it, its amounts in the order of the axes there."""
    if graph.name(operator) != "PAD" or not _meets_move(graph, operator.outputs[0]):
        return False
    move = graph.producer(operator.inputs[0])
    amounts = graph.constant(operator.inputs[1])
    if move is None or graph.name(move) != "TRANSPOSE" or amounts is None:
        return False
    axes, source = graph.constant(move.inputs[1]), move.inputs[0]
    old = operator.outputs[0]
    there = np.empty_like(amounts)
    there[axes] = amounts
    new = graph.add_tensor(np.add(graph.shape(source), there.sum(1)), like=old)
    operator.inputs, operator.outputs = [source, graph.add_constant(there)], [new]
    transpose = graph.operator("TRANSPOSE", [new, move.inputs[1]], [old])
    graph.insert_after(operator, transpose)
    return True


def keep_reduced_dimensions(graph: Graph, operator: Any) -> bool:
    """MEAN that drops its dimensions keeps them, a RESHAPE behind it drops them."""
    if graph.name(operator) != "MEAN" or operator.builtinOptions.keepDims:
        return False
    if not _meets_move(graph, operator.outputs[0]):
        return False
    axes = graph.constant(operator.inputs[1])
    shape = list(graph.shape(operator.inputs[0]))
    if axes is None:
        return False
    for axis in axes.ravel():
        shape[axis] = 1
    old = operator.outputs[0]
    new = graph.add_tensor(shape, like=old)
    operator.outputs = [new]
    operator.builtinOptions.keepDims = True
    reshape = graph.operator("RESHAPE", [new], [old])
    graph.insert_after(operator, reshape)
    graph.become_reshape(reshape, new)
    return True
