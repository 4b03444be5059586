"""A program's graph as a `Network`, so that the audit asks it what it asks of files."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    QUANTIZE_CHANNELS,
    aten,
    operands,
)
from edgeskin.formats.network import Network, Operator, Role, Tensor

# What only moves values is left out: a product behind it has no pair of its own, and is float.
_ROLES: dict[Any, Role] = {
    **dict.fromkeys((aten.conv2d.default, aten.linear.default), "multiply"),
    **dict.fromkeys((aten.matmul.default, aten.bmm.default), "multiply"),
    **dict.fromkeys((aten.clamp.default, aten.relu.default, aten.hardtanh.default), "clamp"),
    **dict.fromkeys((QUANTIZE, QUANTIZE_CHANNELS), "quantize"),
    **dict.fromkeys((DEQUANTIZE, DEQUANTIZE_CHANNELS), "dequantize"),
}


def network(graph: fx.GraphModule) -> Network:
    """The network of `graph`, whose nodes carry the shapes that `torch.export` found."""
    nodes = list(graph.graph.nodes)
    tensors = {node.name: _tensor(node) for node in nodes if node.op != "output"}
    return Network(
        tuple(_operator(node, tensors) for node in nodes if node.op == "call_function"),
        tensors,
        tuple(node.name for node in nodes if node.op == "placeholder"),
        tuple(source.name for source in nodes[-1].all_input_nodes),
    )


def _tensor(node: fx.Node) -> Tensor:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return Tensor(node.name, (), "unknown", constant=node.op == "get_attr")
    dtype = str(value.dtype).removeprefix("torch.")
    return Tensor(node.name, tuple(map(int, value.shape)), dtype, constant=node.op == "get_attr")


def _operator(node: fx.Node, tensors: dict[str, Tensor]) -> Operator:
    role = _ROLES.get(node.target, "other")
    operands, count = _multiply_adds(node, tensors) if role == "multiply" else ((), 0)
    return Operator(
        str(node.target),
        tuple(source.name for source in node.all_input_nodes),
        (node.name,),
        role,
        operands=operands,
        multiply_adds=count,
    )


def _multiply_adds(node: fx.Node, tensors: dict[str, Tensor]) -> tuple[tuple[str, ...], int]:
    """The operands of a product, and how many pairs of their values it multiplies."""
    x, weight = (tensors[operand.name] for operand in operands(node))
    results = tensors[node.name].values
    if node.target in (aten.matmul.default, aten.bmm.default):
        return (x.name, weight.name), results * x.shape[-1]
    return (x.name, weight.name), results * math.prod(weight.shape[1:])
