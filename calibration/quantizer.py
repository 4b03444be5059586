"""Which tensors become integers: edgeskin's PT2E quantizer.

Convolutions and linear layers are always quantized. What follows them stays in
integers as long as every input already is one (`FOLLOWERS`); the first operator
that is in no table (softmax, layer norm, GELU, attention) takes the flow back to
float, and the next convolution or linear layer back to integers. A residual
stream that starts in float, as a transformer's does, therefore stays float.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)

from edgeskin.calibration.graphs import LAYERS, PADS, argument, aten, layer_name, layers, operands
from edgeskin.calibration.schemes import IntegerRange, Scheme
from edgeskin.errors import UnknownName

_ANNOTATION = "quantization_annotation"
# Clamps that integer kernels apply for free; their bounds are part of the range.
_FUSED_CLAMPS = {(0.0, 6.0), (-1.0, 1.0), (0.0, None)}


class EdgeQuantizer(Quantizer):
    """Annotates a graph made by `rewrites.flatten` for one scheme.

    `exclude` are patterns of module paths (`backbone.blocks.0.*`, as in
    fnmatch): a convolution or linear layer that matches one stays in float.

    Raises:
        UnknownName: On `annotate`, where a pattern matches no layer.
    """

    def __init__(self, scheme: Scheme, exclude: Sequence[str] = (), observer: Any = MinMaxObserver):
        super().__init__()
        integers = scheme.activations
        self.activation = None if integers is None else _spec(integers, observer)
        self.weight = _spec(scheme.weights, PerChannelMinMaxObserver)
        self.exclude = tuple(exclude)

    def annotate(self, model: GraphModule) -> GraphModule:
        self._check_patterns(model)
        for node in model.graph.nodes:
            if node.target in LAYERS:
                self._layer(node)
            elif node.target in FOLLOWERS and _ANNOTATION not in node.meta:
                FOLLOWERS[node.target](self, node)
        return model

    def _check_patterns(self, model: GraphModule) -> None:
        names = [layer_name(node) for node in layers(model)]
        for pattern in self.exclude:
            if not fnmatch.filter(names, pattern):
                raise UnknownName(
                    f"no layer matches '{pattern}'; the network has {', '.join(names[:3])}, ... "
                    f"{names[-1]}"
                )

    def _excludes(self, layer: Node) -> bool:
        return any(fnmatch.fnmatchcase(layer_name(layer), pattern) for pattern in self.exclude)

    def validate(self, model: GraphModule) -> None:
        """Accept every graph: an operator in no table stays float."""

    def _layer(self, node: Node) -> None:
        """Quantize the input and weight of a layer, and its output after its activation."""
        x, weight = operands(node)
        if weight.op != "get_attr" or self._excludes(node):
            return
        if self.activation is None:
            _annotate(node, {weight: self.weight}, None)
        else:
            self._mark(node, {x: self.activation, weight: self.weight})

    def _elementwise(self, node: Node) -> None:
        """A range of its own for each input and for the output; some inputs may be constants."""
        inputs = node.all_input_nodes
        integers = [node for node in inputs if _is_integer(node)]
        constants = [node for node in inputs if node.op == "get_attr"]
        if integers and len(integers) + len(constants) == len(inputs):
            self._mark(node, dict.fromkeys(inputs, self.activation))

    def _same_range(self, node: Node) -> None:
        """One range for all inputs and the output: the values only move, or grow no larger."""
        first, *others = inputs = node.all_input_nodes
        if all(_is_integer(node) for node in inputs):
            shared = SharedQuantizationSpec((first, node))
            specs = {first: self.activation, **dict.fromkeys(others, shared)}
            _annotate(node, specs, shared)

    def _padding(self, node: Node) -> None:
        """Zeros around what is there: every range holds zero, as one of its integers.

        Around the image too, which the layer behind them would take in integers itself.
        """
        if argument(node, "value"):
            return
        [source] = node.all_input_nodes
        on_image = source.op == "placeholder" and all(user.target in LAYERS for user in node.users)
        if on_image and self.activation is not None:
            shared = SharedQuantizationSpec((source, node))
            _annotate(node, {source: self.activation}, shared)
        else:
            self._same_range(node)

    def _mark(self, node: Node, inputs: dict[Node, QuantizationSpecBase]) -> None:
        """Quantize `inputs`, and the output behind the activation that fuses with `node`."""
        last = _fused_activation(node)
        if last is node:
            _annotate(node, inputs, self.activation)
        else:
            _annotate(node, inputs, None)
            _annotate(last, {}, self.activation)


FOLLOWERS: dict[Any, Callable[[EdgeQuantizer, Node], None]] = {
    **dict.fromkeys(
        (
            aten.add.Tensor,
            aten.sub.Tensor,
            aten.mul.Tensor,
            aten.relu.default,
            aten.leaky_relu.default,
            aten.sigmoid.default,
            aten.mean.dim,
        ),
        EdgeQuantizer._elementwise,
    ),
    **dict.fromkeys(
        (
            aten.avg_pool2d.default,
            aten.max_pool2d.default,
            aten.view.default,
            aten.permute.default,
            aten.transpose.int,
            aten.cat.default,
            aten.slice.Tensor,
            aten.select.int,
            aten.unsqueeze.default,
            aten.squeeze.dims,
            aten.expand.default,
            aten.clone.default,
            aten.upsample_nearest2d.vec,
            aten.upsample_bilinear2d.vec,
        ),
        EdgeQuantizer._same_range,
    ),
    **dict.fromkeys(PADS, EdgeQuantizer._padding),
}

_MOVES = (EdgeQuantizer._same_range, EdgeQuantizer._padding)
SAME_RANGE = {op for op, rule in FOLLOWERS.items() if rule in _MOVES}
"""Operators whose inputs and output have one range."""


def _spec(integers: IntegerRange, observer: Any) -> QuantizationSpec:
    kind = "channel" if integers.per_channel else "tensor"
    symmetry = "symmetric" if integers.symmetric else "affine"
    return QuantizationSpec(
        dtype=torch.int8 if integers.high <= 127 else torch.int16,
        quant_min=integers.low,
        quant_max=integers.high,
        qscheme=getattr(torch, f"per_{kind}_{symmetry}"),
        ch_axis=0 if integers.per_channel else None,
        observer_or_fake_quant_ctr=observer,
    )


def _annotate(
    node: Node,
    inputs: dict[Node, QuantizationSpecBase],
    output: QuantizationSpecBase | None,
) -> None:
    node.meta[_ANNOTATION] = QuantizationAnnotation(inputs, output, _annotated=True)


def quantizes(source: Node, reader: Node) -> bool:
    """Whether an annotated graph hands `source` to `reader` in integers."""
    annotation = reader.meta.get(_ANNOTATION)
    return _is_integer(source) or (annotation is not None and source in annotation.input_qspec_map)


def _is_integer(node: Node) -> bool:
    annotation = node.meta.get(_ANNOTATION)
    return annotation is not None and annotation.output_qspec is not None


def _fused_activation(node: Node) -> Node:
    """The activation that alone uses `node` and fuses with it, or `node` itself."""
    users = list(node.users)
    if len(users) == 1 and _fuses(users[0]):
        return users[0]
    return node


def _fuses(node: Node) -> bool:
    if node.target is aten.relu.default:
        return True
    if node.target is not aten.clamp.default:
        return False
    return (argument(node, "min"), argument(node, "max")) in _FUSED_CLAMPS
