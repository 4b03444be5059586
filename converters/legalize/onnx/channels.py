"""Channels to the number that the kernel for depthwise convolutions wants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeskin.converters.legalize.onnx.qdq import (
    CLAMPS,
    DEQUANTIZE,
    QUANTIZE,
    Array,
    attribute,
    constant,
    dequantize_of,
    edit,
    nodes,
    sizes,
)

# ONNX Runtime's fast kernel takes this many channels at a time, on x86 and ARM alike;
# with others the layer takes two to three times as long.
_LANES = 16
# Where more than this share of the work would be on zeros, the padding costs what it saves.
_MOST_PADDING = 0.25
_ELEMENTWISE = (
    *CLAMPS,
    QUANTIZE,
    DEQUANTIZE,
    "Add",
    "Mul",
    "Sigmoid",
    "GlobalAveragePool",
    "MaxPool",
)


def pad_depthwise_channels(graph: ir.Graph) -> None:
    """Add channels of zeros where a depthwise convolution has no multiple of 16.

    They start in the convolution that makes the channels and end in the one
    that takes them, whose weights for them are zero: whatever the operators
    between make of a channel, nothing of it reaches the result.
    """
    for node in nodes(graph, "Conv"):
        channels = _depthwise(node)
        padding = -channels % _LANES
        if padding and padding <= _MOST_PADDING * channels:
            group = _ChannelGroup(channels)
            if group.collect(node):
                group.pad(padding)


def _depthwise(node: ir.Node) -> int:
    """The channels of a depthwise convolution; 0 for any other node."""
    weight = dequantize_of(node.inputs[1]) if node.op_type == "Conv" else None
    array = constant(weight.inputs[0]) if weight is not None else None
    group = attribute(node, "group", 1)
    return group if array is not None and array.shape[:2] == (group, 1) and group > 1 else 0


class _ChannelGroup:
    """All values that share their channels with a depthwise convolution, and the layers around."""

    def __init__(self, channels: int):
        self.channels = channels
        self.values: list[ir.Value] = []
        self.producers: list[ir.Node] = []
        self.consumers: list[ir.Node] = []

    def collect(self, start: ir.Node) -> bool:
        """Follow the channels both ways; False where they reach what cannot be padded."""
        waiting: list[ir.Value | None] = [start.inputs[0]]
        while waiting:
            value = waiting.pop()
            if value is None or value in self.values:
                continue
            self.values.append(value)
            if value.is_graph_input() or value.is_graph_output():
                return False
            for node in (value.producer(), *value.consumers()):
                neighbours = self._through(node, value)
                if neighbours is None:
                    return False
                waiting += neighbours
        return True

    def _through(self, node: ir.Node | None, value: ir.Value) -> list[ir.Value | None] | None:
        """The values on the other sides of `node`; None where it cannot be passed."""
        if node is None:
            return None
        is_output = node.outputs[0] is value
        if node.op_type == "Conv" and _is_padable(node):
            if _depthwise(node):
                self._add(self.producers, node)
                return [node.inputs[0], node.outputs[0]]
            if attribute(node, "group", 1) == 1:
                self._add(self.producers if is_output else self.consumers, node)
                return []
        if node.op_type in _ELEMENTWISE:
            return self._elementwise(node)
        return None

    def _elementwise(self, node: ir.Node) -> list[ir.Value | None] | None:
        data = node.inputs[:2] if node.op_type in ("Add", "Mul") else node.inputs[:1]
        flowing = [value for value in data if not _is_scalar(value)]
        if all(_channels(value) == self.channels for value in flowing):
            return [*flowing, node.outputs[0]]
        return None

    @staticmethod
    def _add(to: list[ir.Node], node: ir.Node) -> None:
        if node not in to:
            to.append(node)

    def pad(self, padding: int) -> None:
        for node in self.producers:
            _pad_outputs(node, padding)
        for node in self.consumers:
            _pad_axis(_weight(node), 0, 1, padding, 0)


def _pad_outputs(node: ir.Node, padding: int) -> None:
    weight = _weight(node)
    _pad_axis(weight, 0, 0, padding, 0)
    _pad_axis(weight, 1, 0, padding, 1)
    _pad_axis(weight, 2, 0, padding, 0)
    if len(node.inputs) > 2:
        _pad_axis(node, 2, 0, padding, 0)
    group = attribute(node, "group", 1)
    if group > 1:
        node.attributes["group"] = ir.AttrInt64("group", group + padding)


def _pad_axis(node: ir.Node, index: int, axis: int, padding: int, value: int) -> None:
    def grow(array: Array) -> Array:
        widths = [(0, padding if i == axis else 0) for i in range(array.ndim)]
        return np.pad(array, widths, constant_values=value)

    edit(node, index, grow, "padded")


def _weight(node: ir.Node) -> ir.Node:
    weight = dequantize_of(node.inputs[1])
    assert weight is not None
    return weight


def _is_padable(node: ir.Node) -> bool:
    """An integer convolution with weights of its own and a constant bias, or none."""
    weight = dequantize_of(node.inputs[1])
    if weight is None or constant(weight.inputs[0]) is None or len(weight.outputs[0].uses()) > 1:
        return False
    return len(node.inputs) < 3 or constant(node.inputs[2]) is not None


def _is_scalar(value: ir.Value | None) -> bool:
    dequantize = dequantize_of(value)
    array = constant(dequantize.inputs[0] if dequantize is not None else value)
    return array is not None and array.size == 1


def _channels(value: ir.Value | None) -> int:
    shape = sizes(value)
    return shape[1] if len(shape) == 4 else 0
