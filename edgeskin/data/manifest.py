"""Data sources: whatever labelled images a team has on disk, and the split that a command takes.

`manifest.csv` (columns `file`, `split`, labels) is one of them. `open_data` finds out which
other one it is; see docs/how-to/data.md for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from edgeskin.data import arrow_files, coco, image_folders, tables
from edgeskin.data.data_options import BadImages, DataOptions, Layout
from edgeskin.data.dataset import Dataset as Dataset
from edgeskin.data.dataset import Origin, SourceImage
from edgeskin.data.listing import FILE, SPLIT, SPLITS, Listing, Row
from edgeskin.data.splits import Split, few, with_splits
from edgeskin.errors import InvalidData, InvalidImage
from edgeskin.files import inside
from edgeskin.trusted import config_file, folders

EVERY = "all"
"""The name of the split that every image is in."""
_TABLES = (".csv", ".tsv", ".txt", ".jsonl")
_METADATA = ("metadata.csv", "metadata.jsonl")


@dataclass(frozen=True)
class ImageData:
    """A data source: read when it is first asked for anything, and once.

    Functions that take `data` take one of these, or a path.
    """

    path: Path
    options: DataOptions = DataOptions()
    _datasets: dict[str, Dataset] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def listing(self) -> Listing:
        """What was found, without splits."""
        listing = _listing(self.path, self.options)
        if not listing.rows:
            raise InvalidData(f"{self.path} has no images")
        return listing

    @cached_property
    def splits(self) -> Split:
        """All rows with their splits."""
        return with_splits(self.listing.rows, self.options.group_column, self.options.seed)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its splits."""
        return tuple(dict.fromkeys(row[SPLIT] for row in self.splits.rows))

    @property
    def remarks(self) -> list[str]:
        """What a person should know of the splits that were read: how they came, what is left out.

        The same of several splits is said once.
        """
        parts = [part for data in self._datasets.values() for part in (data.rule or "").split("; ")]
        return [part for part in dict.fromkeys(parts) if part]

    def has(self, split: str) -> bool:
        return split == EVERY or split in self.names

    def split(self, name: str) -> Dataset:
        """The images of a split, each found to be there and to begin as an image does.

        Args:
            name: train, val or test, another one of the source, or `all`.

        Returns:
            Class indices, int64 (N,); of sigmoid heads 0 or 1, int64 (N, C); else
            values, float64 (N,).

        Raises:
            InvalidData: No such split; an image that is missing or lies elsewhere.
            InvalidImage: Images that cannot be read, with their number and the first name.
        """
        if name not in self._datasets:
            self._datasets[name] = self._checked(name)
        return self._datasets[name]

    def _checked(self, name: str) -> Dataset:
        rows = tuple(row for row in self.splits.rows if name in (EVERY, row[SPLIT]))
        listing, rule = self.listing, self.splits.rule
        if not rows:
            which = f" ({rule}).{few(len(self.splits.rows))} Take --split all" if rule else ""
            has = ", ".join(filter(None, self.names)) or "none"
            raise InvalidData(
                f"{listing.path} lists no image with split '{name}'; it has {has}{which}"
            )
        data = Dataset(listing.folder, name, rows, Origin(listing, self.options, rule))
        _check_places(data)
        bad = dict(_unreadable(data))
        if bad and self.options.bad_images == "refuse":
            first = next(iter(bad))
            raise InvalidImage(
                f"{len(bad)} of {len(rows)} images of {listing.path} cannot be read, the first is "
                f"{first}: {bad[first]} To go on without them: --bad-images skip"
            )
        kept = tuple(row for row in rows if row[FILE] not in bad)
        if not kept:
            raise InvalidImage(f"none of the {len(rows)} images of {listing.path} can be read")
        assert data.origin is not None
        return replace(data, rows=kept, origin=replace(data.origin, skipped=tuple(bad)))


def open_data(
    path: ImageData | Path | str,
    *,
    layout: Layout = "auto",
    file_column: str | None = None,
    label_columns: Iterable[str] = (),
    split_column: str | None = None,
    group_column: str | None = None,
    mask_column: str | None = None,
    image_dir: Path | str | None = None,
    seed: int = 0,
    bad_images: BadImages = "refuse",
) -> ImageData:
    """Images and labels as they lie on disk, for whatever takes `data`.

    Args:
        path: A folder of images, alone, by class or beside masks; a table; a COCO file or a
            folder of them; a folder of Hugging Face `datasets`; a folder with `manifest.csv`.
            One that was opened before is returned as it is.
        label_columns: `HEAD=COLUMN`, or `COLUMN` for a model with one head.
        layout, file_column, split_column, group_column, mask_column, image_dir, seed, bad_images:
            As in `DataOptions`.

    Raises:
        InvalidData: Nothing that can be read, or a column that is not there.
    """
    if isinstance(path, ImageData):
        return path
    options = DataOptions(
        layout=layout,
        file_column=file_column,
        label_columns=tuple(label_columns),
        split_column=split_column,
        group_column=group_column,
        mask_column=mask_column,
        image_dir=None if image_dir is None else Path(image_dir),
        seed=seed,
        bad_images=bad_images,
    )
    data = ImageData(Path(path), options)
    assert data.splits  # what is wrong with it shows now
    return data


