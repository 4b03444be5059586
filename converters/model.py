"""What is converted: a network between the two ends that an app sees."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from edgeskin.artifacts import Metadata
from edgeskin.calibration.graphs import DEQUANTIZE_CHANNELS, QUANTIZE, argument
from edgeskin.models.app_model import AppModel, Layout

INPUT = "image"
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One conversion: the network, in eval mode, and what the file says about itself."""

    network: nn.Module
    metadata: Metadata
    portable: bool = False
    """Without rewrites that only this machine's CPU gains by."""
    made: dict[Any, Any] | None = field(default=None, compare=False, repr=False)
    """What `once` keeps for other jobs, whose networks must not change in between."""

    @property
    def names(self) -> tuple[str, ...]:
        return self.metadata.spec.output_names(self.metadata.io)

    @property
    def int8(self) -> bool:
        return self.metadata.precision == "int8"

    def once(self, make: Callable[[Job], T]) -> T:
        """What `make` makes of this job, whose precision is no matter to it.

        It is made once for all jobs that share `made` and differ in nothing else.
        """
        if self.made is None:
            return make(self)
        key = (make, self.network, self.portable, self.metadata.io, self.metadata.spec.to_json())
        if key not in self.made:
            self.made[key] = make(self)
        made: T = self.made[key]
        return made

    def module(self, layout: Layout) -> nn.Module:
        """The torch module whose arguments and results are the artifact's."""
        network = any_strides(self.network)
        if self.metadata.io == "app":
            return _still(AppModel(network, self.metadata.spec, layout))
        return _still(_Tensor(network, layout))

    def example(self, layout: Layout) -> Tensor:
        """Zeros of the input's shape: uint8 pixels for `app`, float32 for `tensor`."""
        size = self.metadata.spec.input
        shape = (1, 3, size.height, size.width)
        if layout == "NHWC":
            shape = (1, size.height, size.width, 3)
        return torch.zeros(shape, dtype=torch.uint8 if self.metadata.io == "app" else torch.float32)


class _Tensor(nn.Module):
    """The bare network, its input in either layout."""

    def __init__(self, network: nn.Module, layout: Layout):
        super().__init__()
        self.network = network
        self.layout = layout

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        out: tuple[Tensor, ...] = self.network(
            image.permute(0, 3, 1, 2) if self.layout == "NHWC" else image
        )
        return out


def scales_summary(network: nn.Module) -> dict[str, int | float | None]:
    """How many tensors are quantized, and the span of the activations' scales."""
    scales: list[float] = [argument(node, "scale") for node in _nodes(network, QUANTIZE)]
    return {
        "weights": len(_nodes(network, DEQUANTIZE_CHANNELS)),
        "activations": len(scales),
        "smallest_scale": min(scales, default=None),
        "largest_scale": max(scales, default=None),
    }


def activations(network: nn.Module) -> set[tuple[str, int]]:
    """The integer types of a program's activations, each with a zero point that occurs."""
    return {
        (str(argument(node, "dtype")).removeprefix("torch."), argument(node, "zero_point"))
        for node in _nodes(network, QUANTIZE)
    }


def _nodes(network: nn.Module, target: Any) -> list[fx.Node]:
    if not isinstance(network, fx.GraphModule):
        return []
    return [node for node in network.graph.nodes if node.target is target]


def any_strides(network: nn.Module) -> nn.Module:
    """A program with `reshape` for `view`, whose strides fit the layout of calibration only."""
    if not isinstance(network, fx.GraphModule):
        return network
    graph = copy.deepcopy(network.graph)
    for node in graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    return fx.GraphModule(network, graph)


def _still(module: nn.Module) -> nn.Module:
    """Eval mode, set by hand: an exported graph refuses `.eval()`."""
    module.training = False
    return module.requires_grad_(False)
