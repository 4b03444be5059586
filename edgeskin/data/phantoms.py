"""Synthetic skin photos from a seed, with lesions by kind, boxes, masks and severity.

They are the demo data, the privacy-safe self-test pack and the source of
golden vectors: the same seed gives the same bytes on every machine (how, is
told in `phantom_canvas`). They show no person, so they may be handed on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.phantom_canvas import Dice, photograph
from edgeskin.data.phantom_files import SPLITS as SPLITS
from edgeskin.data.phantom_files import Sheet, check_drawable, write_sheets
from edgeskin.data.phantom_lesions import Box, draw_lesion, place_lesions
from edgeskin.data.phantom_skin import bare_skin
from edgeskin.data.skin_tone import ITA_RANGE_DEG
from edgeskin.errors import InvalidData, ShapeMismatch
from edgeskin.progress import Progress, silent

KINDS = ("papule", "pustule", "nodule", "comedone")

GRADE_COUNTS = ((1, 5), (6, 20), (21, 50), (51, 65))
"""Fewest and most lesions drawn for each severity; `severity_of` has the limits."""

SIZE_RANGE = (64, 2048)
"""Widths in pixels; on smaller photos a comedone would be less than a pixel."""

MANIFEST_COLUMNS = (
    "severity",
    "count",
    "n_papules",
    "n_pustules",
    "n_nodules_cysts",
    "n_comedones",
    "ita_deg",
)
BOX_COLUMNS = ("file", "kind", "x0", "y0", "x1", "y1")

_LABELS, _SKIN, _LESIONS, _CAMERA = range(4)  # independent streams of one seed
_SHARES = {"papule": 1.0, "pustule": 0.8, "nodule": 0.35, "comedone": 1.0}


@dataclass(frozen=True)
class Lesion:
    """One lesion; the box x0, y0, x1, y1 just holds its mask, in pixels, half-open."""

    kind: str
    box: Box


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic photo and its labels."""

    seed: int
    ita_deg: float  # drawn for; `skin_tone.ita_deg` finds it within 5 degrees
    image: NDArray[np.uint8]  # (size, size, 3), sRGB, RGB order
    mask: NDArray[np.bool_]  # (size, size), True on lesions
    lesions: tuple[Lesion, ...]

    @property
    def count(self) -> int:
        return len(self.lesions)

    @property
    def counts(self) -> dict[str, int]:
        """Lesions of every kind, in the order of `KINDS`."""
        return {kind: sum(lesion.kind == kind for lesion in self.lesions) for kind in KINDS}

    @property
    def severity(self) -> int:
        return severity_of(self.count)


def severity_of(count: int) -> int:
    """Severity 0..3 of that many lesions: up to 5, 6-20, 21-50, over 50.

    Limits of Hayashi, Akamatsu and Kawashima, J Dermatol 35, 2008, 255-260,
    for inflammatory lesions on half a face; as in ACNE04, comedones count too.
    """
    return sum(count > limit for limit in (5, 20, 50))


def render_phantom(
    seed: int,
    *,
    size: int = 256,
    ita_deg: float | None = None,
    counts: Mapping[str, int] | None = None,
) -> Phantom:
    """A phantom `size` pixels wide and high.

    Args:
        seed: Any integer from 0. It also settles what other arguments leave
            open. The bare skin and the lamp stay the same whatever `counts`.
        size: Width in pixels, within `SIZE_RANGE`; details scale with it.
        ita_deg: Skin tone, within `skin_tone.ITA_RANGE_DEG`; None draws it evenly.
        counts: Lesions by kind, kinds left out at 0; None draws the severity
            evenly, the count evenly within `GRADE_COUNTS`, then a random mix.

    Raises:
        InvalidData: An argument is out of range, or the lesions do not fit.
    """
    _check(seed, size, counts)
    labels = Dice(seed, _LABELS)
    drawn_ita, drawn_counts = labels.between(*ITA_RANGE_DEG), _draw_counts(labels)
    ita = drawn_ita if ita_deg is None else float(ita_deg)
    canvas = bare_skin(Dice(seed, _SKIN), size, ita)
    dice = Dice(seed, _LESIONS)
    spots = place_lesions(dice, size, drawn_counts if counts is None else counts)
    lesions = tuple(Lesion(spot.kind, draw_lesion(canvas, dice, spot)) for spot in spots)
    image = photograph(canvas, Dice(seed, _CAMERA))
    return Phantom(seed, ita, image, canvas.mask, lesions)


