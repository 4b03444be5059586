"""Transposes that need not be there."""

from __future__ import annotations

from edgeskin.formats.model_audit import Transpose
from edgeskin.formats.network import Network, Operator

# From channels first to channels last and back, with two or three spatial dimensions.
_LAYOUTS = {(0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 3, 4, 1), (0, 4, 1, 2, 3)}


def avoidable_transposes(network: Network) -> tuple[Transpose, ...]:
    """Each with the reason; what attention needs, and a change at the model's ends, are not."""
    return tuple(
        Transpose(name=op.name, permutation=op.permutation, why=why)
        for op in network.operators
        if op.role == "transpose" and (why := _why(op, network))
    )


def _why(op: Operator, network: Network) -> str:
    if network.stored(op.inputs[0]).constant:
        return "its input is a constant, which could be stored transposed"
    sizes = _sizes(op, network)
    moved = [axis for axis, size in sizes.items() if size != 1]
    if sizes and moved == sorted(moved):
        return ""  # only dimensions of size 1 move: no value does
    if op.permutation in _LAYOUTS and not _at_an_end(op, network):
        return "it changes the layout between two operators"
    return ""


def _sizes(op: Operator, network: Network) -> dict[int, int]:
    """The input's axes in the order of the output, with their sizes; empty where not known."""
    output_shape = network.tensors[op.outputs[0]].shape
    if output_shape:
        return dict(zip(op.permutation, output_shape, strict=True))
    input_shape = network.tensors[op.inputs[0]].shape
    return {axis: input_shape[axis] for axis in op.permutation} if input_shape else {}


def _at_an_end(op: Operator, network: Network) -> bool:
    return _from_input(op.inputs[0], network) or _to_output(op.outputs[0], network)


def _from_input(name: str, network: Network) -> bool:
    """Whether nothing but a change of type lies between the model's input and `name`."""
    while (op := network.producer.get(name)) and _changes_type(op):
        name = op.inputs[0]
    return name in network.inputs


def _to_output(name: str, network: Network) -> bool:
    while name not in network.outputs:
        readers = network.consumers.get(name, [])
        if len(readers) != 1 or not _changes_type(readers[0]):
            return False
        name = readers[0].outputs[0]
    return True


def _changes_type(op: Operator) -> bool:
    return op.role in ("quantize", "dequantize") or op.type.lower() == "cast"
