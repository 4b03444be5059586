"""The rewritten graph computes the same function, with integer-friendly operators only."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin.calibration.graphs import attribute, layer_name, layers
from edgeskin.calibration.quantizer import FOLLOWERS
from edgeskin.calibration.rewrites import REWRITES, aten, flatten

X = torch.linspace(-10.0, 10.0, 2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
CHANNELS = torch.tensor([0.5, 1.0, 2.0])

ORIGINALS: dict[object, tuple[Callable[..., Tensor], tuple[object, ...]]] = {
    aten.hardsigmoid.default: (F.hardsigmoid, ()),
    aten.hardswish.default: (F.hardswish, ()),
    aten.silu.default: (F.silu, ()),
    aten.hardtanh.default: (F.hardtanh, (-2.0, 3.0)),
    aten.relu6.default: (F.relu6, ()),
    aten.div.Tensor: (torch.div, (6.0,)),
    aten.sub.Tensor: (torch.sub, (0.5,)),
    aten.scaled_dot_product_attention.default: (
        F.scaled_dot_product_attention,
        (X.flip(-1) / 5, X.sin()),
    ),
    aten.unbind.int: (lambda x, dim: torch.stack(x.unbind(dim)), (1,)),
    aten.split.Tensor: (lambda x, size, dim: torch.stack(x.split(size, dim)), (2, 2)),
    aten.split_with_sizes.default: (
        lambda x, sizes, dim: torch.stack(x.split(sizes, dim)),
        ([1, 1, 1], 1),
    ),
    aten.view.default: (torch.reshape, ([2, 15, 4],)),
    aten._unsafe_view.default: (torch.reshape, ([2, 15, 4],)),
    aten.alias.default: (torch.clone, ()),
    aten._assert_tensor_metadata.default: (lambda x: None, ()),
    aten.pad.default: (F.pad, ([0, 0, 0, 0],)),
    aten.roll.default: (torch.roll, ([-1, 2, 4], [1, 2, 2])),
    aten.addcmul.default: (torch.addcmul, (X.flip(0), X.sin())),
    aten.adaptive_avg_pool2d.default: (F.adaptive_avg_pool2d, ([1, 1],)),
    aten._native_batch_norm_legit_no_training.default: (
        lambda x, w, b, mean, var, momentum, eps: F.batch_norm(x, mean, var, w, b, eps=eps),
        (CHANNELS, -CHANNELS, CHANNELS - 1, CHANNELS, 0.1, 1e-3),
    ),
    aten.conv_transpose2d.input: (F.conv_transpose2d, (X.sin()[:1].reshape(3, 1, 4, 5), None)),
}


def test_every_rewrite_is_tested() -> None:
    assert ORIGINALS.keys() == REWRITES.keys()


@pytest.mark.parametrize("operator", REWRITES, ids=str)
def test_a_rewrite_computes_the_same_function(operator: object) -> None:
    original, rest = ORIGINALS[operator]
    rewritten = REWRITES[operator](X, *rest)
    rewritten = rewritten[0] if isinstance(rewritten, tuple) else rewritten
    rewritten = torch.stack(rewritten) if isinstance(rewritten, list) else rewritten
    # The order of float32 operations differs: a few units in the last place of values up to 20.
    torch.testing.assert_close(rewritten, original(X, *rest), rtol=1e-6, atol=5e-6)


def test_a_flat_graph_is_the_network_without_batch_norm(network: nn.Module) -> None:
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    graph = flatten(network, x)
    used = {node.target for node in graph.graph.nodes if node.op == "call_function"}
    assert not used & (REWRITES.keys() - {aten.view.default})
    assert not any("norm" in str(target) for target in used)
    for flat, original in zip(graph(x), network(x), strict=True):
        # Folding rescales the weights: float32 rounding over a few layers.
        torch.testing.assert_close(flat, original, rtol=1e-4, atol=1e-5)


def test_a_batch_norm_that_follows_no_convolution_becomes_factor_and_offset() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1)).eval()
    network[0].running_mean = torch.tensor([0.1, -0.2, 0.3])
    network[0].running_var = torch.tensor([0.5, 2.0, 3.0])
    x = torch.randn(1, 3, 8, 8)
    graph = flatten(network, x)
    operators = [str(n.target) for n in graph.graph.nodes if n.op == "call_function"]
    assert operators == [
        "aten.mul.Tensor",
        "aten.add.Tensor",
        "aten.relu.default",
        "aten.conv2d.default",
    ]
    torch.testing.assert_close(graph(x), network(x), rtol=1e-5, atol=1e-6)


def test_what_is_computed_from_nothing_becomes_one_constant() -> None:
    class Positions(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            steps = torch.arange(x.shape[-1], dtype=torch.float32)
            return (x + (steps * 0.5).sin() + torch.zeros(2, 1),)

    graph, x = flatten(Positions(), torch.zeros(1, 3, 2, 4)), torch.ones(1, 3, 2, 4)
    computed = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert computed == [aten.add.Tensor, aten.add.Tensor]
    torch.testing.assert_close(graph(x), Positions()(x))


class Computed(nn.Module):
    """Layers whose weights are computed, one of them of constants alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1.0, 1.0, 9).reshape(3, 3, 1, 1))
        self.bias = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        place = F.linear(torch.ones(1, 3), self.bias.weight * 2)
        return (F.conv2d(x, self.weight / self.weight.norm()) + place.reshape(1, 3, 1, 1),)


