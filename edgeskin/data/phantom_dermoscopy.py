"""Dermatoscopic phantoms: one lesion of seven classes on skin, under a round lens, with hairs.

The patterns stand in `phantom_patterns`; determinism: see `phantom_canvas`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.phantom_canvas import Canvas, Dice, photograph
from edgeskin.data.phantom_files import SetKind, Sheet, check_drawable
from edgeskin.data.phantom_patterns import PATTERNS, draw_pattern, drawn_class
from edgeskin.data.phantom_shapes import bend, cover_of, draw_stroke, paint
from edgeskin.data.phantom_skin import bare_skin
from edgeskin.data.skin_tone import FloatArray

LABELS = tuple(PATTERNS)
MELANOMA = "mel"
COLUMNS = ("label", "area_fraction", "ita_deg")
SIZE_RANGE = (64, 2048)

_LABELS, _SKIN, _LESION, _LENS, _CAMERA = range(30, 35)  # independent streams of one seed
_HAIR, _DARK = (13.0, 3.0, 4.0), (3.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Dermoscopy:
    """A synthetic dermatoscopic picture and its labels."""

    seed: int
    label: str  # one of LABELS
    ita_deg: float  # of the bare skin
    image: NDArray[np.uint8]  # (size, size, 3), sRGB, RGB order
    mask: NDArray[np.bool_]  # (size, size), True on the lesion, also where hairs cross it
    covered: NDArray[np.bool_]  # (size, size), True on hairs and behind the lens' rim


def render_dermoscopy(
    seed: int, *, size: int = 256, label: str | None = None, ita_deg: float | None = None
) -> Dermoscopy:
    """A dermatoscopic phantom `size` pixels wide and high.

    Args:
        seed: Any integer from 0. It also settles what other arguments leave open. Skin,
            hairs and lens stay the same whatever `label`.
        size: Width in pixels, within `SIZE_RANGE`; details scale with it.
        label: One of `LABELS`; None draws it evenly.
        ita_deg: Skin tone, within `skin_tone.ITA_RANGE_DEG`; None draws it evenly.

    Raises:
        InvalidData: An argument is out of range.
    """
    check_drawable(seed, size, SIZE_RANGE)
    label, ita = drawn_class(Dice(seed, _LABELS), label, ita_deg)
    canvas, dice = bare_skin(Dice(seed, _SKIN), size, ita), Dice(seed, _LESION)
    where = (
        dice.between(0.42, 0.58) * size,
        dice.between(0.42, 0.58) * size,
        dice.between(0.17, 0.36) * size,
    )
    mask = draw_pattern(canvas.planes, dice, label, where, canvas.lightness)
    covered = _lens(canvas, Dice(seed, _LENS))
    image = photograph(canvas, Dice(seed, _CAMERA), ~(mask | covered))
    return Dermoscopy(seed, label, ita, image, mask, covered)


def _sheet(seed: int, size: int) -> Sheet:
    phantom = render_dermoscopy(seed, size=size)
    return _filed(phantom, phantom.label)


def _melanoma_sheet(seed: int, size: int) -> Sheet:
    others = tuple(label for label in LABELS if label != MELANOMA)
    label = others[seed // 2 % len(others)] if seed % 2 else MELANOMA
    phantom = render_dermoscopy(seed, size=size, label=label)
    return _filed(phantom, "melanoma" if label == MELANOMA else "not_melanoma")


def _filed(phantom: Dermoscopy, label: str) -> Sheet:
    share = np.count_nonzero(phantom.mask) / phantom.mask.size
    return Sheet(phantom.image, phantom.mask, (label, f"{share:.4f}", f"{phantom.ita_deg:.2f}"))


DERMOSCOPY_SET = SetKind(COLUMNS, SIZE_RANGE, _sheet)
"""Dermatoscopic phantoms of the seven classes."""

MELANOMA_SET = SetKind(COLUMNS, SIZE_RANGE, _melanoma_sheet)
"""Labels are melanoma and not_melanoma, half of each; of the latter, each other class in turn."""


def _lens(canvas: Canvas, dice: Dice) -> NDArray[np.bool_]:
    """Lay hairs over the skin and the lens' dark rim round it; returns where they hide it."""
    hairs = _hairs(dice, canvas.size)
    paint(canvas.planes, hairs * 0.85, _HAIR)
    canvas.planes[3] *= 1.0 - hairs
    away = (np.arange(canvas.size) + 0.5) * (2.0 / canvas.size) - 1.0
    squared = (away * away)[:, None] + (away * away)[None, :]
    radius = dice.between(1.0, 1.25) if dice.unit() < 0.5 else 2.0
    rim = cover_of(np.sqrt(squared) - radius, 0.12)
    paint(canvas.planes, rim, _DARK)
    return (hairs > 0.1) | (rim > 0.01)


def _hairs(dice: Dice, size: int) -> FloatArray:
    """Cover of none to a dozen bent hairs, most growing one way."""
    cover = np.zeros((size, size))
    grow_x, grow_y = dice.direction()
    for _ in range(max(dice.integer(-8, 12), 0)):
        x, y = dice.between(-0.1, 1.0) * size, dice.between(-0.1, 1.0) * size
        length = dice.between(0.25, 0.7) * size
        bow_x, bow_y = dice.direction()
        end = (x + length * (grow_x + 0.4 * bow_x), y + length * (grow_y + 0.4 * bow_y))
        via = (x + 0.5 * length * (grow_x + bow_x * 0.5), y + 0.5 * length * (grow_y - bow_y * 0.5))
        wide = max(dice.between(0.002, 0.0045) * size, 0.4)
        draw_stroke(cover, bend((x, y), via, end, 8), (wide, 0.4 * wide))
    return cover
