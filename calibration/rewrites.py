"""A network as a flat graph of the few operators that run fast in INT8.

Runtimes have integer kernels for add, clamp and mul, seldom for hard-swish; a
network is therefore written in those before it is quantized. Each entry of
`REWRITES` computes the same function as the operator it replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torchao.quantization.pt2e.constant_fold import constant_fold
from torchao.quantization.pt2e.utils import _fuse_conv_bn_, _fuse_linear_bn_

from edgeskin.calibration.checks import check_shapes
from edgeskin.calibration.factors import push_factors, widen_clamps
from edgeskin.calibration.graphs import (
    argument,
    aten,
    attribute,
    layers,
    operands,
    replace_attribute,
    set_argument,
)
from edgeskin.calibration.ranks import lower_ranks
from edgeskin.calibration.transposed import transposed_convolution


def hard_sigmoid(x: Tensor) -> Tensor:
    return (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)


def hard_swish(x: Tensor) -> Tensor:
    return x * hard_sigmoid(x)


def silu(x: Tensor) -> Tensor:
    return x * x.sigmoid()


def clamp(x: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    return x.clamp(low, high)


def relu6(x: Tensor) -> Tensor:
    return x.clamp(0.0, 6.0)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale * query @ key^T + mask) @ value, scale = 1/sqrt(dim) (Vaswani et al., 2017)."""
    chosen = mask is not None and mask.dtype == torch.bool
    if chosen or causal or enable_gqa:
        return aten.scaled_dot_product_attention.default(
            query, key, value, mask, dropout, causal, scale=scale, enable_gqa=enable_gqa
        )
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    return (scores if mask is None else scores + mask).softmax(-1) @ value


def view(x: Tensor, shape: list[int]) -> Tensor:
    """A view of any `x`: a rewritten operator may give it other strides than were exported."""
    plain = x if x.is_contiguous() else x.clone(memory_format=torch.contiguous_format)
    return plain.view(shape)


