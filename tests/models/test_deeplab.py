"""DeepLabV3+: logits of the input's size, made of every part."""

import pytest
import torch

from edgeskin.models.deeplab import DeepLabV3Plus


@pytest.mark.parametrize(("height", "width"), [(64, 96), (224, 224)])
def test_logits_have_the_input_s_size(height: int, width: int) -> None:
    network = DeepLabV3Plus(classes=3, width=32, low_level=8).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, height, width)).shape == (2, 3, height, width)


def test_every_weight_takes_part() -> None:
    torch.manual_seed(0)
    network = DeepLabV3Plus(classes=2, width=16, low_level=8).train()
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_the_pyramid_sees_as_far_as_its_widest_rate() -> None:
    """An impulse in the features reaches 9 pixels by the atrous branches, not further."""
    torch.manual_seed(0)
    pyramid = DeepLabV3Plus(classes=2, width=16, low_level=8).pyramid.eval()
    still = torch.zeros(1, 320, 25, 25)
    impulse = still.clone()
    impulse[..., 12, 12] = 1.0
    with torch.no_grad():
        reached = torch.cat([b(impulse) - b(still) for b in pyramid.atrous], 1).abs().sum(1)[0] > 0
    rows = torch.nonzero(reached)[:, 0]
    assert (rows.min().item(), rows.max().item()) == (12 - 9, 12 + 9)
