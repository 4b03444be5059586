"""Operators that an exporter took apart, put together again.

A quantizer knows a layer by its bias, and leaves GELU and layer norms in float
as a whole; of their parts it would quantize some.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from edgeskin.sources.onnx_graph.calls import Call, Draft, Ref
from edgeskin.sources.onnx_graph.ops.activation import gelu
from edgeskin.sources.onnx_graph.ops.convolution import conv, linear
from edgeskin.sources.onnx_graph.ops.normalization import layer_norm

Operand = Ref | float | int


def fuse(draft: Draft) -> None:
    """Rewrite `draft` in place; the function that it computes stays."""
    draft.drop_unused()
    for rule in (_biases, _layer_norms, _gelus):
        rule(draft)
        draft.drop_unused()


class _Graph:
    """Who makes and who reads each tensor."""

    def __init__(self, draft: Draft):
        self.draft = draft
        self.made = {name: call for call in draft.calls for name in call.outputs}
        self.users = draft.users()

    def source(self, value: Operand | None, *types: str) -> Call | None:
        """The operator that makes `value`, if it is of one of `types`."""
        call = self.made.get(value.name) if isinstance(value, Ref) else None
        return call if call is not None and call.type in types else None

    def number(self, value: Operand | None) -> float | None:
        """The one number that `value` is, if it is constant."""
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, Ref) and value.name in self.draft.fixed:
            sample = self.draft.samples[value.name]
            return float(sample) if sample.numel() == 1 else None
        return None

    def only_for(self, call: Call, user: Call) -> bool:
        name = call.outputs[0]
        return self.users.get(name) == [user] and name not in self.draft.outputs

    def either(self, call: Call, *types: str) -> Iterator[tuple[Call, Operand]]:
        """Each input of a binary operator that is made by one of `types`, with the other one."""
        first, second = call.arguments[:2]
        for one, other in ((first, second), (second, first)):
            source = self.source(one, *types)
            if source is not None:
                yield source, other

    def with_number(self, call: Call) -> tuple[Operand, float] | None:
        """The inputs of a binary operator of which one is a number."""
        first, second = call.arguments[:2]
        for one, other in ((first, second), (second, first)):
            number = self.number(other)
            if number is not None and isinstance(one, Ref):
                return one, number
        return None


def _biases(draft: Draft) -> None:
    """A sum with one number for each channel, behind a layer without a bias, is its bias."""
    graph = _Graph(draft)
    for call in list(draft.calls):
        if call.type != "Add":
            continue
        for layer, other in graph.either(call, "MatMul", "Gemm", "Conv"):
            bias = _bias(draft, layer, other)
            if bias is not None and graph.only_for(layer, call):
                arguments = (*layer.arguments[:2], Ref(bias))
                fused = replace(layer, arguments=arguments, outputs=call.outputs)
                _replace(draft, call, fused)
                break


def _bias(draft: Draft, layer: Call, other: Operand) -> str | None:
    """The name of `other` as a vector, if `layer` can take it as its bias."""
    if layer.function not in (linear, conv) or any(a is not None for a in layer.arguments[2:]):
        return None
    if not isinstance(other, Ref) or other.name not in draft.fixed:
        return None
    value, size = draft.samples[other.name], len(draft.samples[layer.arguments[1].name])
    behind = 0 if layer.function is linear else draft.samples[layer.outputs[0]].dim() - 2
    shape = [1] * (value.dim() - 1 - behind) + [size] + [1] * behind
    if list(value.shape) != shape or value.dim() > draft.samples[layer.outputs[0]].dim():
        return None
    if value.dim() == 1:
        return other.name
    return draft.add_constant(f"{other.name}::vector", value.flatten(), other.name).name


def _replace(draft: Draft, old: Call, new: Call) -> None:
    draft.calls[draft.calls.index(old)] = new


def _gelus(draft: Draft) -> None:
    """x * (1 + erf(x / sqrt(2))) / 2, its three factors in any order."""
    graph = _Graph(draft)
    for call in list(draft.calls):
        if call.type == "Mul" and (x := _gelu_of(graph, call)) is not None:
            _replace(draft, call, Call("Gelu", call.name, gelu, (x,), call.outputs))


def _gelu_of(graph: _Graph, call: Call) -> Ref | None:
    factors, half = _factors(graph, call), 1.0
    numbers = [n for n in map(graph.number, factors) if n is not None]
    half = math.prod(numbers)
    rest = [f for f in factors if graph.number(f) is None]
    if len(rest) != 2 or not math.isclose(half, 0.5, rel_tol=1e-6):
        return None
    for one, x in (rest, rest[::-1]):
        erf = _erf_plus_one(graph, one)
        if erf is not None and isinstance(x, Ref) and _is_over_root(graph, erf, x):
            return x
    return None


def _factors(graph: _Graph, call: Call, depth: int = 2) -> list[Operand]:
    """The factors of a product of products."""
    found: list[Operand] = []
    for value in call.arguments[:2]:
        inner = graph.source(value, "Mul")
        if inner is not None and depth and graph.only_for(inner, call):
            found += _factors(graph, inner, depth - 1)
        else:
            found.append(value)
    return found


def _erf_plus_one(graph: _Graph, value: Operand) -> Call | None:
    total = graph.source(value, "Add")
    pair = graph.with_number(total) if total is not None else None
    if pair is None or pair[1] != 1.0:
        return None
    return graph.source(pair[0], "Erf")


def _is_over_root(graph: _Graph, erf: Call, x: Ref) -> bool:
    """Whether `erf` is of x / sqrt(2)."""
    scaled = graph.source(erf.arguments[0], "Mul", "Div")
    pair = graph.with_number(scaled) if scaled is not None else None
    if pair is None or scaled is None or pair[0] != x:
        return False
    factor = pair[1] if scaled.type == "Mul" else 1 / pair[1]
    return math.isclose(factor, math.sqrt(0.5), rel_tol=1e-5)


def _layer_norms(draft: Draft) -> None:
    """(x - mean) / sqrt(mean((x - mean)**2) + epsilon) * scale + bias, over the last axes."""
    graph = _Graph(draft)
    for call in list(draft.calls):
        if call.type == "Div" and (norm := _layer_norm_of(graph, call)) is not None:
            _replace(draft, call, norm)
    graph = _Graph(draft)
    for call in list(draft.calls):
        if call.type == "LayerNormalization":
            _with_scale(graph, call)


def _layer_norm_of(graph: _Graph, call: Call) -> Call | None:
    """A layer norm without scale and bias that gives what `call` gives."""
    above, root = call.arguments[:2]
    centred, sqrt = graph.source(above, "Sub"), graph.source(root, "Sqrt", "Pow")
    if centred is None or sqrt is None or (sqrt.type == "Pow" and sqrt.arguments[1] != 0.5):
        return None
    x, mean = centred.arguments[:2]
    total = graph.source(sqrt.arguments[0], "Add")
    pair = graph.with_number(total) if total is not None else None
    if pair is None or not isinstance(x, Ref):
        return None
    variance = graph.source(pair[0], "ReduceMean")
    axis = _axis(graph, graph.source(mean, "ReduceMean"), x)
    if variance is None or axis is None or _squared(graph, variance) != centred.outputs[0]:
        return None
    if _axis(graph, variance, Ref(variance.arguments[0].name)) != axis:
        return None
    options = {"axis": axis, "epsilon": pair[1]}
    return Call("LayerNormalization", call.name, layer_norm, (x,), call.outputs, options)


def _squared(graph: _Graph, variance: Call) -> str | None:
    """The tensor whose square `variance` is the mean of."""
    square = graph.source(variance.arguments[0], "Pow", "Mul")
    if square is None:
        return None
    first, second = square.arguments[:2]
    plain = second == 2 if square.type == "Pow" else second == first
    return first.name if plain and isinstance(first, Ref) else None


def _axis(graph: _Graph, mean: Call | None, x: Ref) -> int | None:
    """The first of the last axes that `mean` of `x` goes over, counted from the end."""
    if mean is None or mean.arguments[0] != x or not mean.options.get("keepdims", 1):
        return None
    axes = mean.options.get("axes") or (mean.arguments[1] if len(mean.arguments) > 1 else None)
    if not axes:
        return None
    rank = graph.draft.samples[x.name].dim()
    places = sorted(axis % rank - rank for axis in axes)
    return places[0] if places == list(range(places[0], 0)) else None


def _with_scale(graph: _Graph, norm: Call) -> None:
    """Let `norm` take the product and the sum behind it as its scale and bias."""
    shape = graph.draft.samples[norm.outputs[0]].shape[norm.options.get("axis", -1) :]
    for kind in ("Mul", "Add"):
        [*users] = graph.users.get(norm.outputs[0], [])
        if len(users) != 1 or users[0].type != kind or norm.outputs[0] in graph.draft.outputs:
            return
        [call] = users
        others = [v for v in call.arguments[:2] if v != Ref(norm.outputs[0])]
        if len(others) != 1 or not _is_constant_of(graph.draft, others[0], shape):
            return
        fused = replace(norm, arguments=(*norm.arguments, others[0]), outputs=call.outputs)
        _replace(graph.draft, call, fused)
        norm = fused


def _is_constant_of(draft: Draft, value: Operand, shape: torch.Size) -> bool:
    if not isinstance(value, Ref) or value.name not in draft.fixed:
        return False
    sample: Tensor = draft.samples[value.name]
    return sample.shape == shape
