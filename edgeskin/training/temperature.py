"""A temperature for distributions, so that a predicted spread can be believed.

The logits of a head are divided by the one number under which images that were not trained on are
likeliest (Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017).
It goes into the head's own weights: every format carries it, at no cost.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from edgeskin.data.dataset import Dataset
from edgeskin.errors import InvalidRun
from edgeskin.models.app_model import AppModel
from edgeskin.postprocess import support
from edgeskin.spec import DistributionHead, Spec
from edgeskin.tasks.losses import interval_loss

BATCH = 32
STEPS = 100


def fit_temperature(spec: Spec, network: nn.Module, held_out: Dataset) -> dict[str, float]:
    """Divide the logits of each labelled distribution by its temperature, in place.

    Args:
        network: In eval mode; its linear heads are `network.heads`, as in `MultiHead`.

    Returns:
        The temperatures, by head.

    Raises:
        InvalidRun: The network has no such heads.
    """
    labels = held_out.labels(spec)
    raw = _logits(spec, network, held_out)
    temperatures = {}
    for i, head in enumerate(spec.heads):
        if not isinstance(head, DistributionHead) or head.name not in labels:
            continue
        truth = torch.from_numpy(labels[head.name]).float()
        ends = truth if truth.ndim == 2 else torch.stack([truth, truth], dim=1)
        temperatures[head.name] = _best(raw[i], torch.from_numpy(support(head)), ends)
        _divide(spec, network, i, temperatures[head.name])
    return temperatures


@torch.no_grad()
def _logits(spec: Spec, network: nn.Module, data: Dataset) -> list[Tensor]:
    normalize = AppModel(nn.Identity(), spec).normalize
    pixels = torch.from_numpy(data.pixels(spec.input))
    parts = [network(normalize(batch)) for batch in pixels.split(BATCH)]
    return [torch.cat(head).float() for head in zip(*parts, strict=True)]


def _best(logits: Tensor, values: Tensor, ends: Tensor) -> float:
    """The temperature of the largest likelihood of the labels, by L-BFGS on its logarithm."""
    log_temperature = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        log_mass = (logits / log_temperature.exp()).log_softmax(dim=1)
        loss = interval_loss(log_mass, values, ends[:, 0], ends[:, 1]).mean()
        loss.backward()
        return loss

    optimizer.step(cast(Any, closure))
    return float(log_temperature.detach().exp())


def _divide(spec: Spec, network: nn.Module, index: int, temperature: float) -> None:
    heads = getattr(network, "heads", None)
    if not isinstance(heads, nn.ModuleList) or not isinstance(heads[index], nn.Linear):
        raise InvalidRun(f"{spec.arch} has no linear heads, into which a temperature could go")
    linear = cast(nn.Linear, heads[index])
    with torch.no_grad():
        linear.weight /= temperature
        linear.bias /= temperature
