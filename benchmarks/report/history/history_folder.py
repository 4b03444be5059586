"""The history on disk: a folder of Parquet files, one an addition, a row a figure.

Each file is written under a temporary name and renamed when it is whole, under a name that no other
machine takes: several may add at once, and none of them can damage what is there. Every reader of
Parquet takes the folder as one table (`SELECT * FROM 'FOLDER/*.parquet'` in DuckDB).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from edgeskin.benchmarks.report.history.history_documents import Better, Series
from edgeskin.benchmarks.report.history.history_figures import Value
from edgeskin.errors import InvalidResult, MissingPackage
from edgeskin.files import atomic, open_to_readers
from edgeskin.progress import Progress
from edgeskin.version import __version__

_MARK, _VERSION = b"edgeskin.history", b"1"
_SERIES = tuple(Series.model_fields)


class Stored(NamedTuple):
    """A figure as it is read back."""

    addition: str
    at: datetime
    label: str
    new_baseline: bool
    series: Series
    unit: str
    better: Better | None
    doubts: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Stock:
    """What could be read of a folder, in order of time, and a line for each file that could not."""

    files: tuple[str, ...]
    figures: list[Stored]
    damaged: tuple[str, ...]


def write(
    folder: Path, values: Sequence[Value], at: datetime, label: str, new_baseline: bool
) -> Path:
    """Add one file to `folder`, which is made if it is not there.

    Raises:
        MissingPackage: pyarrow.
        CannotWrite: The folder cannot be made or written.
    """
    arrow = _pyarrow()
    rows = [
        {name: getattr(value.series, name) for name in _SERIES}
        | {name: getattr(value, name) for name in Value._fields if name != "series"}
        | {"at": at, "label": label, "new_baseline": new_baseline, "edgeskin": __version__}
        for value in values
    ]
    name = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.parquet"
    with atomic(folder / name) as fresh:
        arrow.parquet.write_table(arrow.Table.from_pylist(rows, schema=_schema(arrow)), fresh)
        open_to_readers(fresh)
    return folder / name


def read(folder: Path, progress: Progress) -> Stock:
    """All additions of a folder.

    Raises:
        InvalidResult: No folder, or none of its files can be read.
        MissingPackage: pyarrow.
    """
    arrow = _pyarrow()
    if not folder.is_dir():
        raise InvalidResult(f"{folder} is no folder: edgeskin history add RESULTS --to {folder}")
    paths = sorted(folder.glob("*.parquet"))
    files: list[str] = []
    figures: list[Stored] = []
    damaged: list[str] = []
    for number, path in enumerate(paths):
        progress("reading the history", number, len(paths))
        try:
            figures += _read_file(arrow, path)
            files.append(path.name)
        except InvalidResult as error:
            damaged.append(str(error))
    if not files:
        why = damaged[0] if damaged else f"{folder} holds no addition: edgeskin history add"
        raise InvalidResult(f"{why} (and {len(damaged) - 1} more)" if len(damaged) > 1 else why)
    figures.sort(key=lambda figure: (figure.at, figure.addition))
    return Stock(tuple(files), figures, tuple(damaged))


def _read_file(arrow: Any, path: Path) -> Iterator[Stored]:
    try:
        table = arrow.parquet.read_table(path, partitioning=None)
    except (arrow.ArrowException, OSError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise InvalidResult(f"{path} is damaged, no whole Parquet file: {why}") from error
    mark = (table.schema.metadata or {}).get(_MARK)
    if mark is None:
        raise InvalidResult(f"{path} is no history of edgeskin: take it out of the folder")
    if mark != _VERSION or not table.schema.equals(_schema(arrow)):
        raise InvalidResult(f"{path} is of another version of edgeskin's history: {mark.decode()}")
    return _stored(path.name, table.to_pylist())


def _stored(addition: str, rows: Sequence[dict[str, Any]]) -> Iterator[Stored]:
    known: dict[tuple[str, ...], Series] = {}
    for row in rows:
        key = tuple(row[name] for name in _SERIES)
        if key not in known:
            known[key] = Series(**dict(zip(_SERIES, key, strict=True)))
        yield Stored(
            addition, row["at"], row["label"], row["new_baseline"], known[key], row["unit"],
            row["better"], tuple(row["doubts"]), row["value"],
        )  # fmt: skip


def _schema(arrow: Any) -> Any:
    text = arrow.string()
    return arrow.schema(
        [
            arrow.field("at", arrow.timestamp("us", tz="UTC"), nullable=False),
            arrow.field("label", text, nullable=False),
            arrow.field("new_baseline", arrow.bool_(), nullable=False),
            *(arrow.field(name, text, nullable=False) for name in _SERIES),
            arrow.field("unit", text, nullable=False),
            arrow.field("better", text),
            arrow.field("value", arrow.float64(), nullable=False),
            arrow.field("file", text, nullable=False),
            arrow.field("sha256", text, nullable=False),
            arrow.field("engine", text, nullable=False),
            arrow.field("doubts", arrow.list_(text), nullable=False),
            arrow.field("edgeskin", text, nullable=False),
        ],
        metadata={_MARK: _VERSION},
    )


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackage(
            "pyarrow is not installed, which keeps the history: pip install 'edgeskin[data]'"
        ) from error
    return pyarrow
