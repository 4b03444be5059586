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
    pairs = [
        (np.concatenate(a), np.concatenate(b).reshape(np.concatenate(a).shape))
        for a, b in zip(theirs, ours, strict=True)
    ]
    found = [metrics.sqnr_db(a, b) for a, b in pairs]
    worst = int(np.argmin(found))
    if found[worst] >= source.least_db:
        return Agreement(float(found[worst]), len(images))
    with torch.inference_mode():
        taken = adapted.taken(images[0]).numpy()
    step = None if source.steps is None else _first_bad(source.steps(taken), source.least_db)
    if source.steps is not None and step is None:
        found = [
            _of_both_answers(a, b) if end.activation == "sigmoid" else db
            for (a, b), end, db in zip(pairs, restored, found, strict=True)
        ]
        if min(found) >= source.least_db:
            return Agreement(float(min(found)), len(images))
    raise InvalidRun(
        f"the imported network does not compute what {source.name} computes on "
        f"{source.runtime}: output '{source.outputs[worst].name}' agrees to "
        f"{found[worst]:.1f} dB, at least {source.least_db:.0f} dB are asked. "
        f"{_place(source, step)}"
    )


def _place(source: SourceModel, step: Step | None) -> str:
    """The first operator that differs, as a sentence."""
    if source.steps is None:
        return "Its source shows no operators by themselves, so that none can be named."
    if step is None:
        return "No single operator differs: what is lost adds up."
    return f"The first operator that differs is {step.operator}."


def _first_bad(steps: Iterable[Step], least_db: float) -> Step | None:
    for step in steps:
        if step.theirs.shape != step.ours.shape:
            return step
        sqnr_db = _of_both_answers if step.operator.startswith("Sigmoid ") else metrics.sqnr_db
        if not sqnr_db(step.theirs, step.ours) >= least_db:
            return step
    return None


def _of_both_answers(theirs: NDArray[np.floating], ours: NDArray[np.floating]) -> float:
    """SQNR in dB of a sigmoid's values p, and of the 1 - p that they stand for as well.

    A runtime computes p to the rounding of 1, so that all of a p near 0 may be rounding.
    """
    return metrics.sqnr_db(np.stack([theirs, 1 - theirs]), np.stack([ours, 1 - ours]))
