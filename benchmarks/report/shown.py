"""A result as the pictures take it: its row, its samples, and, of a pack at hand, its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.report_documents import ORDER, Report, Row
from edgeskin.benchmarks.result import BenchResult, Latency, PipelineResult
from edgeskin.measured import read_measured
from edgeskin.postprocess import Outputs


@dataclass(frozen=True)
class Shown:
    """One result.

    Attributes:
        pack: That it was measured on; None where it was not named.
    """

    row: Row
    found: Found
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
        return ", ".join(dict.fromkeys(doubt.partition(":")[0] for doubt in self.row.doubts))

    def outputs(self) -> Outputs | None:
        """Decoded outputs, a row an image of the pack; None where they or the pack are not here.

        Raises:
            InvalidResult: The file beside the result is damaged, or of other images.
        """
        path = self.found.path
        if self.pack is None or isinstance(self.result, PipelineResult):
            return None
        if not path.with_suffix(".npz").is_file():
            return None
        return read_measured(path).outputs


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
            (Shown(row, found[row.number - 1], packs.get(row.pack)) for row in model.rows),
            key=lambda one: (-ORDER.index(one.row.verdict), one.row.number),
        )
        for model in report.models
    }
