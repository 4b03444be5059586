"""A graph as its author would have written it in PyTorch, where it came from another framework.

Keras, and what tf2onnx writes, hold images as NHWC and surround every convolution, which wants
NCHW, by transposes. Here a transpose moves nothing: its result is the same node, read in another
order (`Read`). An operator that does the same in every order works on what is stored, and only
one that does not has its input moved. What depends on no image is computed, and the arithmetic
behind a layer goes into its weights (`layer_arithmetic`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from edgeskin.sources.axis_order import Order, inverse, moves_nothing, plain, read, reshaped
from edgeskin.sources.fresh_graph import Constant, FreshGraph, aten
from edgeskin.sources.layer_arithmetic import fold_arithmetic


@dataclass(frozen=True)
class Read:
    """What a node stores, with its axes in another order (see `axis_order`)."""

    node: fx.Node
    order: Order

    @property
    def stored(self) -> tuple[int, ...]:
        return tuple(self.node.meta["val"].shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return read(self.stored, self.order)


Operand: TypeAlias = Read | Constant
# What an operator was called with, in the order of its schema, and the shape of its result.
Arguments: TypeAlias = list[Any]
Rule: TypeAlias = "Callable[[_Rewriter, Any, Arguments, fx.Node], Any]"


def without_transposes(graph: fx.GraphModule) -> fx.GraphModule:
    """`graph` with few transposes, no computed constants, and its arithmetic in its weights.

    Args:
        graph: Functional aten operators, static shapes in `meta['val']`, one input: what
            `torch.export` makes of a network, after `run_decompositions({})`.

    Returns:
        A graph of the same input and results, which differ by rounding only. Weights that were
        merged keep the name of the layer's own weight.
    """
    with torch.no_grad():
        return fold_arithmetic(_Rewriter(graph).run())


class _Rewriter:
    """Writes a graph anew, operator by operator."""

    def __init__(self, graph: fx.GraphModule):
        self.source = graph
        self.fresh = FreshGraph(graph)
        self.values: dict[fx.Node, Any] = {}
        self._moved: dict[tuple[fx.Node, Order], fx.Node] = {}

    def run(self) -> fx.GraphModule:
        for node in self.source.graph.nodes:
            self.values[node] = getattr(self, f"_{node.op}")(node)
        return self.fresh.finished()

    def _placeholder(self, node: fx.Node) -> Read:
        return _as_stored(self.fresh.placeholder(node))

    def _get_attr(self, node: fx.Node) -> Constant:
        path, _, name = str(node.target).rpartition(".")
        return Constant(getattr(self.source.get_submodule(path), name).detach(), str(node.target))

    def _output(self, node: fx.Node) -> None:
        self.fresh.graph.output(fx.map_arg(node.args[0], lambda n: self.plain(self.values[n])))

    def _call_function(self, node: fx.Node) -> Any:
        args: Any = fx.map_arg(node.args, self.values.__getitem__)
        kwargs: Any = fx.map_arg(node.kwargs, self.values.__getitem__)
        if node.target is operator.getitem:
            return args[0][args[1]]
        if not isinstance(node.meta.get("val"), Tensor | tuple | list):
            return None  # a check of what the shapes here say already
        operands = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Operand)]
        if not any(isinstance(x, Read) for x in operands) and _is_repeatable(node.target):
            return _computed(node, args, kwargs)
        target: Any = node.target
        target = _ALIASES.get(target, target)
        rule = RULES.get(target, _in_any_order if _is_pointwise(target) else _as_it_is)
        return rule(self, target, _by_schema(target, args, kwargs), node)

    def plain(self, operand: Operand) -> fx.Node:
        """A node that stores what `operand` reads."""
        if isinstance(operand, Constant):
            return self.fresh.constant(operand)
        return self._move(operand.node, operand.order)

    def in_order(self, operand: Operand, order: Order) -> fx.Node:
        """A node that, read in `order`, gives what `operand` reads, of as many axes or fewer."""
        back, rank = inverse(order), len(order)
        if isinstance(operand, Constant):
            tensor = operand.tensor
            padded = tensor.reshape((1,) * (rank - tensor.dim()) + tuple(tensor.shape))
            moved = padded.permute(back).contiguous()
            return self.fresh.constant(Constant(moved, operand.name))
        if len(operand.order) < rank:
            shape = (1,) * (rank - len(operand.order)) + operand.shape
            operand = _as_stored(self.fresh.view(self.plain(operand), shape))
        return self._move(operand.node, read(operand.order, back))

    def _move(self, node: fx.Node, order: Order) -> fx.Node:
        if order == plain(len(order)):
            return node
        shape = tuple(node.meta["val"].shape)
        if moves_nothing(shape, order):
            return self.fresh.view(node, read(shape, order))
        if (node, order) not in self._moved:
            self._moved[node, order] = self.fresh.call(aten.permute.default, node, list(order))
        return self._moved[node, order]


def _as_stored(node: fx.Node) -> Read:
    return Read(node, plain(node.meta["val"].dim()))


def _is_repeatable(target: Any) -> bool:
    return torch.Tag.nondeterministic_seeded not in getattr(target, "tags", ())


def _is_pointwise(target: Any) -> bool:
    return torch.Tag.pointwise in getattr(target, "tags", ()) and _is_repeatable(target)


def _by_schema(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Arguments:
    """All arguments in the schema's order, those left out by their defaults."""
    schema = target._schema.arguments
    given = dict(zip((a.name for a in schema), args, strict=False)) | kwargs
    return [given.get(argument.name, argument.default_value) for argument in schema]


