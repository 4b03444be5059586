"""What is rewritten for Core ML computes the same."""

from __future__ import annotations

from pathlib import Path

import coremltools as ct
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin.converters.legalize.coreml import aten, legalize
from edgeskin.runtimes.mil import open_session

FLOAT32 = ct.precision.FLOAT32


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


class Masked(nn.Module):
    """As Swin V2 does: a part of the bias is cleared in place, and a tensor aliased."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.layer.bias.clone()
        bias[2:4].zero_()
        return torch.ops.aten.alias(F.linear(x, self.layer.weight, bias))


def test_swin_v2s_operators_reach_coremltools_by_names_that_it_knows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = Masked().eval(), torch.randn(3, 4)
    program = torch.export.export(network, (x,)).run_decompositions({})
    called = {node.target for node in program.graph.nodes}
    assert {aten.zero.default, aten.alias.default} <= called
    legalize(program.graph_module)
    inputs = [ct.TensorType(name="x", shape=(3, 4))]
    model = ct.convert(program, inputs=inputs, skip_model_load=True, compute_precision=FLOAT32)
    model.save(str(tmp_path / "m.mlpackage"))
    with open_session(tmp_path / "m.mlpackage") as session:
        (found,) = session.run({"x": x.numpy()}).values()
    # Sums of four products, in another order: some roundings of 2^-24.
    np.testing.assert_allclose(found, network(x).detach(), rtol=0, atol=2**-21)


class Windows(nn.Module):
    """As Swin does: a feature map in windows of 4 x 4, and back; six axes on the way."""

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        cut = x.view(batch, height // 4, 4, width // 4, 4, channels)
        windows = cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, channels).cumsum(1)
        cut = windows.view(batch, height // 4, width // 4, 4, 4, channels)
        return cut.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)


def test_windows_reach_core_ml_with_five_axes_at_most(tmp_path: Path) -> None:
    x = torch.randn(1, 8, 12, 2, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(Windows(), (x,)).run_decompositions({})
    legalize(program.graph_module)
    assert max(n.meta["val"].dim() for n in program.graph.nodes if "val" in n.meta) <= 5
    assert torch.equal(program.module()(x), Windows()(x))
    inputs = [ct.TensorType(name="x", shape=x.shape)]
    model = ct.convert(program, inputs=inputs, skip_model_load=True, compute_precision=FLOAT32)
    model.save(str(tmp_path / "m.mlpackage"))
    with open_session(tmp_path / "m.mlpackage") as session:
        (found,) = session.run({"x": x.numpy()}).values()
    # Sums of sixteen values, in another order: some roundings of 2^-24.
    np.testing.assert_allclose(found, Windows()(x), rtol=0, atol=2**-19)
