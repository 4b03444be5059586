"""What years do to face phantoms: wrinkles, folds, bags, spots, texture, grey hair.

Each sign sets in over a range of years, and comes a few years early or late
in each face, so that no single one tells the age. The ranges were set by eye,
for a demonstration; they say nothing of real skin. Determinism: see `phantom_canvas`.
"""

from dataclasses import dataclass

import numpy as np

from edgeskin.data.phantom_canvas import Dice, ellipse, smooth_noise, stretched_noise
from edgeskin.data.phantom_head import Build, Frame
from edgeskin.data.phantom_shapes import Point, bend, draw_stroke, tint
from edgeskin.data.skin_tone import FloatArray

_EARLY_OR_LATE = 5.0  # years, at most


@dataclass(frozen=True)
class Signs:
    """How far each sign has come, 0 to 1."""

    forehead: float
    frown: float
    crows_feet: float
    bags: float
    folds: float  # from nose and mouth down
    fine: float  # lines everywhere
    spots: float
    blotches: float
    grey: float
    shape: float  # thin lips, narrow eyes, heavy jaw


def draw_signs(dice: Dice, age: float) -> Signs:
    def since(first: float, last: float) -> float:
        years = age + dice.between(-_EARLY_OR_LATE, _EARLY_OR_LATE)
        return min(max((years - first) / (last - first), 0.0), 1.0)

    return Signs(
        forehead=since(25.0, 72.0),
        frown=since(32.0, 75.0),
        crows_feet=since(28.0, 72.0),
        bags=since(30.0, 78.0),
        folds=since(22.0, 75.0),
        fine=since(48.0, 82.0),
        spots=since(40.0, 82.0),
        blotches=since(30.0, 80.0),
        grey=since(34.0, 78.0),
        shape=since(30.0, 85.0),
    )


def draw_ageing(
    planes: FloatArray, dice: Dice, frame: Frame, build: Build, signs: Signs, skin: FloatArray
) -> None:
    """Age the skin, whose cover is given."""
    _blotch(planes, dice, signs, skin)
    _bag(planes, frame, build, signs.bags)
    lines = np.zeros_like(frame.x)
    for draw, strength in (
        (_forehead, signs.forehead),
        (_frown, signs.frown),
        (_crows_feet, signs.crows_feet),
        (_under_eyes, signs.bags),
        (_folds, signs.folds),
    ):
        draw(lines, dice, frame, build, strength)
    lines *= skin
    planes[0] *= 1.0 - 0.27 * lines
    planes[1] += 2.0 * lines
    planes[3] -= lines * (0.014 * frame.unit)
    _wither(planes, dice, frame, signs.fine, skin)
    for _ in range(int(16.0 * signs.spots + dice.unit())):
        _spot(planes, dice, frame, build, skin)


def _crease(
    lines: FloatArray,
    frame: Frame,
    points: tuple[Point, Point, Point],
    strength: float,
    wide: float = 0.011,
) -> None:
    if strength <= 0.0:
        return
    thick = wide * (0.5 + strength) * frame.unit
    start, via, end = (frame.pixel(x, y) for x, y in points)
    corners = bend(start, via, end)
    draw_stroke(lines, corners, (thick, 0.2), min(strength, 1.0), 0.016 * frame.unit + 1.0)


def _forehead(lines: FloatArray, dice: Dice, frame: Frame, build: Build, strength: float) -> None:
    """Up to five lines across, the middle ones first."""
    top, low = build.hairline + 0.06, build.brow[0] - 0.08
    for place, start in ((0.55, 0.0), (0.8, 0.15), (0.3, 0.3), (0.95, 0.5), (0.12, 0.6)):
        y = top + place * (low - top) + dice.between(-0.01, 0.01)
        half, bow = dice.between(0.26, 0.42), dice.between(-0.04, 0.02)
        points = (-half, y), (dice.between(-0.1, 0.1), y + bow), (half, y)
        _crease(lines, frame, points, (strength - start) * 1.5)


def _frown(lines: FloatArray, dice: Dice, frame: Frame, build: Build, strength: float) -> None:
    """Two lines that rise between the brows."""
    y = build.brow[0]
    for side in (-1.0, 1.0):
        x = side * dice.between(0.04, 0.07)
        points = (x, y + 0.09), (0.8 * x, y), (x * 1.1, y - 0.08)
        _crease(lines, frame, points, strength * dice.between(0.5, 1.1))


