"""A result as the pictures take it: its row, its samples, and, of a pack at hand, its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.answers import Answers, answers_of, has_outputs
from edgeskin.benchmarks.report.budget import Limits
from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.report_documents import ORDER, Report, Row
from edgeskin.benchmarks.report.result_cells import doubt_names
from edgeskin.benchmarks.result import BenchResult, Latency


@dataclass(frozen=True)
class Shown:
    """One result.

    Attributes:
        limits: What holds on its device.
        pack: That it was measured on; None where it was not named.
    """

    row: Row
    found: Found
    limits: Limits
    pack: Pack | None

    @property
    def result(self) -> BenchResult:
        return self.found.result

    @property
    def name(self) -> str:
        """How charts call it: its number leads to the table."""
        return f"{self.row.number}: {self.row.precision} {self.row.target}, {self.row.device}"

    @property
    def latency(self) -> Latency | None:
        """Of a device that has times, which an emulated one has not."""
        return None if self.row.times is None else self.result.latency

    @property
    def doubts(self) -> str:
        """What speaks against its times, in a word each."""
        return ", ".join(doubt_names(self.row))

    @cached_property
    def has_answers(self) -> bool:
        """Whether its outputs and its pack are here."""
        return self.pack is not None and has_outputs(self.found)

    def answers(self) -> Answers | None:
        """What it says of each image; None where its outputs or the pack are not here.

        Raises:
            InvalidResult: The file beside the result is damaged, or of other images.
        """
        if self.pack is None or not self.has_answers:
            return None
        return answers_of(self.found, self.pack)


def shown_by_model(
    report: Report, found: Sequence[Found], packs: Mapping[str, Pack]
) -> dict[str, list[Shown]]:
    """The results of each model, what is decided worst first: pictures show the first of them.

    Args:
        found: What the report is on, in the same order.
        packs: By identity.
    """
    return {
        model.model: sorted(
            (
                Shown(row, found[row.number - 1], report.budget.on(row.device), packs.get(row.pack))
                for row in model.rows
            ),
            key=lambda one: (-ORDER.index(one.row.verdict), one.row.number),
        )
        for model in report.models
    }
