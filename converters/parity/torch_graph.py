"""The reference by layer: a torch graph whose points can be read, and computed one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torch.utils._pytree import tree_map

from edgeskin.artifacts import Io
from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    LAYERS,
    QUANTIZE,
    Run,
    aten,
    attribute,
    layer_name,
)
from edgeskin.calibration.rewrites import export, flatten
from edgeskin.converters.model import any_strides
from edgeskin.converters.parity.points import Kind, Point, as_words
from edgeskin.models.app_model import AppModel
from edgeskin.spec import Spec

_PRODUCTS = {
    *LAYERS,
    aten.conv_transpose2d.input,
    aten.matmul.default,
    aten.bmm.default,
    aten.mm.default,
}
_GOES_ON = {
    aten.relu.default,
    aten.clamp.default,
    aten.hardtanh.default,
    aten.relu6.default,
    QUANTIZE,
    DEQUANTIZE,
}
_BY_CONSTANT = {aten.add.Tensor: "shifted", aten.mul.Tensor: "scaled"}
_OF_WEIGHTS = re.compile(r"([._]weight)?([._]bias)?(_updated_constant\d+)?$")
_CONSTANT_STEPS = {DEQUANTIZE, DEQUANTIZE_CHANNELS}
Array = NDArray[Any]


class TorchGraph:
    """A float or QDQ graph of the whole model: pixels in and decoded heads out, for `app`.

    `points` lie in the order in which `values` gives them. Of a product to which
    a constant is added, as in hard-sigmoid, or that is multiplied with one, as by
    layer scale, `variants` has what comes out: converters may make it part of the
    bias or the weights.
    """

    def __init__(self, network: nn.Module, spec: Spec, io: Io):
        """Flatten or export the network, and find its points.

        Args:
            network: Float, or the QDQ graph of a program; in eval mode.
        """
        self.quantized = isinstance(network, GraphModule)
        network = any_strides(network)
        model: nn.Module = AppModel(network, spec, "NHWC") if io == "app" else network
        model.training = False
        self.graph = (export if self.quantized else flatten)(model, _example(spec, io))
        _share_steps(self.graph)
        names = spec.output_names(io)
        self._at = dict(_points(self.graph, names))
        self.points = list(self._at.values())
        self.variants: dict[str, list[Point]] = {}
        for node, point in list(self._at.items()):
            if point.kind == "multiply":
                variants = {
                    other: replace(point, name=f"{point.name} ({words})")
                    for words, other in _with_constants(node)
                    if other not in self._at
                }
                self._at |= variants
                self.variants[point.name] = list(variants.values())
        self._node = {point.name: node for node, point in self._at.items()}

    @torch.no_grad()
    def values(self, x: Array) -> Iterator[tuple[Point, Array]]:
        """Each point with its values on one input, as they come; nothing else is kept."""
        run = Run(self.graph, torch.from_numpy(x))
        for node in self.graph.graph.nodes:
            if node.op == "output":
                return
            value = run.step(node)
            if node in self._at:
                yield self._at[node], value.numpy()
            run.forget(node)

    @torch.no_grad()
    def compute(
        self, point: Point, known: Mapping[str, Array], dtype: torch.dtype = torch.float32
    ) -> Array:
        """The values of `point` where those of the points `known` are as given.

        Args:
            dtype: In which all that is float32 is computed: float64 shows what rounding does.
        """
        values = {self._node[name]: _as(dtype, torch.from_numpy(x)) for name, x in known.items()}
        computed: Tensor = self._evaluate(self._node[point.name], values, dtype)
        return computed.numpy()

    def _evaluate(self, node: Node, known: dict[Node, Any], dtype: torch.dtype) -> Any:
        if node not in known:
            if node.op == "get_attr":
                known[node] = _as(dtype, attribute(self.graph, node))
            else:
                args, kwargs = map_arg(
                    (node.args, node.kwargs), lambda n: self._evaluate(n, known, dtype)
                )
                args, kwargs = tree_map(partial(_as, dtype), (args, kwargs))
                assert callable(node.target)
                known[node] = node.target(*args, **kwargs)
        return known[node]


def _as(dtype: torch.dtype, value: Any) -> Any:
    """float32 values, and the word float32, as `dtype`; all else as it is."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.dtype == torch.float32 else value
    return dtype if value is torch.float32 else value


