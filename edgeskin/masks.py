"""Masks at other sizes than they were drawn at."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Level = TypeVar("Level", bound=np.generic)


def resized(masks: NDArray[Level], height: int, width: int) -> NDArray[Level]:
    """Masks (N, H, W, ...) at another size: each pixel has the level under its middle."""
    rows, columns = (
        (2 * np.arange(to) + 1) * of // (2 * to)
        for of, to in zip(masks.shape[1:3], (height, width), strict=True)
    )
    return masks[:, rows[:, None], columns[None, :]]
