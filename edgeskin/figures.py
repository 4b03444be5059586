"""Figures of a model on labelled images, as documents; no numpy, so that manifests stay light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_serializer, model_validator

from edgeskin.document import Document
from edgeskin.estimate import Estimate

_TABLE = "_per_class"


class MetricEstimate(Estimate):
    """A task metric on labelled images: value and 95 % interval, in `unit`."""

    unit: str


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
