"""Which operator of the file took how long, and who ran it, as far as a result tells.

A runtime names the operators that it ran, and those are not the file's: it joins some, removes
some and adds its own. Only what is sure is placed, the rest is counted in `unplaced_ms`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgeskin.benchmarks.result import Operators, OperatorTime, Placement
from edgeskin.formats.network import Operator

TFLITE_KERNELS = "TFLite kernels"

_PRODUCT = "product"
_FAMILIES = {
    # TFLite's builtin operators by code, and what XNNPACK calls the same function; a convolution
    # of 1 x 1 is a fully connected layer there.
    **dict.fromkeys((3, 4, 9, 67, 126), _PRODUCT),
    0: "Add",
    1: "Average Pooling",
    14: "Sigmoid",
    17: "Max Pooling",
    18: "Multiply",
    22: "Static Reshape",
    23: "Resize Bilinear",
    25: "Softmax",
    39: "Transpose",
    40: "Mean",
    41: "Subtract",
    76: "Reciprocal Square Root",
    99: "Squared Difference",
    150: "GELU",
}
_PRODUCTS = ("Convolution", "Deconvolution", "Fully Connected", "Batch Matrix Multiply")
_MADE = re.compile(r"(/duplicated|_token_\d+)+$")
"""What ONNX Runtime puts behind the name of a node that it has replaced, or has twice."""
_BLOCKED = re.compile(r"(?:InsertedPrecisionFreeCast_)?(.+)_nchwc")
"""How it calls a node that computes on blocks of channels: after the tensor that it makes."""


@dataclass(frozen=True)
class NodeTimes:
    """By the operator's place in the file: its mean time, and what ran it.

    `unplaced_ms` is the time of operators that are none of the file's, or that nobody can tell.
    """

    mean_ms: Mapping[int, float]
    placement: Mapping[int, str]
    unplaced_ms: float

    @property
    def placed_share(self) -> float:
        """Of all the time, 0 to 1; NaN where no operator was timed."""
        placed = sum(self.mean_ms.values())
        total = placed + self.unplaced_ms
        return placed / total if total else float("nan")


def node_times(operators: Operators, graph: Sequence[Operator]) -> NodeTimes:
    """The times of a result, by operator of its file; `graph` are those, in order."""
    if operators.placement is not None:
        return _of_tflite(operators, operators.placement)
    return _of_onnx(operators.plan or (), graph)


def _of_onnx(plan: Iterable[OperatorTime], graph: Sequence[Operator]) -> NodeTimes:
    mean_ms: dict[int, float] = defaultdict(float)
    placement, unplaced, nodes = {}, 0.0, _Nodes(graph)
    for timed in plan:
        place = nodes.find(timed)
        if place is None:
            unplaced += timed.mean_ms
            continue
        mean_ms[place] += timed.mean_ms
        placement[place] = timed.provider or ""
    return NodeTimes(dict(mean_ms), placement, unplaced)


class _Nodes:
    """The nodes of an ONNX file, by what ONNX Runtime calls what it made of them."""

    def __init__(self, graph: Sequence[Operator]):
        self._graph = graph
        self._named = {op.node: place for place, op in enumerate(graph) if op.node}
        self._makers = {name: place for place, op in enumerate(graph) for name in op.outputs}

    def find(self, timed: OperatorTime) -> int | None:
        """Where in the file; None for what the runtime added, a change of layout for instance."""
        name = timed.node or ""
        kept = _MADE.sub("", name)
        if (place := self._named.get(name, self._named.get(kept))) is not None:
            return place
        tensor = _BLOCKED.fullmatch(kept)
        if tensor is None:
            return None
        type_ = "Resize" if timed.name == "Upsample" else timed.name
        return self._behind(self._makers.get(tensor[1]), type_)

    def _behind(self, place: int | None, type_: str) -> int | None:
        """From the maker of a tensor back to the operator of a type that it was joined with."""
        while place is not None and self._graph[place].type != type_:
            made = [
                i for name in self._graph[place].inputs if (i := self._makers.get(name)) is not None
            ]
            place = made[0] if len(made) == 1 else None
        return place


def _of_tflite(operators: Operators, placed: Placement) -> NodeTimes:
    placement = dict.fromkeys(range(len(placed.graph)), TFLITE_KERNELS)
    for part in placed.plan:
        placement |= dict.fromkeys(part.replaces or (), part.name or "a delegate")
    mean_ms, unplaced = dict[int, float](), 0.0
    for timed in operators.plan or ():
        if timed.index is not None and timed.index < len(placed.graph):
            mean_ms[timed.index] = timed.mean_ms
        else:
            unplaced += timed.mean_ms
    inside = operators.delegated or ()
    pairs = _same_order(placed, inside)
    mean_ms |= {place: inside[i].mean_ms for place, i in pairs}
    unplaced += sum(timed.mean_ms for timed in inside) - sum(inside[i].mean_ms for _, i in pairs)
    return NodeTimes(mean_ms, placement, max(0.0, unplaced))


def _same_order(placed: Placement, inside: Sequence[OperatorTime]) -> list[tuple[int, int]]:
    """(place in the file, place in the delegate) of operators that are surely the same.

    XNNPACK keeps the order of the file. So a kind of operator that both have equally often is
    paired in order, and the pairs of all kinds together must be in order on both sides: if one
    is not, nothing is paired.
    """
    before, behind = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for place in sorted(i for part in placed.plan for i in part.replaces or ()):
        if (family := _FAMILIES.get(placed.graph[place].code)) is not None:
            before[family].append(place)
    for i, timed in enumerate(inside):
        behind[_family(timed.name)].append(i)
    pairs = sorted(
        pair
        for family, places in before.items()
        if len(places) == len(behind[family])
        for pair in zip(places, behind[family], strict=True)
    )
    return pairs if all(a[1] < b[1] for a, b in pairwise(pairs)) else []


def _family(name: str) -> str:
    """Of XNNPACK's name of an operator, such as "Convolution (NHWC, QC8) IGEMM"."""
    return _PRODUCT if name.startswith(_PRODUCTS) else name.partition(" (")[0]
