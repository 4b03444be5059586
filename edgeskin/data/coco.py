"""COCO JSON: images, annotations by category, polygons and runs of pixels.

A row has `category`, the one with most annotations (the larger area decides between equals),
`categories`, all of them divided by `|`, `count`, the number of annotations, and under the name of
each category the number of its own: what a head of classes, or of a count, is called after.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeskin.data.data_options import DataOptions
from edgeskin.data.listing import (
    BETWEEN_LABELS,
    FILE,
    MASK,
    SPLIT,
    SPLITS,
    DrawnMask,
    Listing,
    Row,
)
from edgeskin.errors import InvalidData

CATEGORY, CATEGORIES = "category", "categories"
_SUBPIXEL_BITS = 4
_MOST_PIXELS = 100_000_000
_START = 1 << 20  # bytes
_KEYS = (b'"images"', b'"annotations"')


def find_coco(folder: Path) -> list[Path]:
    """The COCO files of a folder: beside the images, in `annotations/`, or in each split."""
    places = [folder, folder / "annotations", *(p for p in folder.iterdir() if p.is_dir())]
    files = [file for place in dict.fromkeys(places) for file in sorted(place.glob("*.json"))]
    return [file for file in files if is_coco(file)]


def is_coco(path: Path) -> bool:
    """Whether a JSON file is one of images and annotations of them; a large one by its start."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
        if len(start) == _START:
            return start.lstrip().startswith(b"{") and any(key in start for key in _KEYS)
        document = json.loads(start)
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and {"images", "annotations"} <= document.keys()


def read_coco(paths: Sequence[Path], options: DataOptions) -> Listing:
    """One or several COCO files, of a split each.

    Raises:
        InvalidData: Not COCO, or its images are nowhere to be found.
    """
    files = [_File.read(path, options) for path in paths]
    root = _common([file.images for file in files])
    rows: list[Row] = []
    drawn: dict[str, DrawnMask] = {}
    names = tuple(dict.fromkeys(name for file in files for name in file.categories.values()))
    for file in files:
        for image, its_own in file.annotated():
            row, mask = _row(file, image, its_own, names, root)
            rows.append(row)
            if mask is not None:
                drawn[row[MASK]] = mask
    if any(row.get(SPLIT) for row in rows) and not all(row.get(SPLIT) for row in rows):
        rows = [{key: text for key, text in row.items() if key != SPLIT} for row in rows]
    path = paths[0] if len(paths) == 1 else root
    return Listing(
        "COCO annotations", path, root, tuple(rows), CATEGORY, drawn=drawn, labels=CATEGORIES
    )