def _example(spec: Spec, io: Io) -> Tensor:
    height, width = spec.input.height, spec.input.width
    if io == "app":
        return torch.zeros(1, height, width, 3, dtype=torch.uint8)
    return torch.zeros(1, 3, height, width)


def _share_steps(graph: GraphModule) -> None:
    """One dequantize step behind each quantize step, where an export wrote one a reader."""
    for node in list(graph.graph.nodes):
        if node.target is QUANTIZE:
            first, *others = [user for user in node.users if user.target is DEQUANTIZE]
            for other in others:
                other.replace_all_uses_with(first)
                graph.graph.erase_node(other)
    graph.recompile()


def _points(graph: GraphModule, names: tuple[str, ...]) -> Iterator[tuple[Node, Point]]:
    ends = next(node for node in graph.graph.nodes if node.op == "output").args[0]
    known: dict[Node, str] = {}
    for node in graph.graph.nodes:
        if (kind := _kind(node)) is None:
            continue
        settled, path = _settled(node), _path(node)
        name = _name(node, kind, path)
        if name in known.values():  # weights that two layers share
            name = f"{name} ({node.name})"
        known[settled] = name
        yield settled, Point(name, kind, _shape(settled), as_words(path))
    for name, node in zip(names, ends, strict=True):
        if node not in known:
            unique = f"{name} (output)" if name in known.values() else name
            yield node, Point(unique, "output", _shape(node), name)


def _kind(node: Node) -> Kind | None:
    if node.op == "placeholder":
        return "input"
    if node.target in _PRODUCTS:
        return "multiply"
    both = len(node.all_input_nodes) == 2 and not any(map(_is_constant, node.all_input_nodes))
    return "add" if node.target is aten.add.Tensor and both else None


def _is_constant(node: Node) -> bool:
    if node.op == "call_function" and node.all_input_nodes:
        return all(map(_is_constant, node.all_input_nodes))
    return node.op != "placeholder"


def _settled(node: Node) -> Node:
    """The node that holds what `node` made, behind the clamp and the rounding that are its own."""
    while len(node.users) == 1 and next(iter(node.users)).target in _GOES_ON:
        node = next(iter(node.users))
    return node


def _with_constants(node: Node) -> Iterator[tuple[str, Node]]:
    """What constants make of a product that nothing else uses, settled, and what to call it."""
    words: list[str] = []
    while len(node.users) == 1:
        user = next(iter(node.users))
        numbers = len(user.all_input_nodes) == 1 or any(map(_is_constant, user.all_input_nodes))
        if user.target not in _BY_CONSTANT or not numbers:
            return
        words.append(_BY_CONSTANT[user.target])
        node = _settled(user)
        yield ", ".join(words), node


def _shape(node: Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _path(node: Node) -> str:
    """The path of a product's own weights; empty where it has none, or their names are lost."""
    for source in node.all_input_nodes[1:]:
        while source.target in _CONSTANT_STEPS:
            source = source.all_input_nodes[0]
        name = str(source.target)
        if source.op == "get_attr" and not name.rpartition(".")[2].startswith("_"):
            return _OF_WEIGHTS.sub("", name)
    return ""


def _name(node: Node, kind: Kind, path: str) -> str:
    """What a person reads, and no other point is called."""
    if kind == "input":
        return node.name
    if path:
        return path.removeprefix("network.")
    return f"{layer_name(node).removeprefix('network.')} ({node.name})"
