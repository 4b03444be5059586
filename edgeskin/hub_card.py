"""A card as Hugging Face's Hub takes it: front matter of YAML, by the Hub's own classes, offline.

The Hub reads a licence, tags, data sets and metrics by names of its own. What has none there is
said in words and not guessed: a licence that is no identifier of the Hub is `other`, with the words
in the card, and only data sets that the caller names are linked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeskin.errors import InvalidResult, MissingPackage
from edgeskin.model_card import Card, Verified
from edgeskin.spec import ClassificationHead, EmbeddingHead, SegmentationHead, Spec

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

LICENSES = (
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "bsl-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0",
    "epl-2.0", "eupl-1.2", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0",
    "ms-pl", "ncsa", "odbl", "ofl-1.1", "osl-3.0", "pddl", "unlicense", "wtfpl", "zlib",
)  # fmt: skip
"""Identifiers of the Hub (huggingface.co/docs/hub/repositories-licenses) that SPDX has as well."""

_METRICS = (  # the end of our name, the Hub's: the longest first
    ("_balanced_accuracy", "balanced_accuracy"),
    ("_mean_auroc", "roc_auc"),
    ("_accuracy", "accuracy"),
    ("_auroc", "roc_auc"),
    ("_rmse", "rmse"),
    ("_mae", "mae"),
    ("_f1", "f1"),
    ("_dice", "dice"),
    ("_iou", "iou"),
)
_TASKS = {
    SegmentationHead: "image-segmentation",
    ClassificationHead: "image-classification",
    EmbeddingHead: "image-feature-extraction",
}


@dataclass(frozen=True)
class Measured:
    """A metric of a file on a data set.

    Attributes:
        of: The file, and the device where it was one.
        data: The data set's name; `split` of it, where there is one.
    """

    metric: str
    value: float
    of: str
    data: str
    split: str | None = None


def hub_card(
    card: Card,
    *,
    more: Sequence[str] = (),
    measured: Iterable[Measured] = (),
    datasets: Sequence[str] = (),
) -> str:
    """The card as a `README.md` of the Hub.

    Args:
        more: Blocks of the card besides its own.
        measured: Figures besides those of the manifest.
        datasets: Identifiers of the Hub, of what it was trained on.

    Raises:
        MissingPackage: huggingface_hub.
    """
    try:
        from huggingface_hub import ModelCardData
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"{error.name} is not installed, which makes the Hub's metadata: "
            "pip install 'edgeskin[report]'"
        ) from error
    results = list(_results(card, [*verified(card), *measured]))
    task = _task(card.specs[-1])
    data = ModelCardData(
        license=_license(card.license),
        license_name=None if _license(card.license) != "other" else "as-stated-in-the-card",
        library_name="edgeskin",
        pipeline_tag=task,
        tags=list(_tags(card)),
        datasets=list(datasets) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=card.name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{card.markdown(*more)}"


def verified(card: Card) -> Iterator[Measured]:
    """What `verify` found of each file of a card, in its manifest."""
    for name, entry in card.files.items():
        for where, document in (entry.verification or {}).items():
            try:
                found = Verified.from_json(document)
            except InvalidResult:  # of another edgeskin
                continue
            data, _, split = where.rpartition("/")
            for metric, change in found.metrics.items():
                yield Measured(metric, change.candidate, name, data, split)


def _results(card: Card, measured: Iterable[Measured]) -> Iterator[EvalResult]:
    """Values that are no number are left out: the metadata are JSON on the Hub."""
    from huggingface_hub import EvalResult

    task = _task(card.specs[-1]) or "other"
    for one in measured:
        if math.isfinite(one.value):
            yield EvalResult(
                task_type=task,
                dataset_type=_slug(one.data),
                dataset_name=one.data,
                dataset_split=one.split,
                metric_type=hub_metric(one.metric),
                metric_name=f"{one.metric}, {one.of}",
                metric_value=one.value,
            )


def hub_metric(name: str) -> str:
    """The Hub's word for one of our metrics; its own name where there is none."""
    return next((theirs for end, theirs in _METRICS if name.endswith(end)), name)


def _license(text: str) -> str:
    """The Hub's identifier where the words are one and nothing else."""
    return text.strip().lower() if text.strip().lower() in LICENSES else "other"


def _task(spec: Spec) -> str | None:
    """By what the model says first that the Hub has a word for."""
    return next((_TASKS[type(head)] for head in spec.heads if type(head) in _TASKS), None)


def _tags(card: Card) -> Iterator[str]:
    yield from ("edgeskin", _slug(card.task))
    for entry in card.files.values():
        yield from filter(None, (entry.target, entry.precision))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "data"
