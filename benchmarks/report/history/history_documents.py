"""The history of results as documents: what was added, and the trend of each figure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from edgeskin.benchmarks.report.history.thresholds import ThresholdName
from edgeskin.document import Document

Better = Literal["lower", "higher"]
TrendState = Literal["usual", "worse", "better", "too few to say", "no number", "not judged"]


class Addition(Document):
    """What one `history add` wrote: a Parquet file.

    Attributes:
        file: Its name in the folder.
        at: The time it counts as of, UTC.
        label: A version or a commit; empty where none was given.
        results: How many.
        figures: Of all results together, a row each.
        without_speed: Results that have no times, and why, a line each.
    """

    version: Literal[1] = 1
    file: str
    at: datetime
    label: str
    results: int
    figures: int
    without_speed: tuple[str, ...]


class Series(Document):
    """What makes values comparable: only values of the same series are.

    Attributes:
        accelerator: With the number of threads where it is not one.
        pack: SHA-256 of the pack that was measured on.
        protocol: Of times and memory; empty for what no protocol changes.
        figure: `p50_ms`, `p90_ms`, `p99_ms` of the inference, `whole_p50_ms` and `whole_p90_ms` of
            a query, `load_ms`, `memory_mb`, `size_mb`, `sqnr_db`, `equal_decisions`; a metric by
            its name, and `NAME_loss`, by how much it is worse than the float model's.
    """

    device: str
    model: str
    target: str
    precision: str
    accelerator: str
    pack: str
    protocol: str
    figure: str

    @property
    def where(self) -> str:
        """Everything but the figure, for a person; the pack is left out."""
        return f"{self.device}, {self.model} {self.target} {self.precision}, {self.accelerator}"

    def __str__(self) -> str:
        return f"{self.where}: {self.figure}" + (f" ({self.protocol})" if self.protocol else "")


class Point(Document):
    """A value of a series; it may be NaN or infinite."""

    at: datetime
    label: str
    value: float


class LevelChange(Document):
    """A change of a series' level.

    Attributes:
        at, label: Of the first value on the new level.
        index: Of that value in the trend's points.
        before, after: The medians of the two levels, up to the changes before and after.
        p: The chance of so clear a change where none is.
        worse: Of the two directions; None where neither is worse.
    """

    at: datetime
    label: str
    index: int
    before: float
    after: float
    p: float
    worse: bool | None


class Trend(Document):
    """One series: its latest value against the ones before.

    Attributes:
        unit: Of the values; "" where they have none.
        better: Which values are; None for those that are best near a nominal one.
        addition: The file that the latest value is from.
        runs: How many earlier values, of the same level, `usual` and `noise` are of.
        usual, noise: The level and the standard deviation of a run; None for too few runs.
        threshold: The value beyond which the latest counts as worse; None as above.
        state: Of the latest value.
        changes: Of level, in order of time.
        doubts: Of the latest value's result.
        points: All values, in order of time.
    """

    series: Series
    unit: str
    better: Better | None
    addition: str
    runs: int
    usual: float | None
    noise: float | None
    threshold: float | None
    state: TrendState
    changes: tuple[LevelChange, ...]
    doubts: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def latest(self) -> Point:
        """The last of `points`."""
        return self.points[-1]

    @property
    def not_numbers(self) -> int:
        """How many values are NaN; no level and no noise is of them."""
        return sum(point.value != point.value for point in self.points)


class History(Document):
    """The trends of a folder.

    Attributes:
        additions: Files that could be read.
        damaged: Files that could not, a line each.
        latest: The files that are judged: the last addition, or those of a label.
        level, threshold: As asked.
        trends: Device by device, model by model.
        missed_gates: Why the additions in `latest` are worse than usual, a line each.
    """

    version: Literal[1] = 1
    edgeskin: str
    additions: int
    damaged: tuple[str, ...]
    latest: tuple[str, ...]
    level: float
    threshold: ThresholdName
    trends: tuple[Trend, ...]
    missed_gates: tuple[str, ...]
