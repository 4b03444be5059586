"""What is rewritten for Core ML computes the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin.converters.to_coreml import aten, legalize


class Rewritten(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (
            F.max_pool2d(x, 2),
            F.avg_pool2d(x, 3),
            F.relu6(x),
            x.clamp(0.0, 6.0),
            x.clamp(-1.0, 1.0),
        )


def test_pools_get_a_stride_and_clamps_become_relu6() -> None:
    x = 10 * torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(0))
    graph = torch.export.export(Rewritten(), (x,)).run_decompositions({}).graph_module
    before = graph(x)
    legalize(graph)
    for expected, found in zip(before, graph(x), strict=True):
        assert torch.equal(expected, found)
    called = [node for node in graph.graph.nodes if node.op == "call_function"]
    assert sum(node.target is aten.relu6.default for node in called) == 2
    pools = [n for n in called if n.target in (aten.max_pool2d.default, aten.avg_pool2d.default)]
    assert [node.args[1:3] for node in pools] == [([2, 2], [2, 2]), ([3, 3], [3, 3])]
