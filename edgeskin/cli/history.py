"""`edgeskin history`: what was measured, addition by addition, and whether it has changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeskin.benchmarks.report.history.history_documents import History, Trend

commands = typer.Typer(
    help="Keep results over time, find what changed, and hold new ones against the noise.",
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(help="That edgeskin history add wrote.")]
Model = Annotated[str, typer.Option(help="Only models of this name; a pattern, as 'acne-*'.")]
Device = Annotated[str, typer.Option(help="Only these devices; a pattern, as 'adb:*'.")]
Figure = Annotated[
    str, typer.Option(help="Only these figures; a pattern: p50_ms, '*_ms', '*_loss'.")
]
Label = Annotated[
    str | None, typer.Option(help="Judge the additions of this label; without one, the last.")
]
Level = Annotated[
    float, typer.Option(help="Share of false alarms where nothing changed, of all series together.")
]
Threshold = Annotated[
    str,
    typer.Option(help="t (prediction interval of the last 30 runs) or iqr (interquartile fence)."),
]


@commands.command()
def add(
    results: Annotated[list[Path], typer.Argument(help="Files and folders of edgeskin bench.")],
    to: Annotated[Path, typer.Option(help="The history, a folder; made if it is not there.")],
    label: Annotated[str, typer.Option(help="A version or a commit.")] = "",
    at: Annotated[
        str | None,
        typer.Option(
            help="The time they count as of, as 2026-01-31T02:00, UTC; without it, when measured."
        ),
    ] = None,
    new_baseline: Annotated[
        bool,
        typer.Option(
            "--new-baseline", help="The level changed on purpose: forget what came before."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Append the figures of results to a history, one Parquet file an addition."""
    from datetime import datetime

    from edgeskin.benchmarks.report.history.history import history_add
    from edgeskin.errors import UnknownName

    try:
        moment = None if at is None else datetime.fromisoformat(at)
    except ValueError as error:
        raise UnknownName(f"--at {at}: write a time as 2026-01-31T02:00") from error
    with console.progress() as progress:
        added = history_add(
            results, to, label=label, at=moment, new_baseline=new_baseline, progress=progress
        )
    if json:
        console.emit(added.to_json())
    else:
        print(f"{to / added.file}: {added.figures} figures of {added.results} results")
    for line in added.without_speed:
        console.remark(line)


@commands.command()
def show(
    folder: Folder,
    model: Model = "*",
    device: Device = "*",
    figure: Figure = "*",
    label: Label = None,
    level: Level = 0.01,
    threshold: Threshold = "t",
    plot: Annotated[Path | None, typer.Option(help="Picture to write: .svg or .png.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Tell the trend of each series: its level, its noise, and where it changed."""
    from edgeskin.benchmarks.report.history.trend_plot import plot_trends
    from edgeskin.files import check_writable

    if plot is not None:
        check_writable(plot, force=force)
    found = _read(folder, model, device, figure, label, level, threshold)
    if plot is not None:
        plot_trends(found.trends, plot, force=force)
    if json:
        console.emit(found.to_json())
    else:
        _print(found)
    for line in found.damaged:
        console.error(line)


@commands.command()
def check(
    folder: Folder,
    model: Model = "*",
    device: Device = "*",
    figure: Figure = "*",
    label: Label = None,
    level: Level = 0.01,
    threshold: Threshold = "t",
    json: Json = False,
) -> None:
    """Hold the latest addition against the series' own noise; exit 1 if it is worse than usual."""
    from edgeskin.errors import InvalidResult

    found = _read(folder, model, device, figure, label, level, threshold)
    if found.damaged:
        raise InvalidResult(f"{found.damaged[0]}. Nothing is held against a part of a history")
    judged = [trend for trend in found.trends if trend.addition in found.latest]
    if not judged:
        raise InvalidResult(
            f"{', '.join(found.latest)} has none of the series that were asked for, so that "
            "nothing is held against its noise: name its --label, or other series"
        )
    if json:
        console.emit(found.to_json())
    else:
        few = sum(trend.state == "too few to say" for trend in judged)
        print(
            f"{len(judged)} series of {', '.join(found.latest)}: "
            f"{len(found.missed_gates) or 'no'} findings"
            + (f"; of {few} there are too few runs to say" if few else "")
        )
    for line in found.missed_gates:
        console.error(line)
    if found.missed_gates:
        raise typer.Exit(1)


def _read(
    folder: Path, model: str, device: str, figure: str, label: str | None, level: float, kind: str
) -> History:
    from edgeskin.benchmarks.report.history.history import history

    with console.progress() as progress:
        return history(
            folder, model=model, device=device, figure=figure, label=label, level=level,
            threshold=cast(Any, kind), progress=progress,
        )  # fmt: skip


def _print(found: History) -> None:
    """A table for each model on each device, what changed, and what speaks against believing it."""
    from edgeskin.benchmarks.report.history.history import level_changed

    tables: dict[str, list[Trend]] = {}
    for trend in found.trends:
        title = f"{trend.series.where}, pack {trend.series.pack[:8]}"
        tables.setdefault(title, []).append(trend)
    columns = ("figure", "runs", "latest", "usual", "noise", "threshold", "latest is")
    for title, trends in tables.items():
        rows = [tuple(map(console.printable, _row(trend))) for trend in trends]
        console.table(console.printable(title), columns, rows)
        for trend in trends:
            for change in trend.changes:
                line = f"{trend.series.figure} {level_changed(trend, change)}"
                print(console.printable(line))
            if (missing := trend.not_numbers) > 0:
                points = len(trend.points)
                print(f"{trend.series.figure}: {missing} of {points} values are no numbers")
        for doubt in dict.fromkeys(doubt for trend in trends for doubt in trend.doubts):
            print(console.printable(f"the latest is in doubt: {doubt}"))
    print(f"{len(found.trends)} series of {found.additions} additions")


def _row(trend: Trend) -> Iterator[str]:
    yield f"{trend.series.figure} {trend.series.protocol}".strip()
    yield f"{trend.runs}"
    for value, digits in (
        (trend.latest.value, 4), (trend.usual, 4), (trend.noise, 2), (trend.threshold, 4)
    ):  # fmt: skip
        yield "-" if value is None else f"{value:.{digits}g}"
    yield trend.state