@dataclass(frozen=True)
class _File:
    path: Path
    document: Mapping[str, Any]
    categories: Mapping[int, str]
    images: Path
    split: str | None

    @classmethod
    def read(cls, path: Path, options: DataOptions) -> _File:
        try:
            document = json.loads(path.read_bytes())
            categories = {int(c["id"]): str(c["name"]) for c in document.get("categories", ())}
            split = _split_of(path)
            first = next((str(i["file_name"]) for i in document["images"]), None)
        except (ValueError, KeyError, TypeError) as error:
            raise _not_coco(path, error) from error
        if first is None:
            raise InvalidData(f"{path} lists no image")
        return cls(path, document, categories, _images_of(path, split, first, options), split)

    def annotated(self) -> Iterator[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
        """Each image with its annotations."""
        try:
            of_image: dict[Any, list[Mapping[str, Any]]] = {i["id"]: [] for i in self._images}
            for annotation in self.document["annotations"]:
                of_image[annotation["image_id"]].append(annotation)
            yield from ((image, of_image[image["id"]]) for image in self._images)
        except (KeyError, TypeError) as error:
            raise _not_coco(self.path, error) from error

    @property
    def _images(self) -> Sequence[Mapping[str, Any]]:
        images: Sequence[Mapping[str, Any]] = self.document["images"]
        return images


def _not_coco(path: Path, error: Exception) -> InvalidData:
    return InvalidData(f"{path} is not a whole COCO file: {type(error).__name__}: {error}")


def _split_of(path: Path) -> str | None:
    """From `instances_train2017.json`, or the name of the folder."""
    words = path.stem.lower().replace("-", "_").split("_")
    names = [word.rstrip("0123456789") for word in words] + [path.parent.name.lower()]
    return next((SPLITS[name] for name in names if name in SPLITS), None)


def _images_of(path: Path, split: str | None, first: str, options: DataOptions) -> Path:
    """The folder in which the first image lies."""
    if options.image_dir is not None:
        return options.image_dir.resolve()
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    spellings = [name for name, ours in SPLITS.items() if ours == split]
    near = [p for p in (root, root / "images") if p.is_dir()]
    by_split = [
        sub
        for place in near
        for sub in sorted(place.iterdir())
        if sub.is_dir() and sub.name.lower().rstrip("0123456789") in spellings
    ]
    for place in (path.parent, *by_split, *near):
        if (place / first).is_file():
            return place.resolve()
    raise InvalidData(f"{path} lists {first}, which lies in no folder near it: pass --image-dir")


def _common(folders: Sequence[Path]) -> Path:
    """The innermost folder that holds them all."""
    first, *others = folders
    return next(
        place
        for place in (first, *first.parents)
        if all(other.is_relative_to(place) for other in others)
    )


def _row(
    file: _File,
    image: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    root: Path,
) -> tuple[Row, DrawnMask | None]:
    try:
        size = int(image["height"]), int(image["width"])
        name = (file.images.relative_to(root) / str(image["file_name"])).as_posix()
        found = [(file.categories[int(a["category_id"])], a) for a in annotations]
        areas: Counter[str] = Counter()
        for category, annotation in found:
            areas[category] += float(annotation.get("area") or 0)  # type: ignore[assignment]
    except (KeyError, TypeError, ValueError) as error:
        raise _not_coco(file.path, error) from error
    counts = Counter(category for category, _ in found)
    row = {FILE: name} | ({SPLIT: file.split} if file.split else {})
    row |= {
        CATEGORY: max(counts, key=lambda c: (counts[c], areas[c]), default=""),
        CATEGORIES: BETWEEN_LABELS.join(sorted(counts)),
        "count": str(len(found)),
    }
    row |= {category: str(counts[category]) for category in names if category not in row}
    outlined = [(c, a["segmentation"]) for c, a in found if a.get("segmentation")]
    if not outlined and found:
        return row, None  # boxes only
    row[MASK] = f"{file.path.name}#{image['id']}"
    return row, DrawnMask(*size, tuple(names), partial(_draw, outlined, *size, file.path))


def _draw(
    outlined: Sequence[tuple[str, Any]], height: int, width: int, path: Path
) -> dict[str, NDArray[np.bool_]]:
    """Polygons and runs of pixels as masks, by category."""
    if height * width > _MOST_PIXELS or min(height, width) < 1:
        raise InvalidData(f"{path} has an image of {width} x {height} pixels")
    planes: dict[str, NDArray[np.bool_]] = {}
    for category, outline in outlined:
        plane = planes.setdefault(category, np.zeros((height, width), np.bool_))
        try:
            is_runs = isinstance(outline, Mapping)
            plane |= (_runs if is_runs else _polygons)(outline, height, width)
        except (KeyError, TypeError, ValueError, IndexError, cv2.error) as error:
            raise InvalidData(f"{path} has a segmentation that is none: {error}") from error
    return planes


def _polygons(polygons: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Polygons as COCO has them, [x0, y0, x1, y1, ...], a pixel's middle being at one half."""
    scale = 1 << _SUBPIXEL_BITS
    outlines = [np.asarray(p, np.float64).reshape(-1, 2) for p in polygons]
    points = [np.rint((outline - 0.5) * scale).astype(np.int32) for outline in outlines]
    canvas = np.zeros((height, width), np.uint8)
    for outline in points:  # one at a time: together, what two have in common is left out
        cv2.fillPoly(canvas, [outline], (1,), shift=_SUBPIXEL_BITS)
    return canvas.astype(np.bool_)


def _runs(outline: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    """Lengths of runs of 0 and 1 in turns, down the columns, as numbers or packed into text."""
    if [int(side) for side in outline["size"]] != [height, width]:
        raise ValueError(f"its size {outline['size']} is not the image's {[height, width]}")
    counts = outline["counts"]
    lengths = _unpacked(counts) if isinstance(counts, str) else [int(n) for n in counts]
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise ValueError(f"its runs have {sum(lengths)} pixels, the image {height * width}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    """Lengths from their text: 5 bits a sign, the lowest first; from the fourth on differences.

    A sign is its value plus 48; bit 5 says that more follow, bit 4 of the last is the sign.
    """
    lengths: list[int] = []
    value = shift = 0
    for code in text.encode("ascii"):
        bits = code - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return lengths
