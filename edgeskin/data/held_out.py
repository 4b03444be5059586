"""Images held out of a train split: a tenth of it, or each fold of a cross-validation in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgeskin.data.dataset import Dataset
from edgeskin.data.splits import group_of, named_group
from edgeskin.errors import InvalidData

TENTH = 10


def without_a_tenth(train: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """What is left of a split, and some tenth of its images, drawn at random.

    Whole groups are drawn, the images of a person or lesion, until they are a tenth; one group
    at least is left.
    """
    groups = _groups(train)
    sizes = Counter(groups)
    names = np.random.default_rng(seed).permutation(sorted(sizes))[:-1]
    before = np.cumsum([0, *(sizes[name] for name in names)])[:-1]  # images drawn until then
    drawn = set(names[before < max(1, len(train) // TENTH)])
    held = np.array([group in drawn for group in groups])
    if not held.any():
        raise InvalidData(f"{train.where} has one group of images: none can be held out")
    return _rows(train, np.flatnonzero(~held), "train"), _rows(train, np.flatnonzero(held), "train")


def _groups(data: Dataset) -> list[str]:
    column = named_group(data.rows)
    return [group_of(row, column) for row in data.rows]


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

    groups = _groups(data)
    if len(set(groups)) < count:
        raise InvalidData(
            f"{data.where}: {len(set(groups))} groups of images cannot make {count} folds"
        )
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for kept, held in splitter.split(np.zeros(len(data)), classes, groups):
        yield _rows(data, kept, "train"), _rows(data, held, "test")


def _rows(data: Dataset, chosen: np.ndarray, split: str) -> Dataset:
    return replace(data, rows=tuple(data.rows[i] for i in chosen), split=split)
