"""Parquet files, and folders of Hugging Face `datasets` (`save_to_disk`), read by pyarrow.

Images lie in them as bytes, or as paths of files. Bytes stay in their file until an image is
read: Arrow files are mapped into memory, of Parquet files a group of rows is held at a time.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskin.data.data_options import DataOptions
from edgeskin.data.listing import (
    FILE,
    GROUP,
    MASK,
    SPLIT,
    SPLITS,
    Listing,
    ReadBytes,
    Row,
    split_name,
)
from edgeskin.data.tables import LABEL_NAMES, as_text, check_columns, table_of_paths
from edgeskin.errors import InvalidData, InvalidImage, MissingPackage
from edgeskin.files import inside
from edgeskin.trusted import folders

if TYPE_CHECKING:
    import pyarrow

_DATASET, _STATE, _INFO = "dataset_dict.json", "state.json", "dataset_info.json"
_MASK_WORDS = ("mask", "annotation", "segmentation", "label")
PARQUET, ARROW = b"PAR1", b"ARROW1"


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets.save_to_disk` wrote the folder."""
    return (folder / _DATASET).is_file() or (folder / _STATE).is_file()


def find_parquet(folder: Path) -> list[Path]:
    """Parquet files of a folder, or of `data/` in it."""
    return sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))


def read_saved_dataset(folder: Path, options: DataOptions) -> Listing:
    """One data set, or several splits, as `save_to_disk` leaves them.

    Raises:
        InvalidData: A file is missing or damaged, or there is no column of images.
    """
    if not (folder / _DATASET).is_file():
        return _listing(_saved_split(folder, None), folder, options)
    names = _json(folder / _DATASET).get("splits")
    if not isinstance(names, list) or not names:
        raise InvalidData(f"{folder / _DATASET} names no splits")
    tables = [
        t for n in names for t in _saved_split(folder / Path(str(n)).name, split_name(str(n)))
    ]
    return _listing(tables, folder, options)


def read_parquet(paths: list[Path], options: DataOptions) -> Listing:
    """Parquet files with images, or with paths of images.

    Raises:
        InvalidData: Damaged, or without a column of images or paths.
    """
    return _listing([_open_parquet(path) for path in paths], paths[0], options)


def read_arrow(path: Path, options: DataOptions) -> Listing:
    """A single Arrow file, with images or paths of images."""
    return _listing([_open_arrow(path, None, {})], path, options)


@dataclass(frozen=True)
class _Table:
    """A file's columns.

    Attributes:
        plain: Reads the columns without images.
        cell: What lies in a column of images, in a row: bytes, or `bytes` and `path`.
        images: The columns of images.
        classes: By column of class numbers, what they are called.
    """

    path: Path
    split: str | None
    plain: Callable[[], pyarrow.Table]
    cell: Callable[[str, int], Any]
    images: tuple[str, ...]
    classes: Mapping[str, list[str]]


def _open_arrow(path: Path, split: str | None, info: Mapping[str, Any]) -> _Table:
    arrow = _pyarrow()
    try:
        with path.open("rb") as file:
            reader = arrow.ipc.open_file if file.read(6) == ARROW else arrow.ipc.open_stream
        table = reader(arrow.memory_map(str(path))).read_all()
    except (OSError, arrow.ArrowException) as error:
        raise _damaged(path, error) from error
    features = info.get("features") or _features(table.schema)
    images = _image_columns(table.schema, features)
    plain = [name for name in table.schema.names if name not in images]
    return _Table(
        path,
        split,
        lambda: table.select(plain),
        lambda column, row: table.column(column)[row].as_py(),
        images,
        _classes(features),
    )


def _open_parquet(path: Path) -> _Table:
    arrow = _pyarrow()
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise _damaged(path, error) from error
    schema = file.schema_arrow
    features = _features(schema)
    images = _image_columns(schema, features)
    plain = [name for name in schema.names if name not in images]
    split = SPLITS.get(path.stem.lower().partition("-")[0])
    cell = _RowGroups(file).cell
    return _Table(path, split, lambda: file.read(columns=plain), cell, images, _classes(features))


class _RowGroups:
    """One group of rows of a Parquet file at a time, for several threads."""

    def __init__(self, file: pyarrow.parquet.ParquetFile) -> None:
        self._file = file
        counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._ends = list(accumulate(counts))
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, Any]] = {}

    def cell(self, column: str, row: int) -> Any:
        group = bisect_right(self._ends, row)
        first = self._ends[group - 1] if group else 0
        with self._lock:
            if self._held.get(column, (None,))[0] != group:
                part = self._file.read_row_group(group, columns=[column]).column(column)
                self._held[column] = group, part
            return self._held[column][1][row - first].as_py()


def _saved_split(folder: Path, split: str | None) -> list[_Table]:
    state = _json(folder / _STATE)
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise InvalidData(
            f"{folder} has rows in an order of its own: call flatten_indices() and save it again"
        )
    info = _json(folder / _INFO) if (folder / _INFO).is_file() else {}
    files = [Path(str(file["filename"])).name for file in state.get("_data_files", ())]
    named = split or (split_name(str(state["_split"])) if state.get("_split") else None)
    if not files:
        raise InvalidData(f"{folder / _STATE} names no data files")
    return [_open_arrow(folder / name, named, info) for name in files]