def pad(
    x: Tensor, amounts: list[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Padding; none at all where windows happen to fit, as in Swin at its own size."""
    return aten.pad.default(x, amounts, mode, value) if any(amounts) else x


def same(x: Tensor) -> Tensor:
    """What an operator returns that only gives its input another name."""
    return x


def nothing(*_: Any, **__: Any) -> None:
    """In place of an assertion about the type of a tensor, which holds."""


def roll(x: Tensor, shifts: list[int], dims: Sequence[int] = ()) -> Tensor:
    """Values that leave at one end come back at the other; as slices, which integers take."""
    if not dims:  # of the flat tensor
        return aten.roll.default(x, shifts, dims)
    for shift, dim in zip(shifts, dims, strict=True):
        start = -shift % x.shape[dim]
        if start:
            parts = (start, x.shape[dim]), (0, start)
            x = torch.cat([aten.slice.Tensor(x, dim, *part) for part in parts], dim)
    return x


def unbind(x: Tensor, dim: int = 0) -> list[Tensor]:
    return [x.select(dim, index) for index in range(x.shape[dim])]


def split(x: Tensor, sizes: int | list[int], dim: int = 0) -> list[Tensor]:
    """A split by slices: behind a split, litert-torch takes a concat's range from one input."""
    if isinstance(sizes, int):
        sizes = [sizes] * -(-x.shape[dim] // sizes)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [aten.slice.Tensor(x, dim, a, a + size) for a, size in zip(starts, sizes, strict=True)]


def divide(x: Tensor, y: Any) -> Tensor:
    return x * (1.0 / y) if isinstance(y, int | float) else x / y


def subtract(x: Tensor, y: Any) -> Tensor:
    return x + -y if isinstance(y, int | float) else x - y


def add_product(x: Tensor, first: Tensor, second: Tensor, *, value: float = 1) -> Tensor:
    """x + value * first * second, as ResMLP and ConvNeXt V2 write a factor and an offset."""
    return x + (first * second if value == 1 else first * second * value)


def adaptive_average_pool(x: Tensor, output_size: Sequence[int]) -> Tensor:
    """As a mean, a pool, or means of slices: litert-torch adds up the windows in int8."""
    if list(output_size) == [1, 1]:
        return x.mean(dim=(-2, -1), keepdim=True)
    windows = [
        _windows(x.shape[dim], size) for dim, size in zip((-2, -1), output_size, strict=True)
    ]
    strides = [_stride(axis) for axis in windows]
    if all(strides):
        kernel = [axis[0][1] for axis in windows]
        return aten.avg_pool2d.default(x, kernel, strides)
    for dim, axis in zip((x.dim() - 2, x.dim() - 1), windows, strict=True):
        parts = [aten.slice.Tensor(x, dim, *window).mean(dim, keepdim=True) for window in axis]
        x = torch.cat(parts, dim)
    return x


def _windows(size: int, count: int) -> list[tuple[int, int]]:
    """First and last (exclusive) of each window of adaptive pooling; they may overlap by one."""
    return [(i * size // count, -((i + 1) * -size // count)) for i in range(count)]


def _stride(windows: list[tuple[int, int]]) -> int:
    """How far each window lies from the one before; 0 where they differ, or in length."""
    steps = {b[0] - a[0] for a, b in pairwise(windows)} or {1}
    lengths = {last - first for first, last in windows}
    return steps.pop() if len(steps) == len(lengths) == 1 else 0


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor]:
    """A batch norm behind no convolution, as a factor and an offset for each channel."""
    factor = (variance + eps).rsqrt()
    factor = factor if weight is None else factor * weight
    offset = -mean * factor if bias is None else bias - mean * factor
    shape = (1, -1) + (1,) * (x.dim() - 2)
    return (x * factor.reshape(shape) + offset.reshape(shape),)


REWRITES: dict[Any, Callable[..., Any]] = {
    aten.hardsigmoid.default: hard_sigmoid,
    aten.hardswish.default: hard_swish,
    aten.silu.default: silu,
    aten.hardtanh.default: clamp,
    aten.relu6.default: relu6,
    aten.scaled_dot_product_attention.default: attention,
    aten.unbind.int: unbind,
    aten.split.Tensor: split,
    aten.split_with_sizes.default: split,
    aten.view.default: view,
    aten._unsafe_view.default: view,
    aten.alias.default: same,
    aten._assert_tensor_metadata.default: nothing,
    aten.pad.default: pad,
    aten.roll.default: roll,
    aten.div.Tensor: divide,
    aten.sub.Tensor: subtract,
    aten.addcmul.default: add_product,
    aten.adaptive_avg_pool2d.default: adaptive_average_pool,
    aten._native_batch_norm_legit_no_training.default: batch_norm,
    aten.conv_transpose2d.input: transposed_convolution,
}


def flatten(network: nn.Module, example: Tensor) -> fx.GraphModule:
    """Export `network`, fold every batch norm, apply `REWRITES`.

    Args:
        network: In eval mode; takes `example`, returns a tuple of tensors.
        example: float32 (1, 3, H, W); the graph is for this shape only.

    Returns:
        A functional graph of aten operators, its weights as attributes. The
        numbers in add and mul are tensors, so that they can be quantized.

    Raises:
        InvalidRun: The size of a tensor depends on the image.
    """
    graph = export(network, example)
    check_shapes(graph)
    drop_expansions(graph)
    fold_batch_norms(graph)
    lower_ranks(graph)
    graph = _rewritten(graph, example)
    widen_clamps(graph)
    push_factors(graph)
    _numbers_to_tensors(graph)
    fold_constants(graph)
    return tidied(graph, example)


def export(network: nn.Module, example: Tensor) -> fx.GraphModule:
    """A functional aten graph of `network` for the shape of `example`.

    It holds what it uses and no more: no guards, no unused weights, and no
    traces of the source files and machine that it came from.
    """
    with torch.no_grad():
        module = (
            torch.export.export(network, (example,))
            .run_decompositions({})
            .module(check_guards=False)
        )
    module.graph.eliminate_dead_code()
    for node in module.graph.nodes:
        node.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
    return fx.GraphModule(module, module.graph).requires_grad_(False)


def fold_batch_norms(graph: fx.GraphModule) -> None:
    """Put batch norms into the weights of the layers in front of them, in place."""
    _fuse_conv_bn_(graph)
    _fuse_linear_bn_(graph)


def fold_constants(graph: fx.GraphModule) -> bool:
    """Compute what is the same for every image, in place; whether there was any.

    Weights keep the names that they come from.
    """
    before = _computed(graph)
    _made_to_tensors(graph)
    origins = {layer: _origin(operands(layer)[1]) for layer in layers(graph)}
    with torch.no_grad():
        constant_fold(graph)
    taken = {str(node.target) for node in graph.graph.find_nodes(op="get_attr")}
    for layer in layers(graph):
        path, (_, weight) = origins[layer], operands(layer)
        if path and path not in taken and weight.op == "get_attr":
            folded = attribute(graph, weight)
            weight.target = path
            replace_attribute(graph, weight, folded)
            taken.add(path)
    graph.recompile()
    return _computed(graph) < before


def _computed(graph: fx.GraphModule) -> int:
    return sum(node.op == "call_function" for node in graph.graph.nodes)


def _origin(weight: fx.Node) -> str | None:
    """The name of the tensor that a weight is computed from; None where it is one itself."""
    place = weight
    while place.op != "get_attr" and place.all_input_nodes:
        place = place.all_input_nodes[0]
    return str(place.target) if place is not weight and place.op == "get_attr" else None


def drop_expansions(graph: fx.GraphModule) -> bool:
    """Let products and sums broadcast what `graph` expands for them, in place; whether any did.

    litert-torch lays out an expanded tensor and the other one differently, and fails.
    """
    dropped = False
    for node in graph.graph.find_nodes(op="call_function", target=aten.expand.default):
        source = node.args[0]
        if all(_broadcasts(user, node) for user in node.users):
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
            dropped = True
    graph.recompile()
    return dropped


def _broadcasts(user: fx.Node, expanded: fx.Node) -> bool:
    """Whether `user` takes another tensor of the expanded size, and what is expanded as it is."""
    if user.target not in (aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.div.Tensor):
        return False
    others = [node for node in user.args[:2] if isinstance(node, fx.Node) and node is not expanded]
    [source] = expanded.all_input_nodes
    shape = expanded.meta["val"].shape
    same_rank = source.meta["val"].dim() == len(shape)
    return same_rank and len(others) == 1 and others[0].meta["val"].shape == shape


def tidied(graph: fx.GraphModule, example: Tensor) -> fx.GraphModule:
    """`graph` without what it does not use; each node with the shape of its value as `val`."""
    graph.graph.eliminate_dead_code()
    fresh = fx.GraphModule(graph, graph.graph).requires_grad_(False)
    for node in fresh.graph.nodes:
        node.meta = {}
    FakeTensorProp(fresh, FakeTensorMode(allow_non_fake_inputs=True)).propagate(example)
    return fresh


def _rewritten(graph: fx.GraphModule, example: Tensor) -> fx.GraphModule:
    """`graph` traced anew, on tensors without values, with `REWRITES` in place of its operators."""
    places = [node for node in graph.graph.nodes if node.op == "get_attr"]
    constants = {str(place.target): attribute(graph, place) for place in places}

    def run(x: Tensor, constants: dict[str, Tensor]) -> Any:
        return _Rewriter(graph, constants).run(x)

    traced = make_fx(run, tracing_mode="fake", pre_dispatch=True)(example, constants).graph
    image, *constant_inputs = traced.find_nodes(op="placeholder")
    fresh = fx.Graph()
    fresh.set_codegen(graph.graph._codegen)  # arguments and results in the shape they had
    [place] = graph.graph.find_nodes(op="placeholder")
    copies = {image: fresh.placeholder(place.name)}
    for node, name in zip(constant_inputs, constants, strict=True):
        copies[node] = fresh.create_node("get_attr", name)
    fresh.output(fresh.graph_copy(traced, copies))
    return fx.GraphModule(graph, fresh)


class _Rewriter(fx.Interpreter):
    """Runs a graph with `REWRITES` in place of its operators, and with other constants."""

    def __init__(self, graph: fx.GraphModule, constants: dict[str, Tensor]):
        super().__init__(graph)
        self.constants = constants

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.constants[target]

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().call_function(REWRITES.get(target, target), args, kwargs)


def _numbers_to_tensors(graph: fx.GraphModule) -> None:
    """Make `add(x, 3.0)` into `add(x, constant)`, the constant float32 (1,)."""
    for node in list(graph.graph.nodes):
        if node.target not in (aten.add.Tensor, aten.mul.Tensor):
            continue
        number = argument(node, "other")
        if isinstance(number, int | float):
            name = f"_number_{node.name}"
            graph.register_buffer(name, torch.tensor([number], dtype=torch.float32))
            with graph.graph.inserting_before(node):
                constant = graph.graph.get_attr(name)
            set_argument(node, "other", constant)
    graph.recompile()


def _made_to_tensors(graph: fx.GraphModule) -> None:
    """Make what is computed from nothing (`arange`, `full`) a constant, and all that follows."""
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or node.all_input_nodes or _is_random(node):
            continue
        value = node.target(*node.args, **node.kwargs)
        if not isinstance(value, Tensor):
            continue
        name = f"_made_{node.name}"
        graph.register_buffer(name, value)
        with graph.graph.inserting_before(node):
            constant = graph.graph.get_attr(name)
        constant.meta = dict(node.meta)
        node.replace_all_uses_with(constant)
        graph.graph.erase_node(node)
    graph.recompile()


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
