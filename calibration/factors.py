"""Constant factors pushed forward into the weights of the layers behind them.

hard-swish is x * clamp(x + 3, 0, 6) / 6. Multiplication by a constant commutes
with pooling, reshaping and the gate of a squeeze-and-excitation, and a
convolution or linear layer takes it into its weights; so the division costs
nothing, where a runtime would spend a pass over the whole tensor on it.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgeskin.calibration.graphs import (
    LAYERS,
    argument,
    aten,
    attribute,
    bias_of,
    operands,
    replace_attribute,
    set_argument,
)

# op(c * x) = c * op(x), x being the first argument.
_COMMUTES = {
    aten.mean.dim,
    aten.avg_pool2d.default,
    aten.view.default,
    aten.permute.default,
    aten.transpose.int,
    aten.slice.Tensor,
    aten.clone.default,
}


def widen_clamps(graph: GraphModule) -> None:
    """Write a clamp to 0..1 behind a layer as one to 0..6, in place; the layer takes the factor 6.

    clamp(w x + b, 0, 1) = clamp(6 w x + 6 b, 0, 6) / 6, and integer kernels clamp to 6 for free.
    It is how PaddlePaddle's hard-sigmoid ends.
    """
    for clamp in graph.graph.find_nodes(op="call_function", target=aten.clamp.default):
        layer = argument(clamp, "self")
        if (argument(clamp, "min"), argument(clamp, "max")) != (0, 1) or not _is_own(layer):
            continue
        bias = bias_of(layer)
        if bias is not None:
            replace_attribute(graph, bias, attribute(graph, bias).detach() * 6.0)
        _scale_weights(graph, layer, 6.0)
        with graph.graph.inserting_after(clamp):
            product = graph.graph.call_function(aten.mul.Tensor, (layer, 1.0 / 6.0))
        clamp.replace_all_uses_with(product)
        product.args = (clamp, 1.0 / 6.0)
        clamp.args = (layer, 0.0, 6.0)
    graph.recompile()


def _is_own(layer: Node) -> bool:
    """True for a layer that one operator reads, with a bias that is no other's."""
    if layer.target not in LAYERS or len(layer.users) != 1 or operands(layer)[1].op != "get_attr":
        return False
    bias = bias_of(layer)
    return bias is None or (bias.op == "get_attr" and len(bias.users) == 1)


def push_factors(graph: GraphModule) -> None:
    """Remove every `mul(x, number)` that ends in the weights of all layers behind it, in place."""
    for node in list(graph.graph.nodes):
        if _is_factor(node) and _absorbed(node):
            _push(graph, node, argument(node, "other"))
            node.replace_all_uses_with(argument(node, "self"))
            graph.graph.erase_node(node)
    graph.recompile()


def _is_factor(node: Node) -> bool:
    return node.target is aten.mul.Tensor and isinstance(argument(node, "other"), int | float)


def _absorbed(node: Node) -> bool:
    """True if each way forward from `node` ends in a layer's weights."""
    return bool(node.users) and all(
        _is_layer_on(user, node) or (_passes(user, node) and _absorbed(user)) for user in node.users
    )


def _is_layer_on(user: Node, x: Node) -> bool:
    """True for a layer with constant weights that takes `x` as its input."""
    if user.target not in LAYERS:
        return False
    source, weight = operands(user)
    return source is x and weight.op == "get_attr"


def _passes(user: Node, x: Node) -> bool:
    """True if `user` multiplies its result by a factor of `x`, and by it alone."""
    if user.target is aten.mul.Tensor:
        # x * x multiplies its result by the factor's square.
        return argument(user, "self") is not argument(user, "other")
    return user.target in _COMMUTES


def _push(graph: GraphModule, node: Node, factor: float) -> None:
    for user in list(node.users):
        if user.target in LAYERS:
            _scale_weights(graph, user, factor)
        else:
            _push(graph, user, factor)


def _scale_weights(graph: GraphModule, layer: Node, factor: float) -> None:
    """Multiply the weights of `layer`, and of no other layer that shares them."""
    weight = argument(layer, "weight")
    scaled = attribute(graph, weight).detach() * factor
    if len(weight.users) == 1:
        replace_attribute(graph, weight, scaled)
        return
    path, _, name = str(weight.target).rpartition(".")
    name = f"{name}_of_{layer.name}"
    graph.get_submodule(path).register_buffer(name, scaled)
    with graph.graph.inserting_before(layer):
        copied = graph.graph.get_attr(f"{path}.{name}" if path else name)
    set_argument(layer, "weight", copied)
