"""The figures of a result that its history keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.history.history_documents import Better, Series
from edgeskin.benchmarks.report.report_documents import Row
from edgeskin.benchmarks.report.report_rows import rows_of_results
from edgeskin.benchmarks.result import BenchResult, PipelineResult
from edgeskin.errors import InvalidResult


class Value(NamedTuple):
    """One figure of one result: a row of the history's table, but for when it was added."""

    series: Series
    file: str
    sha256: str
    engine: str
    doubts: tuple[str, ...]
    unit: str
    better: Better | None
    value: float


def figures_of(found: Sequence[Found]) -> tuple[list[Row], list[Value]]:
    """The results as rows, and their figures in the same order; NaN ones too.

    Raises:
        InvalidResult: Two different files would be one series.
    """
    rows = rows_of_results(found)
    values = [v for row, one in zip(rows, found, strict=True) for v in _values(row, one.result)]
    _refuse_mixed(values)
    return rows, values


def _values(row: Row, result: BenchResult) -> Iterator[Value]:
    protocol = _protocol(result)
    for figure, unit, better, value in (*_spent(row), *_answered(row)):
        series = Series(
            device=row.device,
            model=row.model,
            target=row.target,
            precision=row.precision,
            accelerator=result.engine.placed,
            pack=row.pack,
            protocol=protocol if figure in _TIMED else "",
            figure=figure,
        )
        yield Value(series, row.file, row.sha256, row.engine, row.doubts, unit, better, value)


_Figure = tuple[str, str, Better | None, float]
_TIMES = ("load_ms", "p50_ms", "p90_ms", "p99_ms", "whole_p50_ms", "whole_p90_ms")
_TIMED = (*_TIMES, "memory_mb")


def _spent(row: Row) -> Iterator[_Figure]:
    """Times, memory and size; an emulated device has a size alone."""
    yield "size_mb", "MB", "lower", row.size_mb
    if row.times is None:
        return
    for name in _TIMES:
        if (value := getattr(row.times, name)) is not None:
            yield name, "ms", "lower", value
    if row.memory_mb is not None:
        yield "memory_mb", "MB", "lower", row.memory_mb


def _answered(row: Row) -> Iterator[_Figure]:
    yield "sqnr_db", "dB", "higher", row.sqnr_db
    if row.equal_decisions is not None:
        yield "equal_decisions", "ratio", "higher", row.equal_decisions
    for name, metric in row.metrics.items():
        better: Better | None = None
        if metric.higher_is_better is not None:
            better = "higher" if metric.higher_is_better else "lower"
        yield name, metric.unit, better, metric.candidate
        yield f"{name}_loss", metric.unit, "lower", metric.loss


def _protocol(result: BenchResult) -> str:
    """Its name; of a pipeline the last stage's."""
    if isinstance(result, PipelineResult):
        return _protocol(list(result.stages.values())[-1])
    return "" if result.protocol is None else result.protocol.name


def _refuse_mixed(values: Sequence[Value]) -> None:
    """Results of one file may be many runs of it; those of two files are no noise."""
    files: dict[Series, Value] = {}
    for value in values:
        first = files.setdefault(value.series, value)
        if first.sha256 != value.sha256:
            s, hashes = value.series, f"{first.sha256[:8]}... and {value.sha256[:8]}..."
            raise InvalidResult(
                f"{first.file} and {value.file}, {hashes}, are different files and both "
                f"{s.model} {s.target} {s.precision} on {s.device}: they would be one series. "
                "Keep a history for each"
            )
