"""Merged branches: what is merged, that it computes the same, and what is refused."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from edgeskin.errors import InvalidRun
from edgeskin.models.reparameterize import mergeable, reparameterized


def image(size: int = 32) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))


def lived_in(network: nn.Module) -> nn.Module:
    """`network` with batch norms that do something: a merge that forgets one shows."""
    generator = torch.Generator().manual_seed(2)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                tensor.data.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0", "repvit_m0_9", "repghostnet_050"])
def test_branches_become_one_layer_that_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = lived_in(timm.create_model(name, num_classes=5))
    layers = len([m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)])
    merged = reparameterized(network, image())
    assert mergeable(network)
    assert {tensor.dtype for tensor in merged.parameters()} == {torch.float32}
    assert torch.get_default_dtype() is torch.float32
    assert len([m for m in merged.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]) < layers
    with torch.no_grad():
        torch.testing.assert_close(merged(image()), network(image()), rtol=1e-3, atol=1e-4)


def test_the_network_itself_is_left_as_it_was() -> None:
    network = lived_in(timm.create_model("repvgg_a0", num_classes=5))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert reparameterized(network, image()) is not network
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_network_without_branches_comes_back_itself() -> None:
    network = timm.create_model("mobilenetv3_small_050", num_classes=5)
    assert mergeable(network) == ()
    assert reparameterized(network, image()) is network


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x

    def fuse(self) -> nn.Module:
        """Forgets the factor."""
        return nn.Identity()


class Refusing(Doubling):
    def fuse(self) -> nn.Module:
        raise RuntimeError("no kernel of this size")


def test_a_merge_that_changes_the_outputs_is_refused() -> None:
    with pytest.raises(InvalidRun, match=r"layer '0' changes .* agree to 6\.0 dB, at least 90 dB"):
        reparameterized(nn.Sequential(Doubling()), image())


def test_a_merge_that_fails_names_the_layer_and_the_reason() -> None:
    with pytest.raises(InvalidRun, match=r"layer '0' and 1 more cannot .* no kernel of this size"):
        reparameterized(nn.Sequential(Refusing(), Refusing()), image())
