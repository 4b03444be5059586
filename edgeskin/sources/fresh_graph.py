"""A graph of aten operators that is written anew, node by node, each with its value's shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

aten = torch.ops.aten

_LAYERS = {aten.conv2d.default, aten.linear.default, aten.conv_transpose2d.input}


@dataclass(frozen=True)
class Constant:
    """A tensor that is the same for every image, and the name of the weight it is made of."""

    tensor: Tensor
    name: str


class FreshGraph:
    """The graph under way, its constants, and the shape of every value (`node.meta['val']`)."""

    def __init__(self, like: fx.GraphModule):
        self.graph = fx.Graph()
        self.graph.set_codegen(like.graph._codegen)  # arguments and results in the shape they had
        self._constants: dict[str, Tensor] = {}
        self._places: dict[int, fx.Node] = {}
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)

    def placeholder(self, node: fx.Node) -> fx.Node:
        """The input that `node` is in another graph."""
        with self._fake:
            val = torch.empty(node.meta["val"].shape, dtype=node.meta["val"].dtype)
        return self._valued(self.graph.placeholder(node.name), val)

    def constant(self, constant: Constant) -> fx.Node:
        """The node of a constant; the same tensor has one node."""
        if (key := id(constant.tensor)) not in self._places:
            name, number = constant.name, 0
            while name in self._constants:
                number += 1
                name = f"{constant.name}_{number}"
            self._constants[name] = constant.tensor
            val = self._fake.from_tensor(constant.tensor)
            with self.graph.inserting_before(next(iter(self.graph.nodes))):
                self._places[key] = self._valued(self.graph.get_attr(name), val)
        return self._places[key]

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """The next operator, of nodes of this graph and plain values."""
        values = fx.map_arg((args, kwargs), lambda node: node.meta["val"])
        with self._fake, torch.no_grad():
            val = target(*values[0], **values[1])
        return self._valued(self.graph.call_function(target, args, kwargs), val)

    def view(self, node: fx.Node, shape: tuple[int, ...]) -> fx.Node:
        """`node` in another shape: nothing where it has that, one view where it is one already."""
        while node.target is aten.view.default:
            node = node.all_input_nodes[0]
        val: Tensor = node.meta["val"]
        if tuple(val.shape) == shape:
            return node
        if not self._is_viewable(val, shape):
            node = self.call(aten.clone.default, node, memory_format=torch.contiguous_format)
        return self.call(aten.view.default, node, list(shape))

    def _is_viewable(self, val: Tensor, shape: tuple[int, ...]) -> bool:
        """Whether `val` can be read in `shape` without a copy, by its strides."""
        try:
            with self._fake:
                val.view(shape)
        except (RuntimeError, ValueError):
            return False
        return True

    def finished(self) -> fx.GraphModule:
        """The module, without what its results do not use."""
        self.graph.eliminate_dead_code()
        weights = {
            node.args[index]
            for node in self.graph.nodes
            if node.target in _LAYERS
            for index in (1, 2)
            if index < len(node.args)
        }
        root: dict[str, Any] = {
            str(node.target): self._stored(node, parameter=node in weights)
            for node in self.graph.find_nodes(op="get_attr")
        }
        self.graph.lint()
        return fx.GraphModule(root, self.graph).requires_grad_(False)

    def _stored(self, node: fx.Node, *, parameter: bool) -> Tensor:
        tensor = self._constants[str(node.target)].detach().contiguous()
        return nn.Parameter(tensor, requires_grad=False) if parameter else tensor

    def _valued(self, node: fx.Node, val: Any) -> fx.Node:
        node.meta["val"] = val
        return node
