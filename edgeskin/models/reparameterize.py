"""Networks whose layers are trained as several branches, and run as one.

RepVGG, MobileOne, FastViT and RepViT train a layer as a sum of convolutions, batch
norms and the identity, which together are one convolution. The sum has to be merged
before quantization: each branch would get scales of its own and cost a pass over the
tensor, for nothing. timm's classes bring the merge; here it is applied and checked.
"""

from __future__ import annotations

import numpy as np
import torch
from timm.models import reparameterize_model
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from edgeskin.errors import InvalidRun
from edgeskin.metrics import sqnr_db

LEAST_DB = 90.0
"""A merge is another order of the same sums: float32 rounding leaves 100 dB and more."""

_MERGES = ("fuse", "reparameterize", "switch_to_deploy")
"""The methods by which a layer of timm merges its branches."""


def mergeable(network: nn.Module) -> tuple[str, ...]:
    """The paths of the layers of `network` that know how to merge their branches.

    A layer inside another that merges is not named. Empty for most networks.
    """
    found: list[str] = []
    for path, module in network.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if path and not inside and _can_merge(module):
            found.append(path)
    return tuple(found)


def reparameterized(network: nn.Module, example: Tensor) -> nn.Module:
    """A copy of `network` with merged branches; `network` itself where it has none.

    Args:
        network: With the weights it is to run with, which decide what the merged ones are;
            put in eval mode. `mergeable(network)` names the layers concerned.
        example: An input, float32; noise of its shape is tried as well.

    Raises:
        InvalidRun: A layer cannot be merged, or the copy computes something else.
    """
    network.eval()
    paths = mergeable(network)
    if not paths:
        return network
    try:
        with torch.no_grad():
            merged = reparameterize_model(network).eval()
    except Exception as error:  # the network's own code, which may raise anything
        raise InvalidRun(
            f"the branches of {_listed(paths)} cannot be merged: {type(error).__name__}: {error}. "
            "Import the network without merging them."
        ) from error
    _check(network, merged, example, paths)
    return merged


def _can_merge(module: nn.Module) -> bool:
    return any(callable(getattr(module, name, None)) for name in _MERGES)


def _check(network: nn.Module, merged: nn.Module, example: Tensor, paths: tuple[str, ...]) -> None:
    noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
    for x in (example, noise.to(example.dtype)):
        least = min(map(sqnr_db, _outputs(network, x), _outputs(merged, x)))
        if not least >= LEAST_DB:
            raise InvalidRun(
                f"merging the branches of {_listed(paths)} changes what the network computes: "
                f"outputs agree to {least:.1f} dB, at least {LEAST_DB:.0f} dB are expected. "
                "Import the network without merging them."
            )


@torch.no_grad()
def _outputs(network: nn.Module, x: Tensor) -> list[np.ndarray]:
    leaves = tree_leaves(network(x))
    return [leaf.numpy() for leaf in leaves if isinstance(leaf, Tensor)]


def _listed(paths: tuple[str, ...]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"layer '{paths[0]}'{more}"
