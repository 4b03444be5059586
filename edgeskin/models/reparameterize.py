"""Networks whose layers are trained as several branches, and run as one.

RepVGG, MobileOne, FastViT and RepViT train a layer as a sum of convolutions, batch
norms and the identity, which together are one convolution. The sum has to be merged
before quantization: each branch would get scales of its own and cost a pass over the
tensor, for nothing. timm's classes bring the merge; here it is applied and checked.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from timm.models import reparameterize_model
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from edgeskin.errors import InvalidRun
from edgeskin.metrics import sqnr_db

LEAST_DB = 90.0
"""A merge is another order of the same sums, compared in float64: 250 dB are usual."""

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

    Merged and compared in float64: a network whose float32 rounding alone leaves 85 dB
    would be refused otherwise, and a mistake in the merge would hide behind rounding.

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
        with torch.no_grad(), _new_layers_in_double():
            exact = copy.deepcopy(network).double()
            merged = reparameterize_model(exact).eval()
    except Exception as error:  # the network's own code, which may raise anything
        raise InvalidRun(
            f"the branches of {_listed(paths)} cannot be merged: {type(error).__name__}: {error}. "
            "Import the network without merging them."
        ) from error
    _check(exact, merged, example.double(), paths)
    return merged.float()


@contextmanager
def _new_layers_in_double() -> Iterator[None]:
    """Give the layers that a merge makes float64 weights, as those that it takes have."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _can_merge(module: nn.Module) -> bool:
    return any(callable(getattr(module, name, None)) for name in _MERGES)


def _check(network: nn.Module, merged: nn.Module, example: Tensor, paths: tuple[str, ...]) -> None:
    noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
    for x in (example, noise.double()):
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
