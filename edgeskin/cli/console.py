"""What commands share: progress and tables on stderr, one JSON document on stdout."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgeskin.printable import printable as printable
from edgeskin.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

_NUMBER = re.compile(r"-|nan|inf|[-+\[]?\d[-+\d.,e%() \[\]]*")


def error(message: str) -> None:
    """One line on stderr."""
    print("edgeskin: " + printable(" ".join(message.split())), file=sys.stderr)


def say(message: str) -> None:
    """A line for the person, on stderr, so that stdout stays the result's."""
    print(message, file=sys.stderr)


def remark(line: str | None) -> None:
    """What was decided and a person should know, one line on stderr; None is nothing."""
    if line is not None:
        say(f"edgeskin: {printable(line)}")


def emit(document: Any) -> None:
    """The result as one JSON document on stdout; NaN and infinity become strings."""
    print(json.dumps(_plain(document), indent=2, ensure_ascii=False))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; columns of numbers are aligned right."""
    from rich import box
    from rich.table import Table

    print(title)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        numbers = all(_NUMBER.fullmatch(row[i]) for row in rows[:1])
        made.add_column(
            column, justify="right" if numbers else "left", no_wrap=numbers, overflow="fold"
        )
    for row in rows:
        made.add_row(*row)
    _console(stderr=False).print(made)


@contextmanager
def progress() -> Iterator[Progress]:
    """A callback (what, done, total): a bar a kind of work, or lines where there is no terminal."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich import progress as bar

    columns = (
        bar.TextColumn("{task.description}", markup=False),
        bar.BarColumn(bar_width=24),
        bar.MofNCompleteColumn(),
        bar.TimeElapsedColumn(),
    )
    bars = bar.Progress(*columns, console=_console(stderr=True))
    try:
        lines: dict[str, Any] = {}

        def update(what: str, done: int, total: int) -> None:
            bars.start()  # not before, so that a question can be asked
            kind = what.partition(",")[0]
            if kind not in lines:
                lines[kind] = bars.add_task(what, total=total)
            bars.update(lines[kind], description=what, completed=done, total=total)

        yield update
    finally:
        bars.stop()


def _lines(every_s: float = 10.0) -> Progress:
    """Progress for log files: a line at the end of each work and every `every_s` between."""
    last = time.monotonic()

    def log(what: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= every_s:
            last = time.monotonic()
            say(f"{what}: {done}/{total}")

    return log


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width of its own; a table must not be cut there. Nor is 'edgeskin[onnx]' markup.
    width = None if stream.isatty() else 160
    return Console(stderr=stderr, width=width, soft_wrap=False, markup=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
