"""Points of comparison: the tensors of a network that both of its forms have.

A point is what a product (convolution, linear layer, matrix product) or a sum
of two computed tensors makes, behind the clamp and the rounding that belong to
it: that is where float graphs, QDQ graphs and integer files hold the same
thing. What lies between is charged to the next point.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgeskin.converters.parity.layout import is_likely, layouts
from edgeskin.formats.network import Network, Operator, Role

Kind = Literal["input", "multiply", "add", "output"]
_GOES_ON: tuple[Role, ...] = ("clamp", "quantize", "move", "transpose")
_STEPS: tuple[Role, ...] = ("clamp", "quantize", "dequantize", "batch_norm")
_GATES = ("HardSigmoid", "sigmoid_hard")
_WEIGHTS = re.compile(
    r"(_weight)?(_bias)?(_updated_constant\d+)?(_wide|_padded|_int32|_quantized|_to_fp\d+)*$"
)


@dataclass(frozen=True)
class Point:
    """`name` is one that no other point has; an artifact's is the tensor's own.

    `path` says where a product stands in the network, in words from the names of
    its weights, as far as they are known; of the reference's outputs it is the
    name of the output.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    path: str = ""


def points(network: Network, known: Sequence[Point], *, integers: bool) -> list[Point]:
    """The points of a file, in the order of its operators, between its inputs and outputs.

    Args:
        integers: Whether a part of such a file can begin and end with integers;
            else a point is the float tensor that is made of them.
        known: Those of the reference. Behind some operators values only move;
            of those tensors, the one is taken whose shape fits a known point.
    """
    goes_on = _GOES_ON if integers else (*_GOES_ON, "dequantize")
    inner = [Point(name, "input", network.tensors[name].shape) for name in network.inputs]
    for op in network.operators:
        if (kind := _kind(op, network)) is None:
            continue
        behind = _behind(op, network, goes_on)
        wanted = {point.shape for point in known if point.kind == kind}
        shape = network.tensors[op.outputs[0]].shape
        name = max(behind, key=lambda name: _fit(network, name, shape, wanted))  # first of equals
        inner.append(Point(name, kind, network.tensors[name].shape, _path(op, network)))
    settled = {point.name for point in inner}
    ends = [name for name in network.outputs if name not in settled]
    return inner + [Point(name, "output", network.tensors[name].shape) for name in ends]


def forms(network: Network, name: str, *, integers: bool) -> list[str]:
    """The tensors behind the product `name`, while a constant is added, a factor taken, or clamped.

    Where another file has such a step in its weights, one of them is the first that both have.
    """
    names, shape = list[str](), network.tensors[name].shape
    passing = "dequantize" if integers else "quantize"
    while name not in network.outputs and len(readers := network.consumers[name]) == 1:
        if not _is_step(readers[0], network):
            break
        name = readers[0].outputs[0]
        same = network.tensors[name].shape == shape and not network.is_only_quantized(name)
        if same and readers[0].role != passing:
            names.append(name)
    return names


def is_gate(network: Network, name: str) -> bool:
    """Whether `name` is made by a hard sigmoid, for which other files clamp to 6 and divide."""
    return name in network.producer and network.producer[name].type in _GATES


def boundary(network: Network, name: str, known: set[str]) -> list[str]:
    """The nearest tensors of `known` that the tensor `name` is computed from."""
    nearest, waiting, seen = [], [name], {name}
    while waiting:
        op = network.producer.get(waiting.pop())
        for source in op.inputs if op else ():
            if source in seen:
                continue
            seen.add(source)
            if source in known:
                nearest.append(source)
            else:
                waiting.append(source)
    return nearest


def _fit(
    network: Network, name: str, of_operator: tuple[int, ...], wanted: set[tuple[int, ...]]
) -> tuple[int, bool]:
    """How a tensor's shape fits the known ones: 0 not at all, 1 in another order, 2 as it is.

    Of equal ones the better has the shape that the operator made: no move can
    have given it that of another operator.
    """
    nhwc, shape = not network.qdq, network.tensors[name].shape
    possible = [layout for known in wanted for layout in layouts(known, shape, nhwc=nhwc)]
    fit = 2 if any(is_likely(layout, nhwc=nhwc) for layout in possible) else int(bool(possible))
    return fit, shape == of_operator


def _kind(op: Operator, network: Network) -> Kind | None:
    if op.role == "multiply":
        return "multiply"
    both = len(op.inputs) == 2 and not any(network.stored(n).constant for n in op.inputs)
    return "add" if op.type.lower() == "add" and both else None


def _behind(op: Operator, network: Network, goes_on: tuple[Role, ...]) -> list[str]:
    """The tensors that hold what `op` made: the settled one, as moved, and then those before."""
    settled, earlier = [op.outputs[0]], list[str]()
    while settled[-1] not in network.outputs and len(users := network.consumers[settled[-1]]) == 1:
        user = users[0]
        if user.role not in goes_on and not _is_bias(user, network):
            break
        if user.role in ("move", "transpose"):
            settled.append(user.outputs[0])
        else:
            earlier += settled
            settled = [user.outputs[0]]
    return settled + earlier[::-1]


def _is_bias(op: Operator, network: Network) -> bool:
    return op.type.lower() == "add" and _has_constant(op, network)


def _is_step(op: Operator, network: Network) -> bool:
    by_constant = op.type.lower() in ("add", "mul") and _has_constant(op, network)
    return by_constant or op.role in _STEPS or op.type in _GATES


def _has_constant(op: Operator, network: Network) -> bool:
    return any(network.stored(name).constant for name in op.inputs)


def _path(op: Operator, network: Network) -> str:
    """Where a product's weights say that it stands: the longest of their names, as words."""
    names = [name for name in op.inputs if network.stored(name).constant]
    words = [as_words(n) for name in names for n in (name, network.stored(name).name)]
    return max(words, key=len, default="")


def as_words(name: str) -> str:
    """A tensor's or module's name without classes, dots and what only weights are called.

    >>> as_words("network.heads.0.weight_bias"), as_words("a.b.Net_net/torch.nn.Conv2d_stem;1")
    ('network_heads_0', 'net_stem')
    """
    if "/" in name:  # of fused operators, litert-torch names the first one last
        last = name.rpartition(";;")[2]
        parts = [part.rpartition(".")[2].partition(";")[0] for part in last.split("/")]
        name = ".".join(part.lstrip("_").partition("_")[2] for part in parts).strip(".")
    return _WEIGHTS.sub("", re.sub(r"\W", "_", name))
