"""Images held out of a train split: a tenth of it, or each fold of a cross-validation in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgeskin.data.dataset import Dataset
from edgeskin.data.splits import named_group
from edgeskin.errors import InvalidData

TENTH = 10


def without_a_tenth(train: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """What is left of a split, and a tenth of its images, at least one, drawn at random."""
    held_out = train.take(max(1, len(train) // TENTH), seed)
    taken = {row["file"] for row in held_out.rows}
    kept = tuple(row for row in train.rows if row["file"] not in taken)
    return replace(train, rows=kept), held_out


def folds(
    data: Dataset, classes: np.ndarray, count: int, seed: int
) -> Iterator[tuple[Dataset, Dataset]]:
    """`count` times what is trained on, and what is held out: each image is held out once.

    The classes are spread evenly (scikit-learn's StratifiedGroupKFold), and the images of a
    person or lesion stay together where a column names them.

    Args:
        classes: Of each image, (N,): a class index, or the bin of a quantity.

    Raises:
        InvalidData: Fewer groups of images than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    column = named_group(data.rows)
    groups = [row[column] if column else row["file"] for row in data.rows]
    if len(set(groups)) < count:
        raise InvalidData(
            f"{data.where}: {len(set(groups))} groups of images cannot make {count} folds"
        )
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for kept, held in splitter.split(np.zeros(len(data)), classes, groups):
        yield _rows(data, kept, "train"), _rows(data, held, "test")


def _rows(data: Dataset, chosen: np.ndarray, split: str) -> Dataset:
    return replace(data, rows=tuple(data.rows[i] for i in chosen), split=split)
