"""The images and labels of a split in a line, for people: what a model card says of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.dataset import Dataset
from edgeskin.spec import ClassificationHead, DistributionHead, Head, RegressionHead, Spec


def label_words(data: Dataset, spec: Spec) -> str:
    """How many images a split has, and which labels: classes counted, values from least to most.

    Raises:
        InvalidData: An empty or unknown label, with its image.
    """
    images = f"{len(data)} images of {data.name}, {data.split} split"
    labels = data.labels(spec)
    words = [_words(head, labels[head.name]) for head in spec.heads if head.name in labels]
    return "; ".join((images, *words))


def _words(head: Head, labels: NDArray[Any]) -> str:
    match head:
        case ClassificationHead():
            softmax = head.activation == "softmax"
            counts = np.bincount(labels, minlength=len(head.labels)) if softmax else labels.sum(0)
            named = (f"{name} {n}" for name, n in zip(head.labels, counts, strict=True))
            return f"{head.name}: {', '.join(named)}"
        case DistributionHead() | RegressionHead():
            return f"{head.name}, {head.unit}: {', '.join(_values(labels))}"
    raise AssertionError(f"a head of kind {head.kind} has no labels")


def _values(labels: NDArray[Any]) -> Iterator[str]:
    """Of values (N,), or of intervals (N, 2): those that are exact, and the others."""
    if labels.ndim == 1:
        yield f"{labels.min():g} to {labels.max():g}"
        return
    is_exact = labels[:, 0] == labels[:, 1]
    for words, some in (("exact", labels[is_exact]), ("intervals", labels[~is_exact])):
        if len(some):
            yield f"{len(some)} {words} of {some.min():g} to {some.max():g}"