def load_split(data: ImageData | Path | str, split: str) -> Dataset:
    """One split of a data source, its images checked; see `ImageData.split`.

    Raises:
        InvalidData: No such source or split; a path that leaves its folder; an image listed
            but missing.
        InvalidImage: Images that cannot be read.
    """
    return open_data(data).split(split)


def has_split(data: ImageData | Path | str, split: str) -> bool:
    return open_data(data).has(split)


def _listing(path: Path, options: DataOptions) -> Listing:
    """By content, or as `options.layout` says."""
    if path.is_file():
        return _of_file(path, options)
    if not path.is_dir():
        raise InvalidData(f"{path} is not a folder, and no file")
    folder = path.resolve()
    for layout, read in _FOLDERS.items():
        if options.layout in ("auto", layout) and (listing := read(folder, options)) is not None:
            return replace(listing, path=path) if listing.path == folder else listing
    raise InvalidData(f"{path} is no data of layout '{options.layout}'")


def _of_file(path: Path, options: DataOptions) -> Listing:
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(arrow_files.PARQUET):
        return arrow_files.read_parquet([path], options)
    if start == arrow_files.ARROW or path.suffix == ".arrow":
        return arrow_files.read_arrow(path, options)
    if path.suffix.lower() == ".json":
        return coco.read_coco([path], options)
    if path.suffix.lower() in _TABLES:
        return tables.read_table(path, options)
    raise InvalidData(
        f"{path} is no list of images: a .csv, .tsv, .jsonl or .parquet file, or a COCO .json"
    )


def _table(folder: Path, options: DataOptions) -> Listing | None:
    """`manifest.csv`, `metadata.csv` in it or in each split, or the one table there is."""
    if (manifest := folder / "manifest.csv").is_file():
        return tables.read_table(manifest, options)
    if (metadata := _metadata(folder)) is not None:
        return tables.read_table(metadata, options)
    splits = {p: SPLITS[p.name.lower()] for p in _folders(folder) if p.name.lower() in SPLITS}
    parts = [(metadata, split) for p, split in splits.items() if (metadata := _metadata(p))]
    if parts:
        return _joined(folder, parts, options)
    if len(parquet := arrow_files.find_parquet(folder)):
        return arrow_files.read_parquet(parquet, options)
    named = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in _TABLES]
    likely = [p for p in named if p.is_file() and tables.looks_like_a_table(p)]
    return tables.read_table(likely[0], options) if len(likely) == 1 else None


def _metadata(folder: Path) -> Path | None:
    return next((folder / name for name in _METADATA if (folder / name).is_file()), None)


def _folders(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if p.is_dir())


def _joined(folder: Path, parts: list[tuple[Path, str]], options: DataOptions) -> Listing:
    """The tables of several splits, each in its folder."""
    listings = [(tables.read_table(path, options), split) for path, split in parts]
    rows: list[Row] = []
    for listing, split in listings:
        place = listing.folder.relative_to(folder)
        moved = [FILE, *(["mask"] if "mask" in listing.columns else [])]
        rows += [
            row | {name: (place / row[name]).as_posix() for name in moved} | {SPLIT: split}
            for row in listing.rows
        ]
    return replace(listings[0][0], path=folder, folder=folder, rows=tuple(rows))


def _coco(folder: Path, options: DataOptions) -> Listing | None:
    files = coco.find_coco(folder)
    return coco.read_coco(files, options) if files else None


def _datasets(folder: Path, options: DataOptions) -> Listing | None:
    is_saved = arrow_files.is_saved_dataset(folder)
    return arrow_files.read_saved_dataset(folder, options) if is_saved else None


_FOLDERS = {
    "table": _table,
    "datasets": _datasets,
    "coco": _coco,
    "masks": lambda folder, options: image_folders.with_masks(folder),
    "classes": lambda folder, options: image_folders.by_class(folder),
    "images": lambda folder, options: image_folders.plain(folder),
}
"""How folders are read, in the order in which they are tried; None is: not this."""


def _check_places(data: Dataset) -> None:
    """Refuse an image that is missing, or that a path or link says is elsewhere."""
    for image in data.images:
        if not isinstance(image.place, Path):
            continue
        try:
            path = inside(data.folder, image.name, beyond=folders())
        except ValueError as error:
            hint = f", or write that folder into {config_file()}" if "link to" in str(error) else ""
            raise InvalidData(f"{data.where}: {error}{hint}") from error
        if not path.is_file() and not _may_skip(data):
            raise InvalidData(
                f"{data.where} lists {image.name}, but there is no such file in {data.folder}"
            )


def _may_skip(data: Dataset) -> bool:
    return data.origin is not None and data.origin.options.bad_images == "skip"


def _unreadable(data: Dataset) -> Iterator[tuple[str, str]]:
    """Names of images that cannot be read, and why: by their header, or whole where they may go.

    A header is read in a tenth of a millisecond, and with the last bytes shows a file that is
    none or cut off. What is to be skipped must be known in full, so that it is decoded.
    """

    def problem(image: SourceImage) -> str | None:
        try:
            image.decode() if _may_skip(data) else image.upright_size()
        except InvalidImage as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        found = zip(data.images, pool.map(problem, data.images), strict=True)
        yield from ((image.name, why) for image, why in found if why is not None)