def test_what_is_computed_of_weights_becomes_one_constant_of_their_name() -> None:
    torch.manual_seed(0)
    network, x = Computed(), torch.ones(1, 3, 2, 4)
    graph = flatten(network.eval(), x)
    computed = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert computed == [aten.conv2d.default, aten.add.Tensor]
    [layer] = layers(graph)
    assert layer.args[1].target == "weight"
    torch.testing.assert_close(graph(x), network(x))


def test_attention_adds_a_bias_of_positions_and_leaves_a_choice_of_them_alone() -> None:
    query, key, value = X / 5, X.flip(-1) / 5, X.sin()
    bias = torch.linspace(-1.0, 1.0, 16).reshape(4, 4)
    rewritten = REWRITES[aten.scaled_dot_product_attention.default]
    for mask in (bias, bias > 0):
        expected = F.scaled_dot_product_attention(query, key, value, mask)
        torch.testing.assert_close(rewritten(query, key, value, mask), expected)

    class Biased(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (F.scaled_dot_product_attention(x, x, x, bias),)

    used = {node.target for node in flatten(Biased(), X).graph.nodes}
    assert aten.softmax.int in used
    assert aten.scaled_dot_product_attention.default not in used


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 3), (6, 6), (5, 7), (28, 30)])
def test_adaptive_pooling_to_any_size_is_made_of_operators_for_integers(
    size: tuple[int, int],
) -> None:
    class Pool(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (F.adaptive_avg_pool2d(x, size),)

    x = torch.randn(1, 3, 28, 30, generator=torch.Generator().manual_seed(0))
    graph = flatten(Pool(), x)
    used = {node.target for node in graph.graph.nodes if node.op == "call_function"}
    assert used <= FOLLOWERS.keys()
    torch.testing.assert_close(graph(x), Pool()(x))


def test_padding_that_pads_goes_on() -> None:
    padded = REWRITES[aten.pad.default](X, [1, 2], "constant", 3.0)
    assert torch.equal(padded, F.pad(X, [1, 2], value=3.0))


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (2, {"stride": 2}),
        (4, {"stride": 2, "padding": 1}),
        (3, {"stride": 2, "padding": 1, "output_padding": 1, "bias": False}),
        (5, {"stride": 2, "padding": 2, "output_padding": 1}),
        ((4, 3), {"stride": (2, 1), "padding": (1, 1)}),
        (8, {"stride": 4, "padding": 2}),
    ],
)
def test_a_transposed_convolution_is_a_convolution_whose_channels_become_pixels(
    kernel: int, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.ConvTranspose2d(3, 5, kernel, **options), nn.BatchNorm2d(5)).eval()
    network[1].running_mean.uniform_()
    x = torch.randn(1, 3, 6, 7)
    graph = flatten(network, x)
    used = {node.target for node in graph.graph.nodes if node.op == "call_function"}
    assert aten.conv2d.default in used
    assert not used & {aten.conv_transpose2d.input, aten.mul.Tensor}
    assert [layer_name(layer) for layer in layers(graph)] == ["0"]
    with torch.no_grad():
        torch.testing.assert_close(graph(x), network(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"stride": 2}, {"groups": 3, "stride": 2, "padding": 1}, {"stride": 2, "dilation": 2}, {}],
)
def test_other_transposed_convolutions_stay(options: dict[str, object]) -> None:
    network, x = nn.ConvTranspose2d(3, 3, 4, **options).eval(), torch.randn(1, 3, 6, 7)
    graph = flatten(network, x)
    kept = {n.target for n in graph.graph.nodes} & {aten.conv_transpose2d.input}
    assert len(kept) == ("padding" not in options or "groups" in options)
    with torch.no_grad():
        torch.testing.assert_close(graph(x), network(x))


def test_numbers_become_tensors() -> None:
    class Shift(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return ((x + 3) * 0.25,)

    graph = flatten(Shift(), torch.zeros(1, 3, 2, 2))
    constants = [n for n in graph.graph.nodes if n.op == "get_attr"]
    assert [attribute(graph, node).tolist() for node in constants] == [[3.0], [0.25]]


def test_a_flat_graph_keeps_no_trace_of_where_it_came_from(network: nn.Module) -> None:
    graph = flatten(network, torch.zeros(1, 3, 32, 32))
    assert all(node.meta.keys() <= {"val"} for node in graph.graph.nodes)
    used = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    assert graph.state_dict().keys() == used


class Expanded(nn.Module):
    """One expanded tensor beside another of the size, one by itself."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(-1, keepdim=True)
        return x.relu() * mean.expand_as(x), mean.expand_as(x)


def test_what_is_expanded_for_a_product_is_broadcast_by_it() -> None:
    network, x = Expanded(), torch.randn(1, 3, 4, 4)
    graph = flatten(network, x)
    [expansion] = graph.graph.find_nodes(op="call_function", target=aten.expand.default)
    assert [user.op for user in expansion.users] == ["output"]
    for ours, theirs in zip(graph(x), network(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    both = nn.Module()
    both.forward = lambda x: (x.mean(-1, keepdim=True).expand_as(x) * x.mean(-2, keepdim=True),)
    kept = flatten(both, x)  # nothing else has the size
    assert kept.graph.find_nodes(op="call_function", target=aten.expand.default)
