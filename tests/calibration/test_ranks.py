"""Permutations of many axes move the same values with fewer."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeskin.calibration.graphs import aten
from edgeskin.calibration.ranks import fewest_axes, lower_ranks
from edgeskin.calibration.rewrites import export, flatten


@pytest.mark.parametrize("shape", [(1, 2, 3, 1, 2, 3), (2, 1, 1, 3, 2, 2), (1, 1, 1, 1, 1, 1)])
def test_every_permutation_of_six_axes_is_one_of_fewer(shape: tuple[int, ...]) -> None:
    x = torch.arange(torch.Size(shape).numel()).reshape(shape)
    for dims in permutations(range(6)):
        fewer, order = fewest_axes(shape, dims)
        assert len(fewer) <= sum(size > 1 for size in shape)
        assert torch.equal(x.reshape(fewer).permute(order).flatten(), x.permute(dims).flatten())


def test_axes_that_stay_side_by_side_become_one() -> None:
    assert fewest_axes((1, 8, 7, 8, 7, 96), (0, 1, 3, 2, 4, 5)) == ([8, 7, 8, 672], [0, 2, 1, 3])


class Windows(nn.Module):
    """A linear layer on windows of 4 x 4 pixels, as in Swin and MaxViT."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = F.pixel_unshuffle(x, 2)[:, :8].permute(0, 2, 3, 1)
        cut = x.reshape(1, 2, 4, 3, 4, 8).permute(0, 1, 3, 2, 4, 5)
        windows = self.layer(cut.contiguous().view(-1, 16, 8))
        cut = windows.view(1, 2, 3, 4, 4, 8).transpose(2, 3)  # as TinyViT writes it
        return (cut.reshape(1, 8, 12, 8),)


def test_a_flat_graph_cuts_windows_with_four_axes() -> None:
    torch.manual_seed(0)
    network, x = Windows().eval(), torch.randn(1, 3, 16, 24)
    graph = flatten(network, x)
    assert torch.equal(graph(x)[0], network(x)[0])
    assert aten.transpose.int not in {node.target for node in graph.graph.nodes}
    assert max(n.meta["val"].dim() for n in graph.graph.nodes if hasattr(n.meta["val"], "dim")) <= 4


def test_windows_of_a_map_whose_channels_lie_elsewhere() -> None:
    """A view that torch still takes of a permuted map, and that a shorter one cannot be."""

    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            cut = x.permute(0, 2, 3, 1).view(1, 2, 4, 2, 4, 3)
            return cut.transpose(2, 3).reshape(4, 4, 4, 3)

    x = torch.randn(1, 3, 8, 8)
    graph = export(Cut().eval(), x)
    expected = graph(x)
    lower_ranks(graph)
    assert torch.equal(graph(x), expected)
    values = [node.meta["val"] for node in graph.graph.nodes if node.op == "call_function"]
    assert max(value.dim() for value in values) <= 5


class Attention(nn.Module):
    """Queries, keys and values of one layer, three heads each, as timm writes them."""

    def __init__(self, order: tuple[int, ...], unbind: bool) -> None:
        super().__init__()
        self.layer, self.order, self.unbind = nn.Linear(12, 36), order, unbind

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        tokens = x.flatten(2).mT
        parts = self.layer(tokens).reshape(*tokens.shape[:2], 3, 3, 4).permute(self.order)
        q, k, v = parts.unbind() if self.unbind else (parts[0], parts[1], parts[-1])
        return (q @ k.mT @ v,)


@pytest.mark.parametrize("order", [(2, 0, 3, 1, 4), (2, 0, 3, 4, 1)])
@pytest.mark.parametrize("unbind", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_attention_of_one_layer_takes_four_axes(
    order: tuple[int, ...], unbind: bool, batch: int
) -> None:
    torch.manual_seed(0)
    x = torch.randn(batch, 12, 3, 5)
    graph = export(Attention(order, unbind).eval(), x)
    expected = graph(x)[0]
    assert lower_ranks(graph)
    assert torch.equal(graph(x)[0], expected)
    values = [node.meta["val"] for node in graph.graph.nodes if node.op == "call_function"]
    assert max(value.dim() for value in values) == 4
    assert not lower_ranks(graph)


def test_parts_that_are_no_slice_stay_behind_the_permutation() -> None:
    class Interleaved(nn.Module):
        """Heads before queries, keys and values: one of them is no slice of the layer."""

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            parts = x.reshape(1, 5, 2, 3, 4).permute(3, 0, 2, 1, 4)
            return (parts[0] + parts[2],)

    x = torch.randn(1, 5, 24)
    graph = export(Interleaved().eval(), x)
    lower_ranks(graph)
    assert torch.equal(graph(x)[0], Interleaved()(x)[0])
    assert aten.slice.Tensor not in {node.target for node in graph.graph.nodes}


def test_an_image_is_cut_before_any_layer() -> None:
    class Cut(nn.Module):
        """The stem of TResNet: blocks of 4 x 4 pixels become channels."""

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            blocks = x.view(1, 3, 2, 4, 2, 4).permute(0, 3, 5, 1, 2, 4)
            return (blocks.contiguous().view(1, 48, 2, 2),)

    x = torch.randn(1, 3, 8, 8)
    graph = flatten(Cut().eval(), x)
    assert torch.equal(graph(x)[0], Cut()(x)[0])


def test_a_view_that_only_the_strides_of_the_longer_permutation_allow() -> None:
    class Rows(nn.Module):
        """Every second row of a picture."""

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            pairs = x.view(1, 3, 4, 2, 8).permute(0, 1, 3, 2, 4)
            return (pairs[:, :, 1].flatten(1, 2),)

    x = torch.randn(1, 3, 8, 8)
    graph = flatten(Rows().eval(), x)
    assert torch.equal(graph(x)[0], Rows()(x)[0])
