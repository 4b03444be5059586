"""Images that only their folders and names say something of: plain, by class, beside masks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from edgeskin.data.listing import FILE, MASK, MASKS, SPLIT, SPLITS, Listing, Row, images_below
from edgeskin.errors import InvalidData

LABEL = "label"
_IMAGES, _MASKS = ("images", "image", "imgs"), ("masks", "mask", "labels", "annotations")
_SUFFIX = re.compile(r"[_-](mask|segmentation|seg)([_-]\d+)?$", re.IGNORECASE)
_MASK_FILES = (".png", ".bmp", ".tif", ".tiff", ".gif")


def plain(folder: Path) -> Listing:
    """Every image below a folder, without a label."""
    return Listing("images without labels", folder, folder, _rows(images_below(folder)))


def by_class(folder: Path) -> Listing | None:
    """`CLASS/*.jpg` or `SPLIT/CLASS/*.jpg`; None where the folders are no classes.

    They are where every image lies in one, and there are two or more.
    """
    rows = _class_rows(images_below(folder))
    return Listing("a folder a class", folder, folder, rows, LABEL) if rows else None


def with_masks(folder: Path) -> Listing | None:
    """`images/` beside `masks/`, in each split or below both, or `NAME_mask.png` beside NAME.

    The images may lie in a folder a class, too. None where there is no mask.

    Raises:
        InvalidData: Some images have no mask.
    """
    files = images_below(folder)
    masks: dict[str, list[str]] = {}
    names = []
    for name in files:
        key = _key_of_mask(name)
        if key is None:
            names.append(name)
        else:
            masks.setdefault(key, []).append(name)
    pairs = {name: masks.get(_key_of_image(name), []) for name in names}
    if not any(pairs.values()):
        return None
    if missing := [name for name, mask in pairs.items() if not mask]:
        raise InvalidData(
            f"{len(missing)} of {len(names)} images of {folder} have no mask, the first is "
            f"{missing[0]}: add them, or take the images without masks by --layout images"
        )
    classes = _class_rows(names)
    rows = tuple(row | {MASK: MASKS.join(pairs[row[FILE]])} for row in classes or _rows(names))
    label = LABEL if classes else None
    return Listing("images beside masks", folder, folder, rows, label)


def _class_rows(names: Iterable[str]) -> tuple[Row, ...]:
    """A row an image with the class that its folder is, empty where folders are no classes."""
    files = {name: _without(PurePosixPath(name), _IMAGES) for name in names}
    depth = 1 if _starts_with_splits(list(files.values())) else 0
    if any(len(file.parts) < depth + 2 for file in files.values()):
        return ()
    if len({file.parts[depth] for file in files.values()}) < 2:
        return ()
    return tuple(
        {FILE: name}
        | ({SPLIT: SPLITS[file.parts[0].lower()]} if depth else {})
        | {LABEL: file.parts[depth]}
        for name, file in files.items()
    )


def _rows(names: Iterable[str]) -> tuple[Row, ...]:
    """Rows of files, with their split where the folders are splits."""
    files = {name: _without(PurePosixPath(name), _IMAGES) for name in names}
    if not _starts_with_splits(list(files.values())):
        return tuple({FILE: name} for name in files)
    return tuple({FILE: name, SPLIT: SPLITS[f.parts[0].lower()]} for name, f in files.items())


def _starts_with_splits(files: Sequence[PurePosixPath]) -> bool:
    return bool(files) and all(
        len(file.parts) > 1 and file.parts[0].lower() in SPLITS for file in files
    )


def _without(file: PurePosixPath, names: Sequence[str]) -> PurePosixPath:
    """The path without its first folder of one of these names: what image and mask share."""
    folders = [part.lower() for part in file.parts[:-1]]
    place = next((i for i, part in enumerate(folders) if part in names), None)
    if place is None:
        return file
    return PurePosixPath(*file.parts[:place], *file.parts[place + 1 :])


def _key_of_mask(name: str) -> str | None:
    """What a mask is called without saying that it is one; None for what is no mask."""
    file = PurePosixPath(name)
    if file.suffix.lower() not in _MASK_FILES:
        return None
    folders = {part.lower() for part in file.parts[:-1]}
    suffix = _SUFFIX.search(file.stem)
    if suffix is None and folders.isdisjoint(_MASKS):
        return None
    bare = file.with_name(_SUFFIX.sub("", file.stem) or file.stem)
    return str(_without(bare, _MASKS))


def _key_of_image(name: str) -> str:
    return str(_without(PurePosixPath(name).with_suffix(""), _IMAGES))
