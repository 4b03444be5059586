"""Tables of images as text: CSV with any sign between its cells, and JSON lines.

What a column means is looked for under the names that such tables use, or named by
`DataOptions`. A folder's `manifest.csv` is such a table.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from edgeskin.data.data_options import DataOptions
from edgeskin.data.listing import FILE, GROUP, MASK, SPLIT, Listing, Row, images_below
from edgeskin.errors import InvalidData

FILE_NAMES = (
    FILE, "file_name", "filename", "file_path", "filepath", "path", "image", "image_path",
    "image_name", "image_id", "img", "img_path",
)  # fmt: skip
LABEL_NAMES = ("label", "class", "category", "target", "diagnosis", "dx")
_SPLIT_NAMES = (SPLIT, "set", "subset", "partition")
_MASK_NAMES = (MASK, "mask_path", "mask_file_name", "segmentation")
_SIGNS = ",;\t"


def read_table(path: Path, options: DataOptions) -> Listing:
    """A table of paths: CSV, TSV or JSON lines.

    Raises:
        InvalidData: Not such a table, a column that is not there, or a row that is not whole.
    """
    rows = _json_lines(path) if path.suffix.lower() == ".jsonl" else _delimited(path)
    return table_of_paths(rows, path, options, f"table {path.name}")


def table_of_paths(rows: list[Row], path: Path, options: DataOptions, layout: str) -> Listing:
    """Rows of any table, their columns found and their paths made relative to one folder."""
    if not rows:
        raise InvalidData(f"{path} has no rows: one an image, below a line of column names")
    check_columns(tuple(rows[0]), path, options)
    columns = tuple(rows[0])
    file = options.file_column or _first(FILE_NAMES, columns)
    if file is None:
        raise InvalidData(
            f"{path} lacks a column of image paths, such as 'file'; it has "
            f"{', '.join(columns)}. Name it with --file-column."
        )
    folder = (options.image_dir or path.parent).resolve()
    split = options.split_column or _first(_SPLIT_NAMES, columns)
    mask = options.mask_column or _first(_MASK_NAMES, columns)
    meaning = {FILE: file, SPLIT: split, MASK: mask}
    renamed = [_renamed(row, meaning, folder) for row in rows]
    if not Path(renamed[0][FILE]).suffix:
        renamed = _with_suffixes(renamed, folder, path)
    label = next((name for name in LABEL_NAMES if name in renamed[0]), None)
    return Listing(layout, path, folder, tuple(_grouped(renamed, options)), label)


def check_columns(columns: Sequence[str], path: Path, options: DataOptions) -> None:
    """Refuse a column that was named and is not there."""
    for name in options.named_columns:
        if name not in columns:
            raise InvalidData(f"{path} has no column '{name}'; it has {', '.join(columns)}")


def looks_like_a_table(path: Path) -> bool:
    """Whether a text file's first line names a column of images."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline(10_000)
    except (OSError, UnicodeDecodeError):
        return False
    columns = next(csv.reader([header], delimiter=_sign(header)), [])
    return len(columns) > 1 and _first(FILE_NAMES, columns) is not None


def _delimited(path: Path) -> list[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            sign = _sign(file.readline())
            file.seek(0)
            return list(_whole_rows(csv.DictReader(file, delimiter=sign), path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidData(f"{path} is not a UTF-8 CSV file: {error}") from error


def _sign(header: str) -> str:
    """What is between the cells: of comma, semicolon and tab the most frequent."""
    return max(_SIGNS, key=header.count)


def _whole_rows(reader: csv.DictReader[str], path: Path) -> Iterable[Row]:
    names = list(reader.fieldnames or ())
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidData(f"{path} has two columns called '{twice}'")
    for row in reader:
        if None in row.values() or None in row:
            raise InvalidData(f"{path}, line {reader.line_num}: not as many cells as columns")
        yield row


def _json_lines(path: Path) -> list[Row]:
    """One JSON object a line; what is no text, number or truth value is left out."""
    rows: list[Row] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if line.strip():
                rows.append(_plain(json.loads(line), path, number))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidData(f"{path} is not JSON lines: {error}") from error
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name, "") for name in names} for row in rows]


def _plain(record: object, path: Path, number: int) -> Row:
    if not isinstance(record, dict):
        raise InvalidData(f"{path}, line {number}: not an object with the image's columns")
    return {str(key): text for key, value in record.items() if (text := as_text(value)) is not None}


def as_text(value: object) -> str | None:
    """A cell as a CSV file would hold it; None for what no cell holds."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else None


def _first(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """The column of the first of several names, whatever their case."""
    lower = {column.strip().lower(): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), None)


def _renamed(row: Row, meaning: dict[str, str | None], folder: Path) -> Row:
    """The row with our names first; other columns keep theirs, and so do those that we rename."""
    ours = {name: row[column] for name, column in meaning.items() if column is not None}
    for name in (FILE, MASK):
        if name in ours:
            ours[name] = _relative(ours[name], folder)
    return ours | {name: text for name, text in row.items() if name not in ours}


def _relative(text: str, folder: Path) -> str:
    """An absolute path below `folder` as one that starts there; `inside` refuses all others."""
    path = Path(text)
    if path.is_absolute() and path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return text


def _with_suffixes(rows: list[Row], folder: Path, path: Path) -> list[Row]:
    """Names of images without suffix, as of ISIC, as the files of that name below the folder."""
    files: dict[str, list[str]] = {}
    for name in images_below(folder):
        files.setdefault(PurePosixPath(name).stem, []).append(name)
    for row in rows:
        if len(several := files.get(row[FILE], [])) > 1:
            raise InvalidData(f"{path} names {row[FILE]}, which is {' and '.join(several[:2])}")
    return [row | {FILE: files.get(row[FILE], [row[FILE]])[0]} for row in rows]


def _grouped(rows: list[Row], options: DataOptions) -> Iterable[Row]:
    column = options.group_column
    return rows if column in (None, GROUP) else [{**row, GROUP: row[str(column)]} for row in rows]
