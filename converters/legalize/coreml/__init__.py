"""An exported program rewritten into what coremltools reads well."""

from __future__ import annotations

from torch import fx

from edgeskin.calibration.graphs import argument, aten, set_argument
from edgeskin.calibration.ranks import lower_ranks

_POOLS = {aten.max_pool2d.default, aten.avg_pool2d.default}
_CLAMPS = {aten.clamp.default, aten.hardtanh.default}
_OTHER_NAMES = {aten.zero.default: aten.zeros_like.default, aten.alias.default: aten.clone.default}
"""Of operators that coremltools does not know, in Swin V2 for one; of the same arguments."""


def legalize(graph: fx.GraphModule) -> None:
    """Rewrite, in place and to the same function, what coremltools reads worse or not at all.

    - A pool whose stride is left out: `max_pool2d` is refused without one.
    - `clamp` or `hardtanh` from 0 to 6: as `relu6`, which coremltools counts among
      the activations that end an int8 pattern; a `clip` is none of them.
    - Operators of `_OTHER_NAMES`; `addcmul`, as a product and a sum.
    - A permutation of more axes than it holds, as of windows: with fewer (`ranks.py`).
    """
    lower_ranks(graph)
    for node in list(graph.graph.nodes):
        node.target = _OTHER_NAMES.get(node.target, node.target)
        if node.target in _POOLS and not argument(node, "stride"):
            set_argument(node, "stride", argument(node, "kernel_size"))
        elif node.target is aten.addcmul.default:
            _as_sum(graph, node)
        elif node.target in _CLAMPS:
            x, *bounds = node.args
            if bounds == [0, 6]:
                node.target, node.args = aten.relu6.default, (x,)
    graph.recompile()


def _as_sum(graph: fx.GraphModule, node: fx.Node) -> None:
    x, first, second = node.args
    with graph.graph.inserting_before(node):
        product = graph.graph.call_function(aten.mul.Tensor, (first, second))
        product.meta = dict(node.meta)
        if (value := argument(node, "value")) != 1:
            product = graph.graph.call_function(aten.mul.Tensor, (product, float(value)))
            product.meta = dict(node.meta)
    node.target, node.args, node.kwargs = aten.add.Tensor, (x, product), {}
