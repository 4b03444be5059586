"""Whether an imported network computes what its source computes, on the source's own runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeskin import metrics
from edgeskin.errors import InvalidRun
from edgeskin.sources.adapt import Adapted, Restored
from edgeskin.sources.source_model import SourceModel, Step


@dataclass(frozen=True)
class Agreement:
    """SQNR in dB of the output that agrees least, infinite where all are equal."""

    sqnr_db: float
    images: int


def check_agreement(
    source: SourceModel,
    adapted: Adapted,
    network: nn.Module,
    restored: Sequence[Restored],
    images: Sequence[Tensor],
) -> Agreement:
    """Hold `network`, as it will be stored, against its source.

    Args:
        adapted: Says what the source takes for an image.
        restored: By output: from the network's raw head to what the source gives.
        images: Normalised float32 (1, 3, H, W).

    Raises:
        InvalidRun: Less than the source's `least_db`; the first operator that differs is named
            where the source shows its operators.
    """
    theirs: list[list[NDArray[np.floating]]] = [[] for _ in restored]
    ours: list[list[NDArray[np.floating]]] = [[] for _ in restored]
    for image in images:
        with torch.inference_mode():
            taken, raw = adapted.taken(image).numpy(), network(image)
        for index, answer in enumerate(source.answer(taken)):
            theirs[index].append(answer)
            ours[index].append(restored[index](raw[index]))
    found = [
        metrics.sqnr_db(np.concatenate(a), np.concatenate(b).reshape(np.concatenate(a).shape))
        for a, b in zip(theirs, ours, strict=True)
    ]
    worst = int(np.argmin(found))
    if not found[worst] >= source.least_db:
        with torch.inference_mode():
            taken = adapted.taken(images[0]).numpy()
        raise InvalidRun(
            f"the imported network does not compute what {source.name} computes on "
            f"{source.runtime}: output '{source.outputs[worst].name}' agrees to "
            f"{found[worst]:.1f} dB, at least {source.least_db:.0f} dB are asked. "
            f"{_place(source, taken)}"
        )
    return Agreement(float(found[worst]), len(images))


def _place(source: SourceModel, taken: NDArray[np.floating]) -> str:
    """The first operator that differs, as a sentence."""
    if source.steps is None:
        return "Its source shows no operators by themselves, so that none can be named."
    step = _first_bad(source.steps(taken), source.least_db)
    if step is None:
        return "No single operator differs: what is lost adds up."
    return f"The first operator that differs is {step.operator}."


def _first_bad(steps: Iterable[Step], least_db: float) -> Step | None:
    for step in steps:
        if step.theirs.shape != step.ours.shape:
            return step
        if not metrics.sqnr_db(step.theirs, step.ours) >= least_db:
            return step
    return None