def _listing(tables: list[_Table], path: Path, options: DataOptions) -> Listing:
    if not tables[0].images:
        rows = [row for table in tables for row in _plain_rows(table)]
        return table_of_paths(rows, tables[0].path, options, f"table {tables[0].path.name}")
    embedded: dict[str, ReadBytes] = {}
    folder = path if path.is_dir() else path.parent
    root = (options.image_dir or folder).resolve()
    columns = _roles(tables[0], options)
    rows = [row for table in tables for row in _rows(table, columns, root, embedded)]
    if not rows:
        raise InvalidData(f"{path} has no rows")
    check_columns((*rows[0], *tables[0].images), path, options)
    renamed = {SPLIT: options.split_column, GROUP: options.group_column}
    rows = [row | {ours: row[c] for ours, c in renamed.items() if c is not None} for row in rows]
    label = next((name for name in LABEL_NAMES if name in rows[0]), None)
    layout = f"a table with images in it, {len(tables)} files"
    return Listing(layout, path, folder, tuple(rows), label, embedded)


def _rows(
    table: _Table, columns: Mapping[str, str], root: Path, embedded: dict[str, ReadBytes]
) -> list[Row]:
    """Rows as text; each image gets a name, and a way to read it."""
    rows = _plain_rows(table)
    place = table.path.relative_to(root) if table.path.is_relative_to(root) else table.path.name
    for number, row in enumerate(rows):
        for role, column in columns.items():
            row[role] = f"{place}#{number}" + ("" if role == FILE else f"/{column}")
            embedded[row[role]] = partial(_bytes, table, column, number, root)
        if table.split:
            row[SPLIT] = table.split
    return rows


def _bytes(table: _Table, column: str, number: int, root: Path) -> bytes:
    """An image's file, out of the table or from the path that stands there."""
    value = table.cell(column, number)
    content, path = value, None
    if isinstance(value, Mapping):
        content, path = value.get("bytes"), value.get("path")
    if content:
        return bytes(content)
    name = f"{table.path.name}#{number}"
    if not path:
        raise InvalidImage(f"{name} has neither bytes nor a path")
    relative = Path(path).relative_to(root) if Path(path).is_relative_to(root) else path
    try:
        return inside(root, str(relative), beyond=folders()).read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidImage(
            f"{name} holds no bytes, but the path of a file: {error}. Name its folder with "
            "--image-dir"
        ) from error


def _plain_rows(table: _Table) -> list[Row]:
    """Text and numbers, numbers of classes by name; lists and the like are left out."""
    plain = table.plain()
    rows: list[Row] = [{} for _ in range(plain.num_rows)]
    for name in plain.column_names:
        texts = [as_text(value) for value in plain.column(name).to_pylist()]
        if None in texts:
            continue
        for row, text in zip(rows, texts, strict=True):
            row[name] = _class_name(str(text), table.classes.get(name))
    return rows


def _class_name(text: str, names: list[str] | None) -> str:
    return names[int(text)] if names and text.isdigit() and int(text) < len(names) else text


def _roles(table: _Table, options: DataOptions) -> dict[str, str]:
    """The column of images, and that of masks, if any."""
    masks = [name for name in table.images if any(word in name.lower() for word in _MASK_WORDS)]
    images = [name for name in table.images if name not in masks] or masks[:1]
    file = options.file_column or images[0]
    mask = options.mask_column or next((name for name in masks if name != file), None)
    return {FILE: file} | ({MASK: mask} if mask else {})


def _image_columns(schema: pyarrow.Schema, features: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns that features call images, or that hold bytes with a path."""
    arrow = _pyarrow()
    named = [
        name
        for name in schema.names
        if isinstance(f := features.get(name), Mapping) and f.get("_type") == "Image"
    ]
    types = arrow.types
    held = [
        name
        for name in schema.names
        if types.is_binary(t := schema.field(name).type)
        or types.is_large_binary(t)
        or (types.is_struct(t) and t.get_field_index("bytes") >= 0)
    ]
    return tuple(dict.fromkeys([*named, *held]))


def _features(schema: pyarrow.Schema) -> Mapping[str, Any]:
    """What `datasets` writes into the schema of its files."""
    try:
        text = (schema.metadata or {}).get(b"huggingface", b"{}")
        features = json.loads(text).get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return features if isinstance(features, dict) else {}


def _classes(features: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        name: [str(label) for label in feature["names"]]
        for name, feature in features.items()
        if isinstance(feature, Mapping) and isinstance(feature.get("names"), list)
    }


def _json(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(document, dict):
        raise InvalidData(f"{path} is damaged: it is no JSON object")
    return document


def _damaged(path: Path, error: Exception) -> InvalidData:
    return InvalidData(f"{path} cannot be read: {' '.join(str(error).split())}")


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise MissingPackage(
            "pyarrow is not installed, which reads Parquet and Arrow files: "
            "pip install 'edgeskin[data]'"
        ) from error
    return pyarrow
