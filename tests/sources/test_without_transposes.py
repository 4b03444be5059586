"""A graph with its transposes taken out computes what it did, in the operators of PyTorch."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from edgeskin.calibration.rewrites import export
from edgeskin.sources.axis_order import moves_nothing, read, reshaped
from edgeskin.sources.without_transposes import without_transposes

NCHW, NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
SHAPE = (1, 6, 4, 8)  # NHWC


@cache
def seeded(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def rewritten(function: Callable[[Tensor], Tensor], *shape: int) -> fx.GraphModule:
    """The graph of `function` without transposes, held against it in float64."""
    x = seeded(*(shape or SHAPE), seed=7)
    expected = function(x)  # makes the constants too, outside of what is traced
    # As an export is made inside, in a tenth of its time.
    trace = make_fx(function, tracing_mode="fake", pre_dispatch=True, _allow_non_fake_inputs=True)
    graph = without_transposes(trace(x))
    # Merged constants change the order of a few sums and products of numbers around 1.
    torch.testing.assert_close(graph(x), expected, rtol=1e-9, atol=1e-9)
    for node in graph.graph.nodes:
        if node.op == "call_function":
            assert node.meta["val"] is not None
    return graph


def operators(graph: fx.GraphModule) -> list[str]:
    calls = graph.graph.nodes
    return [n.target.__name__.split(".")[0] for n in calls if n.op == "call_function"]


def conv(x: Tensor, channels: int = 8, kernel: int = 1, seed: int = 1, **options: object) -> Tensor:
    """A convolution as Keras has it: of NHWC, with a kernel (height, width, in, out)."""
    weight = seeded(kernel, kernel, x.shape[-1], channels, seed=seed) / 8
    y = F.conv2d(x.permute(NCHW), weight.permute(3, 2, 0, 1), **options)  # type: ignore[arg-type]
    return y.permute(NHWC)


def batch_norm(x: Tensor, seed: int = 2) -> Tensor:
    mean, offset, scale = seeded(3, x.shape[-1], seed=seed)
    factor = torch.rsqrt(scale.square() + 0.1).reshape(1, 1, 1, -1)
    return (x - mean) * factor + offset


# What stays between the transposes of the first and the last convolution, in order.
INSIDE: dict[str, tuple[Callable[[Tensor], Tensor], list[str]]] = {
    "nothing": (lambda x: x, []),
    "relu": (torch.relu, ["relu"]),
    "batch norm": (batch_norm, []),
    "batch norm, relu": (lambda x: batch_norm(x).relu(), ["relu"]),
    "relu, batch norm": (lambda x: batch_norm(x.relu()), ["relu", "mul", "add"]),
    "bias": (lambda x: x + seeded(8), []),
    "number": (lambda x: (3.0 - x) / 2.0, []),
    "pixelwise constant": (lambda x: x * seeded(1, 6, 4, 1), ["mul"]),
    "residual": (lambda x: x + conv(x, seed=3).sigmoid(), ["conv2d", "sigmoid", "add"]),
    "concatenation": (lambda x: torch.cat([x, x.tanh()], dim=-1), ["tanh", "cat"]),
    "gate": (
        lambda x: x * conv(x.mean((1, 2)).reshape(1, 1, 1, 8), seed=4).sigmoid(),
        ["mean", "conv2d", "sigmoid", "mul"],
    ),
    "gate of kept axes": (lambda x: x * x.amax((1, 2), keepdim=True), ["amax", "mul"]),
    "channel mean": (lambda x: x - x.mean(-1, keepdim=True), ["mean", "sub"]),
    "padding": (lambda x: F.pad(x, (0, 0, 1, 0, 0, 2)), ["pad"]),
    "slice": (lambda x: x[:, 1:3, ::2, 2:], ["slice"] * 3),
    "whole slice": (lambda x: x[:, :6, 0:], []),
    "softmax": (lambda x: x.softmax(-1), ["softmax"]),
    "split": (lambda x: x.split(4, dim=-1)[1], ["split", "getitem"]),
    "flip": (lambda x: x.flip(1), ["flip"]),
    "groups": (
        lambda x: (x.reshape(1, 6, 4, 2, 4) * seeded(4)).reshape(1, 6, 4, 8),
        ["view", "mul", "view"],
    ),
    "select": (lambda x: x[:, 2].unsqueeze(1), ["select", "view"]),
    "expand": (lambda x: x[:, :1].expand(1, 6, 4, 8), ["slice", "expand"]),
    "copies": (lambda x: x.contiguous().clone().to(torch.float64), []),
    "where": (lambda x: torch.where(x > 0, x, seeded(8)), ["gt", "where"]),
}


@pytest.mark.parametrize("name", INSIDE)
def test_transposes_cancel_around(name: str) -> None:
    function, inside = INSIDE[name]
    graph = rewritten(
        lambda x: conv(function(conv(x.permute(NHWC)))).permute(NCHW), *read(SHAPE, NCHW)
    )
    assert operators(graph) == ["conv2d", *inside, "conv2d"]


def test_an_image_of_nhwc_is_moved_once_and_a_map_moved_back() -> None:
    graph = rewritten(lambda x: conv(conv(x).relu()).sigmoid())
    assert operators(graph) == ["permute", "conv2d", "relu", "conv2d", "sigmoid", "permute"]


def test_features_are_pooled_and_flattened_where_they_lie() -> None:
    weight = seeded(8, 5)
    graph = rewritten(lambda x: conv(x).mean((1, 2)) @ weight + seeded(5))
    assert operators(graph) == ["permute", "conv2d", "mean", "view", "linear"]
    graph = rewritten(lambda x: conv(x).mean((1, 2), keepdim=True).flatten(1) @ weight)
    assert operators(graph) == ["permute", "conv2d", "mean", "view", "linear"]


def test_pixels_in_a_row_are_moved_once() -> None:
    graph = rewritten(lambda x: conv(x.permute(NHWC)).reshape(1, 24, 8), 1, 8, 6, 4)
    assert operators(graph) == ["conv2d", "view", "permute"]


def test_what_only_works_in_one_order_is_given_it() -> None:
    graph = rewritten(lambda x: conv(F.layer_norm(conv(x), (8,))))
    assert operators(graph).count("permute") == 4


def test_padding_on_both_sides_becomes_the_convolution_s_own() -> None:
    def keras(x: Tensor) -> Tensor:
        return conv(F.pad(x.permute(NHWC), (0, 0, 2, 2, 1, 1)), kernel=3).permute(NCHW)

    [layer] = rewritten(keras, 1, 8, 6, 4).graph.find_nodes(
        op="call_function", target=torch.ops.aten.conv2d.default
    )
    assert layer.args[4] == [1, 2]
    assert layer.args[0].op == "placeholder"


@pytest.mark.parametrize(
    ("pads", "value"), [((0, 1, 0, 1), 0.0), ((1, 1, 1, 1), 0.5)], ids=["one side", "not zero"]
)
def test_other_padding_stays(pads: tuple[int, ...], value: float) -> None:
    def keras(x: Tensor) -> Tensor:
        return conv(F.pad(x, pads, value=value).permute(NHWC), kernel=3).permute(NCHW)

    assert operators(rewritten(keras, 1, 8, 6, 4)) == ["pad", "conv2d"]


class Shared(nn.Module):
    """One convolution twice, a batch norm of its own behind each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, 8, 1, bias=False, dtype=torch.float64)
        for place, scale in (("first", 2.0), ("second", 3.0)):
            self.register_buffer(place, torch.full((1, 8, 1, 1), scale, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.stem(x) * self.first, self.stem(x.relu()) * self.second + 1.0


def test_a_shared_weight_is_left_to_the_others() -> None:
    network, x = Shared(), seeded(1, 8, 6, 4)
    graph = without_transposes(export(network, x))
    assert operators(graph) == ["conv2d", "relu", "conv2d"]
    for ours, theirs in zip(graph(x), network(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    names = [str(node.target) for node in graph.graph.find_nodes(op="get_attr")]
    assert all(name.startswith("stem.") for name in names)  # as `--exclude` calls the layer


def test_a_layer_whose_result_is_used_before_its_batch_norm_keeps_its_weights() -> None:
    def keras(x: Tensor) -> Tensor:
        y = conv(x)
        return batch_norm(y) + y.relu()

    assert operators(rewritten(keras)) == [
        "permute",
        "conv2d",
        "mul",
        "add",
        "relu",
        "add",
        "permute",
    ]


def test_a_transposed_convolution_takes_its_batch_norm() -> None:
    weight = seeded(8, 5, 2, 2)

    def keras(x: Tensor) -> Tensor:
        y = F.conv_transpose2d(x.permute(NCHW), weight, stride=2).permute(NHWC)
        return batch_norm(y)

    assert operators(rewritten(keras)) == ["permute", "conv_transpose2d", "permute"]


# Operators that a random graph is made of: (value, random numbers) to another value of rank 4.
STEPS: tuple[Callable[[Tensor, random.Random], Tensor], ...] = (
    lambda x, r: x.permute(r.sample(range(4), 4)),
    lambda x, r: x.permute(NHWC),
    lambda x, r: x.permute(NCHW),
    lambda x, r: x.relu(),
    lambda x, r: x.sigmoid() + r.choice([0.0, 1.5]),
    lambda x, r: x * constant(x, r),
    lambda x, r: x + constant(x, r),
    lambda x, r: constant(x, r) - x,
    lambda x, r: x * x.mean(r.sample(range(4), r.choice([1, 2])), keepdim=True),
    lambda x, r: x + x.amax(axis := r.randrange(4)).unsqueeze(axis),
    lambda x, r: torch.cat([x, x.tanh()], r.randrange(4)),
    lambda x, r: F.pad(x, [r.randrange(3) for _ in range(2 * r.randrange(1, 4))]),
    lambda x, r: x.softmax(r.randrange(4)),
    lambda x, r: x.narrow(axis := r.randrange(4), 0, max(1, x.shape[axis] // 2)),
    lambda x, r: x.flip(r.randrange(4)),
    lambda x, r: x.flatten(axis := r.randrange(3), axis + 1).unsqueeze(r.randrange(4)),
    lambda x, r: x.reshape(*x.shape[2:], *x.shape[:2]),
    lambda x, r: x.select(axis := r.randrange(4), 0).unsqueeze(axis),
    lambda x, r: x.contiguous().clone(),
    lambda x, r: F.conv2d(x, seeded(4, x.shape[1], 1, 1) / 4, padding=r.randrange(2)),
    lambda x, r: x @ (seeded(x.shape[-1], 3) / 4),
    lambda x, r: F.layer_norm(x, x.shape[-1:]),
)


def constant(x: Tensor, numbers: random.Random) -> Tensor:
    """A constant that broadcasts with `x`: of some of its axes, of all, or one number."""
    shape = [size if numbers.random() < 0.5 else 1 for size in x.shape]
    return seeded(*shape[numbers.randrange(5) :], seed=numbers.randrange(9))


def random_function(seed: int) -> Callable[[Tensor], Tensor]:
    """A chain of 3 to 12 steps, here and there with the value that the step before began with."""

    def run(x: Tensor) -> Tensor:
        numbers = random.Random(seed)
        for _ in range(numbers.randint(3, 12)):
            y = numbers.choice(STEPS)(x, numbers)
            joins = y.shape == x.shape and numbers.random() < 0.3
            x = x + y if joins else y
            x = x if x.numel() < 4096 else x[:, :2, :3, :4]
        return x

    return run


@pytest.mark.parametrize("seed", range(40))
def test_a_random_graph_computes_what_it_did(seed: int) -> None:
    rewritten(random_function(seed), 1, 3, 4, 5)


@pytest.mark.parametrize("seed", range(100))
def test_a_reshape_of_what_is_stored_is_one_of_what_is_read(seed: int) -> None:
    numbers = random.Random(seed)
    stored = tuple(numbers.choice([1, 2, 3, 4]) for _ in range(4))
    order = tuple(numbers.sample(range(4), 4))
    x = torch.arange(torch.Size(stored).numel()).reshape(stored)
    target = list(read(stored, order))
    for _ in range(2):  # joins two axes, or adds one of one element
        place = numbers.randrange(len(target) - 1) if len(target) > 1 else 0
        joined = [target[place] * target[place + 1]] if len(target) > 1 else [1, target[0]]
        target = [*target[:place], *joined, *target[place + 2 :]]
        target.insert(numbers.randrange(len(target) + 1), 1)
    done = reshaped(stored, order, tuple(target))
    if done is not None:
        ours = x.reshape(done.shape).permute(done.order)
        assert torch.equal(ours, x.permute(order).reshape(target))
    else:
        assert not moves_nothing(stored, order)  # a reshape does what moves nothing
