"""A backbone of timm with the heads that a spec asks for, each one linear layer."""

from __future__ import annotations

from typing import Any, cast

import timm
from torch import Tensor, nn

from edgeskin.errors import UnknownName
from edgeskin.models import Arch
from edgeskin.models.checked_arguments import Share, checked
from edgeskin.models.pretrained import load_pretrained
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    Head,
    RegressionHead,
    Spec,
    TensorHead,
)


class MultiHead(nn.Module):
    """A backbone's pooled features, dropout, and one linear layer a head."""

    def __init__(self, backbone: nn.Module, features: int, sizes: tuple[int, ...], dropout: float):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(features, size) for size in sizes)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.dropout(self.backbone(x))
        return tuple(head(features) for head in self.heads)


@checked
def backbone_with_heads(
    arch: Arch,
    spec: Spec,
    pretrained: bool,
    /,
    *,
    dropout: Share = 0.2,
    path_dropout: Share = 0.1,
) -> nn.Module:
    """The backbone `arch.timm_name`, for images of the spec's size.

    Args:
        dropout: Share of the features that are dropped in front of the heads.
        path_dropout: Share of the images for which the last residual branch is left out
            (stochastic depth, Huang et al., ECCV 2016); less, the earlier the branch.
    """
    size: dict[str, Any] = {"img_size": (spec.input.height, spec.input.width)} if arch.sized else {}
    backbone = timm.create_model(
        arch.timm_name,
        pretrained=False,
        num_classes=0,
        drop_path_rate=path_dropout,
        **size,
        **arch.options,
    )
    if pretrained:
        load_pretrained(backbone, arch)
    features = int(cast(Any, backbone).head_hidden_size)
    return MultiHead(backbone, features, raw_sizes(spec), dropout)


def raw_sizes(spec: Spec) -> tuple[int, ...]:
    """How many values each head takes from its linear layer.

    Raises:
        UnknownName: A head of a kind that no linear layer gives.
    """
    return tuple(_raw_size(head) for head in spec.heads)


def _raw_size(head: Head) -> int:
    match head:
        case ClassificationHead():
            return len(head.labels)
        case DistributionHead() | EmbeddingHead():
            return head.size
        case RegressionHead():
            return 1
        case TensorHead(shape=(size,)):
            return size
    raise UnknownName(f"a backbone with linear heads cannot give a {head.kind} head")
