"""What changed between two releases, as a document: pairs, figures, gates and a verdict."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeskin.benchmarks.report.report_documents import Check
from edgeskin.document import Document
from edgeskin.evaluation import PairedTest

Basis = Literal["exact", "images", "samples", "unpaired", "one value"]
Outcome = Literal["held", "unsure", "missed"]
LEVEL = 0.05
"""A change is called real where its corrected p is at most this; see `release_gates`."""


class Gates(Document):
    """What a new release may be worse than the old one; None: as much as it likes.

    Attributes:
        max_slowdown: Of the median inference and of the 90th percentile of a whole query, in
            percent of the old one.
        max_drop: Of each metric that is a ratio, in points.
        max_mae_rise: Of each other metric, in its unit.
        max_growth: Of the file, in percent of the old one's bytes.
        max_group_gap: Of the gap between the best and the worst group, in points.
        max_load_rise: Of the time to load, in percent of the old one.
        max_memory_rise: Of the peak memory, in percent of the old one.
    """

    max_slowdown: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_drop: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_mae_rise: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_growth: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_group_gap: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_load_rise: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_memory_rise: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Change(Document):
    """One figure of a pair.

    Attributes:
        figure: As in the report and its tables: "p50_ms", "severity_accuracy".
        old, new: In `unit`.
        change: New minus old, in `change_unit`: "%" of the old value, "points" of a ratio, or
            `unit`.
        interval: Its 95 % interval; None where one value stands against one.
        loss: By how much the new one is worse, in `change_unit`; below 0 it is better.
        loss_interval: The 95 % interval of `loss`; of a time to load, which is one value, the least
            and the largest rise of a first load and of later ones.
        basis: What the interval is of: of nothing, both figures being "exact"; of the pack's
            "images", paired; of "samples" of two runs; "unpaired" of two changes against the same
            float model, added at their widest; or "one value": none is known.
        method: How the interval was had, for a person.
        images: How many the figure is of, where it is of images.
        test: Whether the change is noise; None where nothing can be tested.
        corrected_p: Of the test, by Holm's procedure over all tests of the comparison.
        doubt: Why the figure decides nothing, whatever the test says: the device was busy.
        gate: The outcome, where one is held against this figure.
    """

    figure: str
    unit: str
    old: float
    new: float
    change: float
    change_unit: str
    interval: tuple[float, float] | None
    loss: float
    loss_interval: tuple[float, float] | None
    basis: Basis
    method: str = ""
    images: int | None = None
    test: PairedTest | None = None
    corrected_p: float | None = None
    doubt: str | None = None
    gate: Check | None = None

    @property
    def real(self) -> bool:
        """Whether the change is more than noise: see `release_gates`."""
        if self.basis == "exact":
            return self.change != 0
        if self.interval is None or self.doubt is not None:
            return False
        apart = not self.interval[0] <= 0.0 <= self.interval[1]
        if self.basis == "unpaired":
            return apart
        tested = self.corrected_p is not None and self.corrected_p <= LEVEL
        return tested and (apart or self.basis == "images")


class PairedResults(Document):
    """One file on one device, old and new.

    Attributes:
        file: Of the new result; `old_file` where the old one was called otherwise.
        old_result, new_result: The files of the results, from the paths that were named.
        accelerator: With its threads where there are several.
        same_file: Both are results of the very same bytes.
        equal_outputs: Whether all outputs are the same to the bit; None where they are not there.
        equal_decisions: The share of images, or of pixels, that both decide alike, by head.
        budget: The new result against `edgeskin.toml`.
        findings: What a person should look at, beside the gates.
        remarks: What else differs between the two, and the new one's doubts.
    """

    model: str
    file: str
    old_file: str | None = None
    target: str
    precision: str
    device: str
    accelerator: str
    old_result: str
    new_result: str
    same_file: bool
    equal_outputs: bool | None
    equal_decisions: dict[str, float]
    changes: tuple[Change, ...]
    budget: tuple[Check, ...] = ()
    findings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """File, device and accelerator."""
        engine = "" if self.accelerator == "none" else f", {self.accelerator}"
        return f"{self.file} on {self.device}{engine}"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Of the gates, then of the budget."""
        return (*(c.gate for c in self.changes if c.gate is not None), *self.budget)


class Unpaired(Document):
    """A result that nothing on the other side belongs to."""

    side: Literal["old", "new"]
    result: str
    file: str
    device: str
    why: str


class Reason(Document):
    """One thing that is missed, or not known.

    Attributes:
        rule: A name of `release_gates.RULES`.
        title: What it is of: a file on a device; empty of the comparison as a whole.
        result: The file of the new result; empty where there is none.
        figure: Empty where it is of none.
        line: In a sentence, without the title.
    """

    rule: str
    title: str = ""
    result: str = ""
    figure: str = ""
    line: str

    def __str__(self) -> str:
        return f"{self.title}: {self.line}" if self.title else self.line


class Comparison(Document):
    """Two releases side by side.

    Attributes:
        gates: As asked for; `budget` is where limits are from, None where none were asked for.
        strict: What is not known counts as missed.
        tests: How many tests `corrected_p` is corrected for.
        verdict: "missed" where something is, or, `strict`, is not known; else "unsure" where
            something is not known.
        missed, unsure: Why.
    """

    version: Literal[1] = 1
    edgeskin: str
    gates: Gates
    budget: str | None = None
    strict: bool
    pairs: tuple[PairedResults, ...]
    unpaired: tuple[Unpaired, ...]
    tests: int
    verdict: Outcome
    missed: tuple[Reason, ...]
    unsure: tuple[Reason, ...]

    @property
    def asked(self) -> bool:
        """Whether there is any gate or budget."""
        return self.budget is not None or bool(self.gates.to_json())
