"""How sets of phantoms come to disk: seeds of the splits, images, masks and tables."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeskin.errors import CannotWrite, InvalidData
from edgeskin.progress import Progress, silent

SPLITS = ("train", "val", "test")
SPLIT_LIMIT = 1_000_000
"""Most phantoms in one split; seeds of the next split start that much higher."""

LICENSE = "CC0-1.0"


@dataclass(frozen=True, eq=False)
class Sheet:
    """One phantom as it is filed."""

    image: NDArray[np.uint8]  # (height, width, 3), sRGB, or (height, width), grey
    mask: NDArray[np.bool_] | NDArray[np.uint8]  # (height, width): 1 bit a pixel, or levels
    labels: tuple[object, ...]  # cells of the manifest between `split` and `license`


Extras = tuple[str, tuple[str, ...], Callable[[], Iterable[tuple[object, ...]]]]
"""A further table: its name, its columns, and its rows once all phantoms are drawn."""


@dataclass(frozen=True)
class SetKind:
    """A kind of set: the columns of its manifest, how wide its images can be, and what draws one.

    `draw` takes a seed and a width in pixels.
    """

    columns: tuple[str, ...]
    size_range: tuple[int, int]
    draw: Callable[[int, int], Sheet]

    def write(
        self,
        folder: Path,
        *,
        train: int,
        val: int,
        test: int,
        seed: int = 0,
        size: int = 256,
        progress: Progress = silent,
    ) -> Path:
        """Draw a set; arguments, files and errors are those of `phantoms.write_set`."""
        check_drawable(seed, size, self.size_range)
        return write_sheets(
            folder,
            self.columns,
            lambda _, image_seed: self.draw(image_seed, size),
            (train, val, test),
            seed,
            progress,
        )


def write_sheets(
    folder: Path,
    columns: tuple[str, ...],
    draw: Callable[[str, int], Sheet],
    sizes: tuple[int, int, int],
    seed: int,
    progress: Progress,
    extras: tuple[Extras, ...] = (),
) -> Path:
    """Draw a set: images/*.png, masks/*.png and manifest.csv.

    Args:
        folder: Made if it is not there; must not hold a manifest yet.
        columns: Of `Sheet.labels`.
        draw: Gives a phantom by its image's path in the set and its seed.
        sizes: Images of each split. No seed is in two splits, nor in two sets of other `seed`.
        progress: Called after each image.

    Returns:
        Path of manifest.csv, which is written last: where it is, all is.

    Raises:
        InvalidData: No image at all, or a number is out of range.
        CannotWrite: The folder holds a manifest, or cannot be written to.
    """
    jobs = _jobs(seed, sizes)
    manifest = Path(folder) / "manifest.csv"
    if manifest.exists():
        raise CannotWrite(f"{manifest} exists already. Name another folder, or remove this one.")
    rows: list[tuple[object, ...]] = []
    try:
        for part in ("images", "masks"):
            (manifest.parent / part).mkdir(parents=True, exist_ok=True)
        for done, (split, name, image_seed) in enumerate(jobs, start=1):
            image, mask = f"images/{name}.png", f"masks/{name}.png"
            sheet = draw(image, image_seed)
            Image.fromarray(sheet.image).save(manifest.parent / image)
            Image.fromarray(sheet.mask).save(manifest.parent / mask)
            rows.append((image, mask, split, *sheet.labels, LICENSE))
            progress("rendering phantoms", done, len(jobs))
        for name, names, table in extras:
            _write_csv(manifest.parent / name, names, table())
        _write_csv(manifest, ("file", "mask", "split", *columns, "license"), rows)
    except OSError as error:
        raise CannotWrite(f"cannot write the set to {folder}: {error}") from error
    return manifest


def check_drawable(seed: int, size: int, limits: tuple[int, int]) -> None:
    """Refuse seeds below 0 and widths in pixels outside `limits`.

    Raises:
        InvalidData: With what may be asked for.
    """
    if seed < 0:
        raise InvalidData(f"seed is {seed}, it must be 0 or more.")
    low, high = limits
    if not low <= size <= high:
        raise InvalidData(f"size is {size} pixels, phantoms are {low} to {high} pixels wide.")


def _jobs(seed: int, sizes: tuple[int, int, int]) -> list[tuple[str, str, int]]:
    """Split, file stem and seed of every image."""
    if min(sizes) < 0 or max(sizes) > SPLIT_LIMIT or sum(sizes) == 0:
        raise InvalidData(
            f"train, val, test are {sizes}: each must be 0 to {SPLIT_LIMIT}, and not all 0."
        )
    return [
        (split, f"{split}_{i:05d}", (seed * len(SPLITS) + s) * SPLIT_LIMIT + i)
        for s, split in enumerate(SPLITS)
        for i in range(sizes[s])
    ]


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
