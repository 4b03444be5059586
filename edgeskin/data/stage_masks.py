"""Masks beside the pictures of a stage: as they were, or cut as the pictures are.

Every column whose cells name mask files comes along. Masks that are drawn from annotations do
not: their levels follow the labels of a head, and nothing says which one will learn from them.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from PIL import Image

from edgeskin.data.dataset import Dataset
from edgeskin.data.listing import FILE, MASK, MASKS, NO_LABELS, Row
from edgeskin.data.segmentation_truth import over_the_image
from edgeskin.errors import InvalidImage
from edgeskin.images import SUFFIXES
from edgeskin.pipelines.joins import Crop

FOLDER = "masks"
DRAWN = "masks drawn from annotations are left out: to train on them, draw them into mask files"


def are_drawn(data: Dataset) -> bool:
    """Whether masks are drawn from annotations, and are no files."""
    return data.origin is not None and bool(data.origin.listing.drawn)


def mask_columns(data: Dataset) -> tuple[str, ...]:
    """The columns whose masks come along."""
    if are_drawn(data):
        return ()
    return tuple(name for name in data.rows[0] if name == MASK or _names_masks(data, name))


def _names_masks(data: Dataset, column: str) -> bool:
    """Whether every cell that is not empty names image files, and the first one is of masks."""
    cells = [(i, row[column]) for i, row in enumerate(data.rows) if row.get(column, "").strip()]
    if column in NO_LABELS or not cells:
        return False
    files = {name for _, cell in cells for name in cell.split(MASKS)}
    if not all(_is_image(data.folder / name) for name in files):
        return False
    try:
        data.levels(cells[0][0], column)
    except InvalidImage:  # a picture in colours
        return False
    return True


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def write_masks(
    data: Dataset,
    index: int,
    columns: tuple[str, ...],
    folder: Path,
    name: str,
    crop: Crop | None,
    size: tuple[int, int],
) -> Row:
    """Write the masks of one picture below `folder/masks`.

    Args:
        index: Of the picture's image.
        name: Of the picture's file, without its suffix.
        crop: Where the picture lies in its image; None of a whole one, whose mask files stay
            what they are.
        size: (height, width) of the image.

    Returns:
        The cells of `columns`, relative to `folder`; an empty one stays empty.

    Raises:
        InvalidData: A mask is of another shape than its image, or lies outside the data.
        InvalidImage: A mask cannot be read.
    """
    row = data.rows[index]
    cells: Row = {}
    for number, column in enumerate(columns):
        if not row[column].strip():
            cells[column] = ""
            continue
        levels = over_the_image(data.levels(index, column), size, row[FILE])
        stem = f"{FOLDER}/{name}_{number}"
        if crop is None:
            cells[column] = _copied(data, index, column, folder, stem)
            continue
        square = levels[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
        Image.fromarray(square).save(folder / f"{stem}.png")
        cells[column] = f"{stem}.png"
    return cells


def _copied(data: Dataset, index: int, column: str, folder: Path, stem: str) -> str:
    """The cell of a column, its files copied byte by byte."""
    names = []
    for part, mask in enumerate(data.mask_files(index, column)):
        content = mask.content()
        suffix = PurePosixPath(mask.name).suffix or ".png"
        names.append(f"{stem}_{part}{suffix}")
        path = folder / names[-1]
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return MASKS.join(names)
