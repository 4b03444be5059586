"""A network whose skin is known: what is more red than blue."""

from __future__ import annotations

import torch
from samples import acne_spec
from torch import Tensor, nn

from edgeskin.spec import InputSpec, SegmentationHead, Spec

SIZE = 32


class RedIsSkin(nn.Module):
    """Logits at half the size, (N, 2, H / 2, W / 2): the first where red is not above blue."""

    def forward(self, x: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(x, 2)
        skin = 100.0 * (small[:, :1] - small[:, 2:] - 0.05)
        return torch.cat([-skin, skin], dim=1)


def red_is_skin() -> nn.Module:
    return RedIsSkin().eval()


def skin_spec(**changes: object) -> Spec:
    """Of a softmax head with the label skin, for images squashed to 32 x 32 pixels."""
    return acne_spec(
        **{
            "name": "red-is-skin",
            "task": "skin",
            "arch": "skin_network:red_is_skin",
            "input": InputSpec(
                height=SIZE, width=SIZE, resize="squash", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
            ),
            "heads": (SegmentationHead(name="face", labels=("hair", "skin")),),
        }
        | changes
    )
