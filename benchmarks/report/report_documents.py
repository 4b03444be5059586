"""The report as a document: what the page, the tables and the gates show."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from edgeskin.benchmarks.report.budget import Budget
from edgeskin.document import Document
from edgeskin.evaluation import MetricChange

Verdict = Literal["ship", "look", "stop"]
State = Literal["held", "unsure", "missed", "not measured"]


class Check(Document):
    """One limit against what was measured.

    Attributes:
        limit: Its name in `edgeskin.toml`.
        metric: The task metric that it is of; None of limits that are of none.
        allowed: What it allows, in `unit`.
        value: What was measured, in `unit`; None where nothing was.
        low, high: The 95 % interval of `value`; None where it has none.
        state: "missed" where the value is over the limit, "unsure" where the value is within it
            and its interval is not.
        line: All of that in a sentence.
    """

    limit: str
    allowed: float
    unit: str
    value: float | None
    low: float | None = None
    high: float | None = None
    state: State
    line: str
    metric: str | None = None


class Times(Document):
    """Milliseconds on the device: of loading, of the inference alone, and of a whole query."""

    load_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    whole_p50_ms: float
    whole_p90_ms: float | None


class WorstGroup(Document):
    """The group of images that a metric is worst in."""

    by: str
    metric: str
    group: str
    images: int
    change: MetricChange


class Row(Document):
    """One result, as a line of the first table.

    Attributes:
        number: From 1, in the order of the page; the page's links and pictures name it.
        target: The format of the file; of a pipeline "pipeline".
        device: As in "adb:SERIAL".
        title: Of the device, for a person.
        engine: The runtime, its version and its accelerator.
        accelerator: As `bench` names it; "none" and "xnnpack" are the CPU.
        images: Of the pack.
        measured_at: By the clock of the machine that drove the device; None of results of earlier
            versions.
        times: None where `no_times` says why there are none.
        taken: Operators that the accelerator, or XNNPACK on the CPU, took, of how many; None where
            the runtime does not say.
        metric: The metric that its check is of, else the one that lost most; None without labels.
        sqnr_db: Of the output that agrees least with the float model.
        equal_decisions: The least share over the heads; None where nothing is decided.
        doubts: Why figures may be wrong, a sentence each.
        reason: Of the verdict, in a sentence.
    """

    number: int
    model: str
    file: str
    sha256: str
    target: str
    precision: str
    device: str
    title: str
    engine: str
    accelerator: str
    pack: str
    images: int
    measured_at: datetime | None = None
    size_mb: float
    times: Times | None
    no_times: str | None = None
    memory_mb: float | None = None
    taken: tuple[int, int] | None = None
    metric: str | None
    metrics: dict[str, MetricChange]
    worst_groups: tuple[WorstGroup, ...] = ()
    sqnr_db: float
    equal_decisions: float | None
    doubts: tuple[str, ...]
    checks: tuple[Check, ...]
    verdict: Verdict
    reason: str


class ModelReport(Document):
    """All rows of one model; the verdict is the worst of them."""

    model: str
    verdict: Verdict
    reason: str
    rows: tuple[Row, ...]


class Report(Document):
    """Everything of the page but its pictures.

    Attributes:
        remarks: What is odd about the limits, a sentence each.
    """

    version: Literal[1] = 1
    edgeskin: str
    budget: Budget
    models: tuple[ModelReport, ...]
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of the models'."""
        return worst(model.verdict for model in self.models)

    @property
    def counted(self) -> str:
        """How many results there are, as "1 result" or "12 results"."""
        count = sum(len(model.rows) for model in self.models)
        return f"{count} result{'' if count == 1 else 's'}"


ORDER: tuple[Verdict, ...] = ("ship", "look", "stop")
"""From the best."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some verdicts."""
    return max(verdicts, key=ORDER.index)
