"""Reading and editing a QDQ graph of onnx_ir: constants, quantized values, chains of nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
CLAMPS = ("Relu", "Clip")
Array = NDArray[Any]
# A node to be made: its type, the constants behind its input, its attributes.
Step = tuple[str, Sequence[ir.Value | None], dict[str, Any]]


def nodes(graph: ir.Graph, *types: str) -> list[ir.Node]:
    """The nodes of these types now in `graph`, in order; it may change while they are walked."""
    return [node for node in graph if node.op_type in types]


def constant(value: ir.Value | None) -> Array | None:
    """The values of an initializer; None for any other value."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return np.asarray(value.const_value.numpy())


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    entry = node.attributes.get(name)
    return default if entry is None or entry.value is None else entry.value


def sizes(value: ir.Value | None) -> tuple[int, ...]:
    """The shape of `value`; () where it is not known."""
    if value is None or value.shape is None:
        return ()
    return tuple(size for size in value.shape if isinstance(size, int))


def dequantize_of(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that gives `value`, or None."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == DEQUANTIZE else None


def only_user(value: ir.Value | None) -> ir.Node | None:
    """The one node that uses `value`; None where there are more, or it is an output."""
    if value is None or value.is_graph_output():
        return None
    users = list(value.consumers())
    return users[0] if len(users) == 1 else None


def quantize_behind(value: ir.Value) -> ir.Node | None:
    """The QuantizeLinear that alone uses `value`, directly or behind one clamp."""
    user = only_user(value)
    if user is not None and user.op_type in CLAMPS:
        user = only_user(user.outputs[0])
    return user if user is not None and user.op_type == QUANTIZE else None


def add_constant(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """An initializer with a name of its own, `name` or one like it; reused where it is the same."""
    suffix = 0
    while (stored := graph.initializers.get(name)) is not None:
        values = constant(stored)
        if values is not None and values.dtype == array.dtype and np.array_equal(values, array):
            return stored
        suffix += 1
        name = f"{name.rpartition('.')[0] or name}.{suffix}"
    value = ir.val(name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value


def add_shape(graph: ir.Graph, *shape: int) -> ir.Value:
    """The constant that a Reshape to `shape` takes."""
    return add_constant(graph, "shape_" + "x".join(map(str, shape)), np.array(shape, np.int64))


def edit(node: ir.Node, index: int, change: Callable[[Array], Array], suffix: str) -> None:
    """Replace a constant input by `change` of it; others that use it keep the old one."""
    value = node.inputs[index]
    array = constant(value)
    assert value is not None
    assert array is not None
    fresh = add_constant(_graph(node), f"{value.name}_{suffix}", change(array))
    node.replace_input_with(index, fresh)


def chain(value: ir.Value | None, steps: Sequence[Step]) -> list[ir.Node]:
    """New nodes of one input, each on the result of the one before."""
    new_nodes: list[ir.Node] = []
    for kind, constants, attributes in steps:
        new_nodes.append(ir.node(kind, [value, *constants], attributes))
        value = new_nodes[-1].outputs[0]
    return new_nodes


def _graph(node: ir.Node) -> ir.Graph:
    assert isinstance(node.graph, ir.Graph)
    return node.graph
