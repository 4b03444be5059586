"""Soft-edged shapes for phantoms: paint, strokes, honeycombs and blots.

A cover is how much of each pixel a shape takes, float64, 0 to 1. Determinism:
see `phantom_canvas`; square roots are exact to the last bit, as IEEE 754 asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeskin.data.phantom_canvas import Dice, smooth_noise
from edgeskin.data.skin_tone import FloatArray

Lab = tuple[float, float, float]
Point = tuple[float, float]


def cover_of(inside: FloatArray, edge: float = 1.0) -> FloatArray:
    """Cover of a shape from the distance to its rim, positive inside, over an `edge` as wide.

    >>> cover_of(np.array([-1.0, 0.0, 0.25, 1.0]))
    array([0.     , 0.5    , 0.84375, 1.     ])
    """
    t = np.minimum(np.maximum(inside * (1.0 / edge) + 0.5, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def paint(planes: FloatArray, cover: FloatArray, colour: Lab) -> None:
    """Lay an opaque colour over L*, a*, b* where the cover is 1, mixed where it is less."""
    for plane, value in zip(planes[:3], colour, strict=True):
        plane += cover * (value - plane)


def tint(planes: FloatArray, cover: FloatArray, change: Lab) -> None:
    """Change L*, a*, b* by that much where the cover is 1."""
    for plane, by in zip(planes[:3], change, strict=True):
        if by != 0.0:
            plane += cover * by


def bend(start: Point, middle: Point, end: Point, pieces: int = 6) -> list[Point]:
    """Corners of a quadratic Bezier curve cut into straight pieces."""
    corners = []
    for step in range(pieces + 1):
        t = step / pieces
        a, b, c = (1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t
        corners.append(
            (
                a * start[0] + b * middle[0] + c * end[0],
                a * start[1] + b * middle[1] + c * end[1],
            )
        )
    return corners


def draw_stroke(
    cover: FloatArray,
    corners: Sequence[Point],
    widths: tuple[float, float],
    strength: float = 1.0,
    soft: float = 1.0,
) -> None:
    """Raise a cover along a line; pixels it already covers more stay as they are.

    Args:
        cover: (height, width), changed in place.
        corners: Of the line, (x, y) in pixels.
        widths: Half widths in pixels, in the middle and at both ends.
        strength: Cover in the middle of the line, up to 1.
        soft: Width of the rim in pixels.
    """
    last = len(corners) - 1
    for i in range(last):
        thick = [_thickness(widths, k / last) for k in (i, i + 1)]
        _draw_piece(cover, corners[i], corners[i + 1], thick, strength, soft)


def _thickness(widths: tuple[float, float], along: float) -> float:
    return widths[1] + (widths[0] - widths[1]) * 4.0 * along * (1.0 - along)


def _draw_piece(
    cover: FloatArray, a: Point, b: Point, thick: list[float], strength: float, soft: float
) -> None:
    reach = max(thick) + soft
    height, width = cover.shape
    x0, x1 = _span(a[0], b[0], reach, width)
    y0, y1 = _span(a[1], b[1], reach, height)
    if x0 >= x1 or y0 >= y1:
        return
    along_x, along_y = b[0] - a[0], b[1] - a[1]
    length = max(along_x * along_x + along_y * along_y, 1e-9)
    dx = np.arange(x0, x1)[None, :] + (0.5 - a[0])
    dy = np.arange(y0, y1)[:, None] + (0.5 - a[1])
    t = np.minimum(np.maximum((dx * along_x + dy * along_y) * (1.0 / length), 0.0), 1.0)
    off_x, off_y = dx - t * along_x, dy - t * along_y
    distance = np.sqrt(off_x * off_x + off_y * off_y)
    wide = thick[0] + t * (thick[1] - thick[0])
    box = cover[y0:y1, x0:x1]
    np.maximum(box, cover_of(wide - distance, soft) * strength, out=box)


def _span(a: float, b: float, reach: float, limit: int) -> tuple[int, int]:
    return max(int(min(a, b) - reach), 0), min(int(max(a, b) + reach) + 2, limit)


@dataclass(frozen=True, eq=False)
class Cells:
    """A field cut into cells, each round its own seed; all (size, size)."""

    nearest: FloatArray  # distance to the seed of the cell, in cell widths
    second: FloatArray  # distance to the next seed: equal on the walls
    lot: FloatArray  # a number in [0, 1) of each cell

    def walls(self, width: float) -> FloatArray:
        """Cover of the walls between cells, `width` cell widths thick."""
        return cover_of(width - (self.second - self.nearest), width)

    def dots(self, radius: float, least: float = 0.0, below: float = 1.0) -> FloatArray:
        """Cover of a dot in each cell whose lot is in [least, below), smallest near `least`."""
        chosen = (self.lot >= least) & (self.lot < below)
        part = (self.lot - least) * (1.0 / (below - least))
        return cover_of(radius * (0.65 + 0.5 * part) - self.nearest, 0.7 * radius) * chosen


def cells(dice: Dice, size: int, pitch: float) -> Cells:
    """Cells about `pitch` pixels wide, of seeds thrown into the squares of a grid.

    The grid is bent by noise, so that cells are not cut from straight lines.
    """
    across = int(size / pitch) + 6
    jitter, lots = dice.units(2, across, across), dice.units(across, across)
    flat = (np.arange(size) + 0.5) * (1.0 / pitch) + 2.0
    y = flat[:, None] + _bends(dice, size, pitch)
    x = flat[None, :] + _bends(dice, size, pitch)
    row, column = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    nearest = np.full((size, size), 9.0)
    second, lot = nearest.copy(), np.zeros((size, size))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            at = row + dy, column + dx
            off_y, off_x = y - at[0] - jitter[0][at], x - at[1] - jitter[1][at]
            squared = off_y * off_y + off_x * off_x
            nearer = squared < nearest
            np.minimum(second, np.where(nearer, nearest, squared), out=second)
            lot = np.where(nearer, lots[at], lot)
            np.minimum(nearest, squared, out=nearest)
    return Cells(np.sqrt(nearest), np.sqrt(second), lot)


def _bends(dice: Dice, size: int, pitch: float) -> FloatArray:
    """Up to one cell width to and fro, over a few cells."""
    noise = smooth_noise(dice, size, max(1.2 * pitch, 1.0)) * 0.22
    return np.minimum(np.maximum(noise, -0.9), 0.9)
