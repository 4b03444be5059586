"""The history of results: what was measured, addition by addition, and how it has moved since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from edgeskin.benchmarks.report.collect import collect
from edgeskin.benchmarks.report.history.history_documents import (
    Addition,
    History,
    LevelChange,
    Trend,
)
from edgeskin.benchmarks.report.history.history_figures import figures_of
from edgeskin.benchmarks.report.history.history_folder import Stored, read, write
from edgeskin.benchmarks.report.history.thresholds import THRESHOLDS, ThresholdName
from edgeskin.benchmarks.report.history.trends import trends_of
from edgeskin.errors import UnknownName
from edgeskin.progress import Progress, silent
from edgeskin.version import __version__


def history_add(
    results: Sequence[Path | str],
    folder: Path | str,
    *,
    label: str = "",
    at: datetime | None = None,
    new_baseline: bool = False,
    progress: Progress = silent,
) -> Addition:
    """Append the figures of results to a history, a folder of Parquet files.

    Several machines may add at once. Results of emulated and simulated devices have no figures of
    time and memory in it.

    Args:
        results: Files and folders of `bench`.
        folder: Made if it is not there.
        label: A version or a commit.
        at: The time that the results count as of; without one, when the last of them was measured,
            or now where none says when. Without a zone it is UTC.
        new_baseline: The level has changed on purpose: what came before is no measure for these
            results and later ones.

    Raises:
        InvalidResult: No results, damaged ones, or two different files that would be one series.
        CannotWrite: The folder cannot be made or written.
        MissingPackage: pyarrow.
    """
    rows, values = figures_of(collect(results, progress))
    measured = [row.measured_at for row in rows if row.measured_at]
    moment = at or max(measured, default=datetime.now(UTC))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    path = write(Path(folder), values, moment, label, new_baseline)
    return Addition(
        file=path.name,
        at=moment.astimezone(UTC),
        label=label,
        results=len(rows),
        figures=len(values),
        without_speed=tuple(f"{r.device}, {r.file}: {r.no_times}" for r in rows if r.no_times),
    )


def history(
    folder: Path | str,
    *,
    model: str = "*",
    device: str = "*",
    figure: str = "*",
    label: str | None = None,
    level: float = 0.01,
    threshold: ThresholdName = "t",
    progress: Progress = silent,
) -> History:
    """The trend of each series: its level and noise, what is beyond them, and where it changed.

    `missed_gates` are why the latest addition is worse than usual; see docs/history.md for how that
    is decided.

    Args:
        folder: Of `history_add`.
        model, device, figure: Patterns as of a shell; other series are left out.
        label: Judge the additions of this label, and leave later ones out; without one, the last.
        level: The share of false alarms where nothing changed, of all series together.
        threshold: "t", the prediction interval of the last 30 values, or "iqr", their
            interquartile fence.

    Raises:
        InvalidResult: No folder, or no addition in it that can be read. One that cannot is named in
            `damaged`.
        UnknownName: No series fits, no addition has the label, or no threshold is called so.
        MissingPackage: pyarrow.
    """
    if threshold not in THRESHOLDS:
        raise UnknownName(f"no threshold {threshold!r}; there are {', '.join(THRESHOLDS)}")
    if not 0.0 < level <= 0.5:
        raise UnknownName(f"level {level:g}: a share of false alarms lies above 0, at most at 0.5")
    stock = read(Path(folder), progress)
    figures = _until(stock.figures, label)
    latest = _latest(figures, label)
    chosen = [
        one
        for one in figures
        if fnmatchcase(one.series.model, model)
        and fnmatchcase(one.series.device, device)
        and fnmatchcase(one.series.figure, figure)
    ]
    if not chosen:
        raise UnknownName(_no_series(figures, model, device, figure))
    trends = trends_of(chosen, level, threshold)
    return History(
        edgeskin=__version__,
        additions=len(stock.files),
        damaged=stock.damaged,
        latest=latest,
        level=level,
        threshold=threshold,
        trends=trends,
        missed_gates=tuple(
            line for trend in trends if trend.addition in latest for line in _missed(trend)
        ),
    )


def _until(figures: list[Stored], label: str | None) -> list[Stored]:
    """Up to the last addition of `label`."""
    if label is None:
        return figures
    last = max((i for i, one in enumerate(figures) if one.label == label), default=None)
    if last is None:
        recent = list(dict.fromkeys(one.label for one in reversed(figures) if one.label))[:5]
        raise UnknownName(f"no addition is labelled {label!r}; the last are {', '.join(recent)}")
    return figures[: last + 1]


def _latest(figures: Sequence[Stored], label: str | None) -> tuple[str, ...]:
    if label is None:
        return (figures[-1].addition,)
    return tuple(dict.fromkeys(one.addition for one in figures if one.label == label))


def _no_series(figures: Sequence[Stored], model: str, device: str, figure: str) -> str:
    series = [one.series for one in figures]
    asked = ((model, "model"), (device, "device"), (figure, "figure"))
    there = (
        f"{name} {wanted!r} (there are {', '.join(sorted({getattr(s, name) for s in series}))})"
        for wanted, name in asked
        if wanted != "*"
    )
    return f"the history has no series of {', '.join(there)}"


def _missed(trend: Trend) -> Iterator[str]:
    """Why the latest value of a trend is worse than usual."""
    if trend.state == "no number":
        yield f"{trend.series} is no number"
    if trend.state == "worse":
        yield (
            f"{trend.series} is {trend.latest.value:.4g}, beyond {trend.threshold:.4g}: usual is "
            f"{trend.usual:.4g} with a noise of {trend.noise:.2g}, of {trend.runs} runs"
        )
    if trend.changes and trend.changes[-1].worse:
        yield f"{trend.series} {level_changed(trend, trend.changes[-1])}"


def level_changed(trend: Trend, change: LevelChange) -> str:
    """A change of level in words: "went from 10.5 to 10.9 (+4.0 %) at v7, 2026-01-31 02:00"."""
    share = ""
    if trend.unit in ("ms", "MB") and change.before:
        share = f" ({100 * (change.after / change.before - 1):+.1f} %)"
    where = f"{change.label}, " if change.label else ""
    runs = len(trend.points) - change.index
    return (
        f"went from {change.before:.4g} to {change.after:.4g}{share} at {where}"
        f"{change.at:%Y-%m-%d %H:%M}, the first of {runs} runs since (p {change.p:.1g})"
    )
