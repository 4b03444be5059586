"""Figures of a model on labelled images, as documents; no numpy, so that manifests stay light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_serializer, model_validator

from edgeskin.document import Document
from edgeskin.estimate import Estimate

_TABLE = "_per_class"


class MetricEstimate(Estimate):
    """A task metric on labelled images: value and 95 % interval, in `unit`."""

    unit: str


class MetricKind(Document):
    """The unit of a metric, and which of its values are better.

    Higher ones or lower ones; where `higher_is_better` is null, those nearer to `nominal`, which
    a value can miss on both sides.
    """

    unit: str
    higher_is_better: bool | None
    nominal: float | None = None

    @model_validator(mode="after")
    def _has_one_direction(self) -> Self:
        if (self.higher_is_better is None) == (self.nominal is None):
            raise ValueError("either higher_is_better or nominal says which values are better")
        return self

    def cost(self, value: float) -> float:
        """A value as a cost in `unit`: of two values of a metric, that of the better is smaller."""
        if self.nominal is not None:
            return abs(value - self.nominal)
        return -value if self.higher_is_better else value


class PairedTest(Document):
    """A paired test of two models on the same images; `p` is two-sided."""

    name: str
    p: float


class MetricChange(MetricKind):
    """One task metric of two models on the same images, in `unit`.

    `change` is candidate minus reference with its paired 95 % bootstrap interval; `images` are
    those with a label of it, null where a document does not say.
    """

    reference: float
    candidate: float
    change: Estimate
    images: int | None = None
    test: PairedTest | None = None

    def labelled(self, images: int) -> int:
        """Of so many images those with a label of it: all, where a document does not say."""
        return images if self.images is None else self.images

    @property
    def loss(self) -> float:
        """By how much the candidate is worse, in `unit`; below 0 where it is better."""
        return self.cost(self.candidate) - self.cost(self.reference)

    @property
    def loss_interval(self) -> tuple[float, float]:
        """The 95 % interval of `loss`, in `unit`, the reference's value taken as it is."""
        ends = [self.reference + self.change.low, self.reference + self.change.high]
        if self.nominal is not None and ends[0] <= self.nominal <= ends[1]:
            ends.append(self.nominal)
        costs = [self.cost(end) - self.cost(self.reference) for end in ends]
        return min(costs), max(costs)

    @property
    def significant(self) -> bool:
        """Whether the interval of the change excludes zero."""
        return not self.change.low <= 0.0 <= self.change.high


class PerClass(Document):
    """Precision, sensitivity, specificity and Youden index of each class or label, and their means.

    See `metrics.per_class`; NaN where a class has no cases.
    """

    precision: tuple[float, ...]
    SE: tuple[float, ...]
    SP: tuple[float, ...]
    YI: tuple[float, ...]
    mean_precision: float
    mean_SE: float  # noqa: N815
    mean_SP: float  # noqa: N815
    mean_YI: float  # noqa: N815


class Evaluation(Document):
    """What a model is worth on labelled images.

    In JSON both mappings lie beside `images`: a metric under its name ("count_mae"), the table
    of what decides under its name and `_per_class` ("severity_per_class").
    """

    images: int
    metrics: dict[str, MetricEstimate]
    per_class: dict[str, PerClass]

    @model_serializer
    def _flat(self) -> dict[str, int | MetricEstimate | PerClass]:
        tables = {f"{name}{_TABLE}": table for name, table in self.per_class.items()}
        return {"images": self.images, **self.metrics, **tables}

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, document: Any) -> Any:
        if not isinstance(document, Mapping) or "metrics" in document:
            return document
        rest = {name: part for name, part in document.items() if name != "images"}
        tables = {name: rest.pop(name) for name in list(rest) if name.endswith(_TABLE)}
        return {
            "images": document.get("images"),
            "metrics": rest,
            "per_class": {name.removesuffix(_TABLE): table for name, table in tables.items()},
        }