def _call(rewriter: _Rewriter, target: Any, arguments: Arguments) -> fx.Node:
    """The next operator, with `arguments` in the order of its schema; trailing defaults go."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for argument, value in zip(target._schema.arguments, arguments, strict=True):
        if not argument.kwarg_only:
            args.append(value)
        elif value != argument.default_value:
            kwargs[argument.name] = value
    positional = [a for a in target._schema.arguments if not a.kwarg_only]
    while (
        args
        and not isinstance(args[-1], fx.Node)
        and _is_default(positional[len(args) - 1], args[-1])
    ):
        args.pop()
    return rewriter.fresh.call(target, *args, **kwargs)


def _is_default(argument: Any, value: Any) -> bool:
    return argument.has_default_value() and argument.default_value == value


def _computed(node: fx.Node, args: Any, kwargs: Any) -> Any:
    """The value of an operator on constants alone."""
    constants = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Constant)]
    name = constants[0].name if constants else f"constant_{node.name}"
    args, kwargs = pytree.tree_map(
        lambda x: x.tensor if isinstance(x, Constant) else x, (args, kwargs)
    )
    values = node.target(*args, **kwargs)  # type: ignore[operator]
    if isinstance(values, Tensor):
        return Constant(values, name)
    return [Constant(value, name) for value in values]


def _in_any_order(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Read:
    """An operator that computes each element by itself."""
    order = _common_order(arguments, tuple(node.meta["val"].shape))
    if target in _TAKE_NUMBERS:
        arguments = _with_number(target, arguments, node.meta["val"].dtype)
    moved = [rewriter.in_order(x, order) if isinstance(x, Operand) else x for x in arguments]
    called = _call(rewriter, target, moved)
    return Read(called, order)


def _common_order(operands: Sequence[Any], shape: tuple[int, ...]) -> Order:
    """The order to compute `shape` in: of the first operand of that shape that is not plain."""
    stored = plain(len(shape))
    reads = [x for x in operands if isinstance(x, Read) and len(x.order) == len(shape)]
    full = [x for x in reads if x.shape == shape] or reads
    return next((x.order for x in full if x.order != stored), stored)


def _with_number(target: Any, arguments: Arguments, dtype: torch.dtype) -> Arguments:
    """A constant of one element as a number, which `calibration.factors` may push away."""
    first, second, *rest = arguments
    if (
        isinstance(first, Constant)
        and target in (aten.add.Tensor, aten.mul.Tensor)
        and not any(value not in (1, None) for value in rest)
    ):
        first, second = second, first
    if isinstance(first, Read) and isinstance(second, Constant):
        tensor = second.tensor
        if tensor.numel() == 1 and tensor.dtype == dtype and tensor.dim() <= len(first.order):
            second = tensor.item()
    return [first, second, *rest]


def _as_it_is(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    """An operator that wants its inputs as they are read."""
    moved = pytree.tree_map(lambda x: rewriter.plain(x) if isinstance(x, Operand) else x, arguments)
    called = _call(rewriter, target, moved)
    return _results(rewriter, called, None)


def _results(rewriter: _Rewriter, node: fx.Node, order: Order | None) -> Any:
    """The result of `node`, or the list of its results, read in `order` (None: as stored)."""
    if isinstance(node.meta["val"], Tensor):
        return _as_stored(node) if order is None else Read(node, order)
    count = len(node.meta["val"])
    items = [rewriter.fresh.call(operator.getitem, node, index) for index in range(count)]
    return [_results(rewriter, item, order) for item in items]


def _unchanged(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    """A copy, or another name, of its input."""
    return arguments[0]


def _cast(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Read:
    """A conversion of every element; nothing where the type is the same."""
    [x, *_], val = arguments, node.meta["val"]
    if x.node.meta["val"].dtype == val.dtype:
        return x
    return Read(rewriter.fresh.call(aten._to_copy.default, x.node, dtype=val.dtype), x.order)


def _permuted(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Read:
    x, *rest = arguments
    axes = list(range(len(x.order)))
    if target is aten.permute.default:
        axes = [axis % len(axes) for axis in rest[0]]
    else:
        first, second = rest or (0, -1)
        axes[first], axes[second] = axes[second], axes[first]
    return Read(x.node, read(x.order, tuple(axes)))


def _reshaped(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Read:
    return _in_shape(rewriter, arguments[0], tuple(node.meta["val"].shape))


def _in_shape(rewriter: _Rewriter, x: Read, shape: tuple[int, ...]) -> Read:
    done = reshaped(x.stored, x.order, shape)
    if done is None:
        return _as_stored(rewriter.fresh.view(rewriter.plain(x), shape))
    return Read(rewriter.fresh.view(x.node, done.shape), done.order)


def _reduced(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    """A reduction that keeps its axes, and a reshape where the original drops them."""
    names = [argument.name for argument in target._schema.arguments]
    x, dim, keep = arguments[0], arguments[names.index("dim")], names.index("keepdim")
    axes = list(range(len(x.order))) if dim is None or dim == [] else dim
    stored = _stored_axes(x, axes)
    kept = {names.index("dim"): stored, keep: True, 0: x.node}
    called = _call(rewriter, target, [kept.get(i, value) for i, value in enumerate(arguments)])
    results = _results(rewriter, called, x.order)
    if arguments[keep]:
        return results
    return pytree.tree_map(
        lambda result, val: _in_shape(rewriter, result, tuple(val.shape)),
        results,
        list(node.meta["val"]) if isinstance(results, list) else node.meta["val"],
    )


def _stored_axes(x: Read, dim: Any) -> Any:
    """Where the axes `dim` of what is read, one or several, are stored."""
    if isinstance(dim, int):
        return x.order[dim]
    return sorted(x.order[axis] for axis in dim)


def _along(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    """An operator along one axis or several, whose results have the axes of its input."""
    names = [argument.name for argument in target._schema.arguments]
    place = names.index("dims" if "dims" in names else "dim")
    x, *rest = arguments
    rest[place - 1] = _stored_axes(x, rest[place - 1])
    called = _call(rewriter, target, [x.node, *rest])
    return _results(rewriter, called, x.order)


def _sliced(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    if tuple(node.meta["val"].shape) == arguments[0].shape and arguments[-1] == 1:
        return arguments[0]
    return _along(rewriter, target, arguments, node)


def _selected(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Read:
    x, dim, index = arguments
    axis = x.order[dim]
    kept = (place for place in x.order if place != axis)
    order = tuple(place - (place > axis) for place in kept)
    return Read(rewriter.fresh.call(target, x.node, axis, index), order)


def _joined(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    tensors, dim = arguments
    rank = node.meta["val"].dim()
    reads = [x for x in tensors if isinstance(x, Read)]
    if any(len(x.order) != rank for x in reads):  # an empty tensor of one axis is allowed
        return _as_it_is(rewriter, target, arguments, node)
    order = next((x.order for x in reads if x.order != plain(rank)), plain(rank))
    nodes = [rewriter.in_order(x, order) for x in tensors]
    return Read(rewriter.fresh.call(target, nodes, order[dim]), order)


def _padded(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    x, amounts, *how = arguments
    mode, value = how if target is aten.pad.default else ("constant", how[0])
    if mode != "constant":
        return _as_it_is(rewriter, target, arguments, node)
    rank = len(x.order)
    pairs = [(0, 0)] * rank
    for place in range(len(amounts) // 2):  # from the last axis on
        pairs[x.order[rank - 1 - place]] = tuple(amounts[2 * place : 2 * place + 2])
    while pairs and pairs[0] == (0, 0):
        del pairs[0]
    if not pairs:
        return x
    flat = [amount for pair in reversed(pairs) for amount in pair]
    rest = () if not value else ("constant", float(value))
    return Read(rewriter.fresh.call(aten.pad.default, x.node, flat, *rest), x.order)


def _repeated(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    """`expand` and `repeat`: a size, or a count, for each axis."""
    x, sizes, *_ = arguments
    if tuple(node.meta["val"].shape) == x.shape:
        return x
    if len(sizes) != len(x.order):
        return _as_it_is(rewriter, target, arguments, node)
    stored = list(read(tuple(sizes), inverse(x.order)))
    return Read(rewriter.fresh.call(target, x.node, stored), x.order)


def _product(rewriter: _Rewriter, target: Any, arguments: Arguments, node: fx.Node) -> Any:
    """A product with a constant matrix, as a linear layer."""
    *bias, x, matrix = arguments[:3] if target is aten.addmm.default else arguments
    if (
        not isinstance(matrix, Constant)
        or isinstance(x, Constant)
        or matrix.tensor.dim() != 2
        or any(factor != 1 for factor in arguments[3:])
        or any(not isinstance(b, Constant) or b.tensor.dim() != 1 for b in bias)
    ):
        return _as_it_is(rewriter, target, arguments, node)
    weight = Constant(matrix.tensor.t().contiguous(), matrix.name)
    nodes = [rewriter.plain(operand) for operand in (x, weight, *bias)]
    return _as_stored(rewriter.fresh.call(aten.linear.default, *nodes))


_TAKE_NUMBERS = {aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor}

# Names that torch keeps beside those that the rest of edgeskin knows.
_ALIASES = {
    aten.subtract.Tensor: aten.sub.Tensor,
    aten.multiply.Tensor: aten.mul.Tensor,
    aten.divide.Tensor: aten.div.Tensor,
    aten.true_divide.Tensor: aten.div.Tensor,
}

RULES: dict[Any, Rule] = {
    **dict.fromkeys(
        (
            aten.clone.default,
            aten.alias.default,
            aten.detach.default,
            aten.lift_fresh_copy.default,
            aten.contiguous.default,
        ),
        _unchanged,
    ),
    aten.hardswish.default: _in_any_order,  # which torch does not tag as pointwise
    **dict.fromkeys((aten._to_copy.default, aten.to.dtype, aten.to.dtype_layout), _cast),
    **dict.fromkeys((aten.permute.default, aten.transpose.int, aten.t.default), _permuted),
    **dict.fromkeys(
        (
            aten.view.default,
            aten._unsafe_view.default,
            aten.reshape.default,
            aten.unsqueeze.default,
            aten.squeeze.default,
            aten.squeeze.dim,
            aten.squeeze.dims,
            aten.flatten.using_ints,
        ),
        _reshaped,
    ),
    **dict.fromkeys(
        (
            aten.mean.dim,
            aten.sum.dim_IntList,
            aten.amax.default,
            aten.amin.default,
            aten.var.correction,
            aten.max.dim,
            aten.min.dim,
        ),
        _reduced,
    ),
    **dict.fromkeys(
        (
            aten.softmax.int,
            aten._softmax.default,
            aten.log_softmax.int,
            aten._log_softmax.default,
            aten.cumsum.default,
            aten.flip.default,
            aten.split.Tensor,
            aten.split_with_sizes.default,
            aten.chunk.default,
        ),
        _along,
    ),
    aten.slice.Tensor: _sliced,
    aten.select.int: _selected,
    aten.cat.default: _joined,
    aten.pad.default: _padded,
    aten.constant_pad_nd.default: _padded,
    aten.expand.default: _repeated,
    aten.repeat.default: _repeated,
    aten.matmul.default: _product,
    aten.mm.default: _product,
    aten.addmm.default: _product,
}
