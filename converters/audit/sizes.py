"""Bytes of the stored constants, by the operator that uses them."""

from __future__ import annotations

from collections.abc import Iterator

from edgeskin.formats.model_audit import LayerSize, Sizes
from edgeskin.formats.network import Network, Operator


def sizes(network: Network) -> Sizes:
    """Bytes of all constants, of each layer's, and of the `other` ones: scales, shapes, unused.

    A layer is an operator with the constants in front of it, through what
    dequantizes or moves them; a constant that several read is the first one's.
    """
    unassigned = {t.name: t.stored_bytes for t in network.tensors.values() if t.constant}
    total = sum(unassigned.values())
    layers: list[LayerSize] = []
    for op in network.operators:
        if not _prepares(op, network):
            count = sum(unassigned.pop(name, 0) for name in set(_constants(op, network)))
            if count:
                layers.append(LayerSize(name=op.name, type=op.type, bytes=count))
    layers.sort(key=lambda layer: -layer.bytes)
    return Sizes(constants=total, other=sum(unassigned.values()), layers=tuple(layers))


def _prepares(op: Operator, network: Network) -> bool:
    """Whether an operator only gets a constant ready for the one that uses it."""
    return (
        op.role in ("dequantize", "move", "transpose")
        and bool(op.inputs)
        and network.stored(op.inputs[0]).constant
    )


def _constants(op: Operator, network: Network) -> Iterator[str]:
    waiting = list(op.inputs)
    while waiting:
        name = waiting.pop()
        tensor, before = network.tensors.get(name), network.producer.get(name)
        if tensor is not None and tensor.constant:
            yield name
        elif before is not None and _prepares(before, network):
            waiting += before.inputs