def _crows_feet(lines: FloatArray, dice: Dice, frame: Frame, build: Build, strength: float) -> None:
    """Up to five rays from the outer corner of each eye."""
    x, y, wide, _ = build.eye
    for side in (-1.0, 1.0):
        for ray, start in ((0.0, 0.0), (0.5, 0.1), (-0.5, 0.25), (1.0, 0.4), (-0.9, 0.55)):
            reach = dice.between(0.1, 0.17)
            begin = side * (x + wide + 0.03), y + 0.03 * ray
            end = side * (x + wide + 0.03 + reach), y + 0.16 * ray
            via = 0.5 * (begin[0] + end[0]), 0.5 * (begin[1] + end[1]) + 0.02
            _crease(lines, frame, (begin, via, end), (strength - start) * 1.6, 0.008)


def _under_eyes(lines: FloatArray, dice: Dice, frame: Frame, build: Build, strength: float) -> None:
    """One, then two arcs under each eye."""
    x, y, wide, high = build.eye
    for side in (-1.0, 1.0):
        for drop, start in ((0.09, 0.0), (0.045, 0.4)):
            low = y + high + drop
            points = (
                (side * (x - 0.9 * wide), low - 0.04),
                (side * x, low + 0.05),
                (side * (x + wide), low - 0.05),
            )
            _crease(lines, frame, points, (strength - start) * dice.between(0.9, 1.3), 0.009)


def _folds(lines: FloatArray, dice: Dice, frame: Frame, build: Build, strength: float) -> None:
    """From the wings of the nose round the mouth, and from its corners down."""
    wing, tip = build.nose
    mouth_y, mouth_x, _ = build.mouth
    for side in (-1.0, 1.0):
        out = mouth_x + dice.between(0.05, 0.09)
        points = (
            (side * (wing + 0.03), tip + 0.02),
            (side * (out + 0.02), 0.5 * (tip + mouth_y)),
            (side * out, mouth_y + 0.04),
        )
        _crease(lines, frame, points, 0.12 + 0.95 * strength, 0.014)
        x = side * (mouth_x + 0.025)
        points = (x, mouth_y + 0.03), (x * 1.08, mouth_y + 0.1), (x * 1.02, mouth_y + 0.22)
        _crease(lines, frame, points, (strength - 0.35) * 1.4, 0.012)


def _bag(planes: FloatArray, frame: Frame, build: Build, strength: float) -> None:
    """A swelling under each eye, bluish where the skin is thin."""
    x, y, wide, high = build.eye
    for side in (-1.0, 1.0):
        bump = frame.dome(side * x, y + high + 0.06, wide, 0.07)
        planes[3] += bump * (0.035 * strength * frame.unit)
        tint(planes, bump, (-4.0 * strength, 1.0 * strength, -3.0 * strength))


def _blotch(planes: FloatArray, dice: Dice, signs: Signs, skin: FloatArray) -> None:
    """Uneven colour, over some tenth of a face."""
    size = skin.shape[0]
    blood = smooth_noise(dice, size, 0.05 * size) + smooth_noise(dice, size, 0.02 * size)
    tint(planes, blood * skin, (-0.7 * signs.blotches, 1.4 * signs.blotches, 0.4))


def _wither(
    planes: FloatArray, dice: Dice, frame: Frame, strength: float, skin: FloatArray
) -> None:
    """Fine lines that cross all over, and a coarser relief."""
    size = skin.shape[0]
    thin, long = 0.02 * frame.unit + 0.7, 0.07 * frame.unit
    for wide, high in ((thin, long), (long, thin)):
        ridges = stretched_noise(dice, size, wide, high)
        furrows = np.maximum(1.0 - 2.2 * np.abs(ridges), 0.0) * skin
        planes[0] *= 1.0 - 0.05 * strength * furrows
        planes[3] -= furrows * (0.003 * strength * frame.unit)


def _spot(planes: FloatArray, dice: Dice, frame: Frame, build: Build, skin: FloatArray) -> None:
    """A flat brown mark on forehead, temple or cheek."""
    x, y = dice.between(-0.85, 0.85) * build.width, dice.between(-0.75, 0.8)
    radius = dice.between(0.02, 0.06) * frame.unit
    column, row = frame.pixel(x, y)
    size = skin.shape[0]
    x0, x1 = max(int(column - radius), 0), min(int(column + radius) + 2, size)
    y0, y1 = max(int(row - radius), 0), min(int(row + radius) + 2, size)
    dx, dy = np.arange(x0, x1) + (0.5 - column), np.arange(y0, y1) + (0.5 - row)
    fall = np.maximum(1.0 - ellipse(dice, dx, dy, radius), 0.0)
    fall = fall * (2.0 - fall) * skin[y0:y1, x0:x1]
    tint(planes[:, y0:y1, x0:x1], fall * dice.between(0.5, 1.0), (-10.0, 3.5, 5.0))