def _check(seed: int, size: int, counts: Mapping[str, int] | None) -> None:
    check_drawable(seed, size, SIZE_RANGE)
    for kind, number in (counts or {}).items():
        if kind not in KINDS:
            raise InvalidData(f"counts names {kind!r}, lesions are of kind {', '.join(KINDS)}.")
        if number < 0:
            raise InvalidData(f"counts asks for {number} of kind {kind}, it must be 0 or more.")


def _draw_counts(dice: Dice) -> dict[str, int]:
    total = dice.integer(*GRADE_COUNTS[dice.integer(0, len(GRADE_COUNTS) - 1)])
    shares = [dice.between(0.1, 1.0) * _SHARES[kind] for kind in KINDS]
    counts = dict.fromkeys(KINDS, 0)
    for _ in range(total):
        pick = dice.unit() * (shares[0] + shares[1] + shares[2] + shares[3])
        index = 0
        while index < len(KINDS) - 1 and pick >= shares[index]:
            pick -= shares[index]
            index += 1
        counts[KINDS[index]] += 1
    return counts


def write_set(
    folder: Path,
    *,
    train: int,
    val: int,
    test: int,
    seed: int = 0,
    size: int = 256,
    progress: Progress = silent,
) -> Path:
    """Render a data set: images/*.png, masks/*.png (1 bit), boxes.csv and manifest.csv.

    Args:
        folder: Made if it is not there; must not hold a manifest yet.
        train, val, test: Images of each split. No seed is in two splits, nor
            in two sets of different `seed`.
        seed: Any integer from 0.
        size: Width and height of the images, pixels.
        progress: Called after each image.

    Returns:
        Path of manifest.csv, which is written last: where it is, all is.

    Raises:
        InvalidData: No image at all, or a number is out of range.
        CannotWrite: The folder holds a manifest, or cannot be written to.
    """
    _check(seed, size, None)
    boxes: list[tuple[object, ...]] = []

    def draw(file: str, image_seed: int) -> Sheet:
        phantom = render_phantom(image_seed, size=size)
        boxes.extend((file, lesion.kind, *lesion.box) for lesion in phantom.lesions)
        ita = f"{phantom.ita_deg:.2f}"
        labels = (phantom.severity, phantom.count, *phantom.counts.values(), ita)
        return Sheet(phantom.image, phantom.mask, labels)

    extras = (("boxes.csv", BOX_COLUMNS, lambda: boxes),)
    return write_sheets(folder, MANIFEST_COLUMNS, draw, (train, val, test), seed, progress, extras)


def contact_sheet(images: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Images in rows of `columns`, with a thin light gap round each.

    Args:
        images: At least one; uint8, all (height, width, 3).

    Raises:
        InvalidData: No image, or less than one column.
        ShapeMismatch: The images differ in shape.
    """
    if not images or columns < 1:
        raise InvalidData(f"cannot lay out {len(images)} images in {columns} columns.")
    height, width, channels = images[0].shape
    gap, rows = 4, -(-len(images) // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, channels)
    sheet = np.full(shape, 235, np.uint8)
    for index, image in enumerate(images):
        if image.shape != images[0].shape:
            raise ShapeMismatch(f"image 0 is {images[0].shape}, image {index} is {image.shape}.")
        y = gap + index // columns * (height + gap)
        x = gap + index % columns * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet
