"""Factors move into weights only where the function stays the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin.calibration.graphs import aten
from edgeskin.calibration.rewrites import flatten

X = 3.0 * torch.randn(1, 6, 9, 9, generator=torch.Generator().manual_seed(4))
Body = Callable[["Layers", Tensor], Tensor]


class Layers(nn.Module):
    def __init__(self, body: Body):
        super().__init__()
        torch.manual_seed(1)
        self.body = body
        self.a, self.b, self.c = (nn.Conv2d(6, 6, 3, padding=1) for _ in range(3))
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.body(self, x),)


def squeeze_and_excite(net: Layers, x: Tensor) -> Tensor:
    x = F.hardswish(net.a(x))
    gate = F.hardsigmoid(net.b(x.mean((2, 3), keepdim=True)))
    return net.c(x * gate)


def multiplications(body: Body) -> int:
    """How many multiplications are left; the function must be the same."""
    network = Layers(body).eval()
    graph = flatten(network, X)
    with torch.no_grad():
        # The factor moves from one float32 product into another: a few roundings.
        torch.testing.assert_close(graph(X), network(X), rtol=1e-5, atol=1e-5)
    return sum(node.target is aten.mul.Tensor for node in graph.graph.nodes)


@pytest.mark.parametrize(
    ("left", "body"),
    [
        (0, lambda net, x: net.a(x * 0.3)),
        (0, lambda net, x: net.linear((x * 0.3).mean((2, 3)))),
        (0, lambda net, x: net.linear(F.avg_pool2d(x * 0.3, 9).flatten(1))),
        (1, lambda net, x: net.b(F.hardswish(net.a(x)))),
        (2, squeeze_and_excite),
        (1, lambda net, x: net.a((x * 0.3) * (x * 0.7))),
    ],
)
def test_factors_end_in_weights(left: int, body: Body) -> None:
    assert multiplications(body) == left


@pytest.mark.parametrize(
    ("left", "body"),
    [
        (1, lambda net, x: x * 0.3),  # an output has no weights
        (1, lambda net, x: net.a(x * 0.3 + 1.0)),
        (1, lambda net, x: net.a((x * 0.3).sigmoid())),
        (1, lambda net, x: net.a(y) + y if (y := x * 0.3) is not None else x),
        (2, lambda net, x: net.a((x * 0.3).square()) + net.b(x * 0.3)),
        (1, lambda net, x: F.conv2d(x, (net.a.weight * 0.3).exp())),  # not a constant factor of x
    ],
)
def test_other_factors_stay(left: int, body: Body) -> None:
    assert multiplications(body) <= left


def test_layers_that_share_weights_do_not_share_the_factor() -> None:
    assert multiplications(lambda net, x: net.a(x * 0.3) + net.a(x)) == 0


def clamps(body: Body) -> list[tuple[float, float]]:
    graph = flatten(Layers(body).eval(), X).graph
    found = graph.find_nodes(op="call_function", target=aten.clamp.default)
    return [(node.args[1], node.args[2]) for node in found]


@pytest.mark.parametrize(
    ("left", "bounds", "body"),
    [
        (0, (0.0, 6.0), lambda net, x: net.b(net.a(x).clamp(0.0, 1.0))),
        (1, (0.0, 6.0), lambda net, x: net.a(x).clamp(0, 1)),
        (1, (0.0, 6.0), lambda net, x: net.c(x * net.b(net.a(x)).clamp(0.0, 1.0))),
        (0, (0.0, 1.0), lambda net, x: net.b(x.clamp(0.0, 1.0))),  # no layer takes the factor
        (0, (0.0, 0.5), lambda net, x: net.a(x).clamp(0.0, 0.5)),
    ],
)
def test_clamps_behind_layers_are_those_of_integer_kernels(
    left: int, bounds: tuple[float, float], body: Body
) -> None:
    assert multiplications(body) == left
    assert clamps(body) == [bounds]


def test_a_layer_with_two_readers_takes_no_factor_of_one() -> None:
    def body(net: Layers, x: Tensor) -> Tensor:
        y = net.a(x)
        return net.b(y.clamp(0.0, 1.0)) + y

    assert multiplications(body) == 0
    assert clamps(body) == [(0.0, 1.0)]
