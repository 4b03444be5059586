"""Arithmetic with constants, merged: into the weights of the layer before it, as a batch norm is.

A batch norm that was exported as arithmetic, ((x - mean) * factor) + offset, a bias behind a
convolution and a rescaling are each x * factor + offset, for every channel or for all of them;
so are several in a row, and so is a layer whose results are treated so:

    (W x + b) * factor + offset  =  (factor W) x + (b * factor + offset)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

aten = torch.ops.aten

# The axis of the channels that a layer makes: in its result, counted from the end, and its weight.
_CHANNELS = {
    aten.conv2d.default: (-3, 0),
    aten.linear.default: (-1, 0),
    aten.conv_transpose2d.input: (-3, 1),
}


@dataclass(frozen=True)
class _Chain:
    """`x * factor + offset`, in float64, in `length` operators, each used by the next alone."""

    x: fx.Node
    factor: Tensor
    offset: Tensor
    length: int = 1

    def after(self, before: _Chain) -> _Chain:
        """This one behind `before`."""
        factor = before.factor * self.factor
        offset = before.offset * self.factor + self.offset
        return _Chain(before.x, factor, offset, before.length + 1)

    @property
    def size(self) -> int:
        return max(self.factor.numel(), self.offset.numel())


def fold_arithmetic(graph: fx.GraphModule) -> fx.GraphModule:
    """Merge chains of constants, and paddings of zeros, into the layers beside them, in place."""
    for node, chain in _chains(graph).items():
        if not _fold(graph, node, chain):
            _shorten(graph, node, chain)
    for node in graph.graph.find_nodes(op="call_function", target=aten.conv2d.default):
        _take_padding(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return fx.GraphModule(graph, graph.graph)


def _chains(graph: fx.GraphModule) -> dict[fx.Node, _Chain]:
    """The longest chains, by their last node."""
    chains: dict[fx.Node, _Chain] = {}
    for node in graph.graph.nodes:
        if (step := _step(graph, node)) is None:
            continue
        before = chains.get(step.x)
        if before is not None and len(step.x.users) == 1:
            merged = step.after(before)
            if merged.size <= max(before.size, step.size):
                del chains[step.x]
                step = merged
        chains[node] = step
    return chains


def _step(graph: fx.GraphModule, node: fx.Node) -> _Chain | None:
    """One operator with a constant, as a chain; None for what is none."""
    if node.target not in _STEPS or not node.meta["val"].is_floating_point():
        return None
    first, second = (_value(graph, argument) for argument in node.args[:2])
    x = node.args[1] if second is None else node.args[0]
    if (first is None) == (second is None) or not isinstance(x, fx.Node):
        return None
    if len(node.args) > 2 or node.kwargs or x.meta["val"].shape != node.meta["val"].shape:
        return None
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    match node.target, first, second:
        case (aten.add.Tensor, Tensor() as c, None) | (aten.add.Tensor, None, Tensor() as c):
            return _Chain(x, one, c)
        case (aten.mul.Tensor, Tensor() as c, None) | (aten.mul.Tensor, None, Tensor() as c):
            return _Chain(x, c, zero)
        case aten.sub.Tensor, None, Tensor():
            return _Chain(x, one, -second)
        case aten.sub.Tensor, Tensor(), None:
            return _Chain(x, -one, first)
        case aten.rsub.Scalar, None, Tensor():
            return _Chain(x, -one, second)
        case aten.div.Tensor, None, Tensor():
            return _Chain(x, 1 / second, zero)
    return None


_STEPS = {aten.add.Tensor, aten.sub.Tensor, aten.rsub.Scalar, aten.mul.Tensor, aten.div.Tensor}


def _shorten(graph: fx.GraphModule, last: fx.Node, chain: _Chain) -> None:
    """Write a chain as one multiplication and one addition at most, where it is longer."""
    by_factor, by_offset = bool((chain.factor != 1).any()), bool(chain.offset.any())
    if chain.length <= by_factor + by_offset:
        return
    x = chain.x
    for target, tensor, needed in (
        (aten.mul.Tensor, chain.factor, by_factor),
        (aten.add.Tensor, chain.offset, by_offset),
    ):
        if needed:
            with graph.graph.inserting_before(last):
                x = graph.graph.call_function(target, (x, _operand(graph, tensor, last)))
            x.meta["val"] = last.meta["val"]
    last.replace_all_uses_with(x)


def _operand(graph: fx.GraphModule, tensor: Tensor, last: fx.Node) -> float | fx.Node:
    """A factor or an offset as a number, or as a constant of the type that `last` computes in."""
    if tensor.numel() == 1:
        return float(tensor)
    names = (f"{last.name}_constant{number}" for number in itertools.count())
    name = next(name for name in names if not hasattr(graph, name))
    graph.register_buffer(name, tensor.to(last.meta["val"].dtype))
    node = graph.graph.get_attr(name)
    node.meta["val"] = getattr(graph, name)
    return node


def _take_padding(layer: fx.Node) -> None:
    """Let a convolution add the zeros that stand before it, as many on either side."""
    args: list[Any] = [*layer.args]
    pad = args[0]
    if pad.target is not aten.pad.default or len(pad.args) > 2:
        return
    left, right, *rest = pad.args[1]
    top, bottom, *more = rest or (0, 0)
    if more or left != right or top != bottom or min(left, top) < 0 or layer.kwargs:
        return
    args += (None, [1], [0])[len(args) - 2 :]
    own = (list(args[4]) * 2)[:2]
    args[0], args[4] = pad.args[0], [own[0] + top, own[1] + left]
    layer.args = tuple(args)


def _value(graph: fx.GraphModule, argument: Any) -> Tensor | None:
    """A number or a constant, in float64; None for what depends on the image."""
    if isinstance(argument, int | float):
        return torch.tensor(argument, dtype=torch.float64)
    if isinstance(argument, fx.Node) and argument.op == "get_attr":
        return _attribute(graph, argument).detach().double()
    return None


def _attribute(graph: fx.GraphModule, node: fx.Node) -> Tensor:
    path, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(graph.get_submodule(path), name)
    return tensor


def _fold(graph: fx.GraphModule, last: fx.Node, chain: _Chain) -> bool:
    """Put a chain into the weights of the layer before it; False where that cannot be done."""
    layer = chain.x
    if layer.target not in _CHANNELS or len(layer.users) != 1 or layer.kwargs:
        return False
    weight, bias = layer.args[1], (*layer.args, None)[2]
    if not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return False
    if isinstance(bias, fx.Node) and bias.op != "get_attr":
        return False
    if layer.target is aten.conv_transpose2d.input and (*layer.args, *[1] * 7)[6] != 1:
        return False  # the channels of its groups lie in both axes of the weight
    axis, weight_axis = _CHANNELS[layer.target]
    old = _attribute(graph, weight)
    channels = old.shape[weight_axis]
    factor = _by_channel(chain.factor, axis, channels)
    offset = _by_channel(chain.offset, axis, channels)
    if factor is None or offset is None:
        return False
    shape = [1] * old.dim()
    shape[weight_axis] = channels
    _set(graph, layer, 1, (old.double() * factor.reshape(shape)).to(old.dtype), str(weight.target))
    if isinstance(bias, fx.Node):
        offset = _attribute(graph, bias).double() * factor + offset
    if isinstance(bias, fx.Node) or offset.any():
        name = str(bias.target) if isinstance(bias, fx.Node) else _bias_name(str(weight.target))
        _set(graph, layer, 2, offset.to(old.dtype), name)
    last.replace_all_uses_with(layer)
    return True


def _bias_name(weight: str) -> str:
    """What the bias of a layer is called: beside `features.0.weight`, `features.0.bias`."""
    path, dot, name = weight.rpartition(".")
    return f"{path}{dot}{'bias' if name == 'weight' else f'{name}_bias'}"


def _by_channel(tensor: Tensor, axis: int, channels: int) -> Tensor | None:
    """`tensor` as one value for each channel; None where it differs within a channel."""
    if tensor.numel() == 1:
        return tensor.reshape(1).expand(channels)
    if tensor.dim() < -axis or tensor.shape[axis] != tensor.numel():
        return None
    return tensor.reshape(channels)


def _set(graph: fx.GraphModule, layer: fx.Node, place: int, tensor: Tensor, name: str) -> None:
    """Give `layer` a weight of its own as its argument at `place`; others keep what they share."""
    path, _, last = name.rpartition(".")
    owner = graph.get_submodule(path)
    old = layer.args[place] if place < len(layer.args) else None
    if hasattr(owner, last) and not (isinstance(old, fx.Node) and len(old.users) == 1):
        last = f"{last}_of_{layer.name}"
    setattr(owner, last, nn.Parameter(tensor, requires_grad=False))
    with graph.graph.inserting_before(layer):
        node = graph.graph.get_attr(f"{path}.{last}" if path else last)
    node.meta["val"] = tensor
    args = [*layer.args, *[None] * (place + 1 - len(layer.args))]
    args[place] = node
    layer.args = tuple(args)
