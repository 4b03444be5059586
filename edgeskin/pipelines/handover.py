"""Many images from the first stage to the last: which pictures, of which image, and what is said.

For everything that measures: a set of images is run by the first stage, handed over, run by the
last one, and the last one's answers come back as a row an image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.pipelines.joins import Pixels, join_image
from edgeskin.pipelines.pipeline_spec import ANSWERED, Join
from edgeskin.postprocess import Outputs
from edgeskin.preprocess import preprocess
from edgeskin.progress import Progress, silent
from edgeskin.spec import Spec


@dataclass(frozen=True, eq=False)
class Handover:
    """What the last stage gets of N images: M pictures, in the order of the images.

    Attributes:
        statuses: One an image.
        owner: Which image each picture is of, int64 (M,), not falling.
        pixels: Preprocessed for the last stage, uint8 (M, height, width, 3).
    """

    statuses: tuple[str, ...]
    owner: NDArray[np.int64]
    pixels: Pixels

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which images have an answer, bool (N,)."""
        return np.array([status == ANSWERED for status in self.statuses], np.bool_)

    @property
    def counts(self) -> dict[str, int]:
        """Images by status, the answered first."""
        return count_statuses(self.statuses)

    def answers(self, outputs: Outputs, of: NDArray[np.bool_] | None = None) -> Outputs:
        """A row for each answered image, in their order: the mean of its pictures' rows.

        Args:
            outputs: The last stage's decoded outputs, M along the first axis.
            of: Only of these images, bool (N,), all answered.
        """
        wanted = self.answered if of is None else of
        return {
            name: mean_by(self.owner, rows)[wanted[self.answered]] for name, rows in outputs.items()
        }


def count_statuses(statuses: Iterable[str]) -> dict[str, int]:
    """Images by status: the answered first, even where there are none."""
    return {ANSWERED: 0} | dict(Counter(statuses))


def equal_statuses(before: Sequence[str], after: Sequence[str]) -> float:
    """The share of images that have the same status, 0 to 1."""
    return float(np.mean([a == b for a, b in zip(before, after, strict=True)]))


def mean_by(owner: NDArray[np.int64], rows: NDArray[np.generic]) -> NDArray[np.generic]:
    """The mean of the rows of each owner, in rising order; a row alone stays what it is."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    if len(starts) == len(rows):
        return rows
    counts = np.diff(starts, append=len(rows)).reshape(-1, *[1] * (rows.ndim - 1))
    return (np.add.reduceat(rows.astype(np.float64), starts, axis=0) / counts).astype(rows.dtype)


def hand_over(
    join: Join,
    specs: tuple[Spec, Spec],
    images: Iterable[Callable[[], Pixels]],
    outputs: Outputs,
    progress: Progress = silent,
) -> Handover:
    """Join every image.

    Args:
        specs: Of the first and the last stage.
        images: Each gives one as decoded, uint8 (H, W, 3), when it is called.
        outputs: The first stage's decoded outputs, N along the first axis.
    """
    first, last = specs
    readers = list(images)

    def one(i: int) -> tuple[str, list[Pixels]]:
        row = {name: values[i : i + 1] for name, values in outputs.items()}
        joined = join_image(join, first, row, readers[i]())
        return joined.status, [preprocess(picture, last.input) for picture in joined.pictures]

    statuses, pixels, owner = [], [], []
    with ThreadPoolExecutor() as pool:
        for i, (status, pictures) in enumerate(pool.map(one, range(len(readers)))):
            statuses.append(status)
            pixels += pictures
            owner += [i] * len(pictures)
            progress("joining the stages", i + 1, len(readers))
    shape = (len(pixels), last.input.height, last.input.width, 3)
    return Handover(
        statuses=tuple(statuses),
        owner=np.array(owner, np.int64),
        pixels=np.stack(pixels) if pixels else np.empty(shape, np.uint8),
    )
