"""Eyes, brows, nose and lips of face phantoms, each with the cover of what is no skin.

Lengths are in half face heights, as in `phantom_head`. Determinism: see `phantom_canvas`.
"""

import numpy as np

from edgeskin.data.phantom_canvas import Dice, stretched_noise
from edgeskin.data.phantom_head import Build, Frame
from edgeskin.data.phantom_shapes import Lab, bend, cover_of, draw_stroke, paint, tint
from edgeskin.data.skin_tone import FloatArray

_SCLERA: Lab = (76.0, 2.0, 4.0)
_PUPIL: Lab = (5.0, 0.0, 0.0)
_LASHES: Lab = (12.0, 3.0, 4.0)
_MARGIN = 0.02  # the skin's mask keeps that far from eyes, brows and lips


def draw_eyes(planes: FloatArray, frame: Frame, build: Build) -> FloatArray:
    """Both eyes; returns the cover of what is inside the lids, and a little round it."""
    aside = np.zeros_like(frame.x)
    x, y, wide, high = build.eye
    for side in (-1.0, 1.0):
        u = (frame.x - side * x) * (1.0 / wide)
        v = (frame.y - y) * (1.0 / high)
        arch = 1.0 - u * u
        lids = np.minimum(v + arch, 0.75 * arch - v) * high
        _draw_eye(planes, frame, build, side * x, frame.cover(lids))
        _draw_lids(planes, frame, build, side)
        np.maximum(aside, frame.cover(lids + _MARGIN), out=aside)
    return aside


def _draw_eye(
    planes: FloatArray, frame: Frame, build: Build, x: float, opening: FloatArray
) -> None:
    y, high = build.eye[1], build.eye[3]
    dx, dy = frame.x - x, frame.y - (y - 0.08 * high)
    away = np.sqrt(dx * dx + dy * dy)
    iris = 0.062
    paint(planes, opening, _SCLERA)
    paint(planes, opening * frame.cover(iris - away), build.iris)
    tint(planes, opening * frame.cover(0.012 - np.abs(away - iris)), (-14.0, 0.0, 0.0))
    paint(planes, opening * frame.cover(0.5 * iris - away), _PUPIL)
    lit = np.sqrt((dx + 0.022) * (dx + 0.022) + (dy + 0.02) * (dy + 0.02))
    paint(planes, opening * frame.cover(0.012 - lit), (97.0, 0.0, 0.0))
    upper = np.maximum(1.0 - (frame.y - y + high) * (1.0 / high), 0.0)
    planes[0] *= 1.0 - 0.45 * opening * np.minimum(upper, 1.0)


def _draw_lids(planes: FloatArray, frame: Frame, build: Build, side: float) -> None:
    """The dark line of the lashes and the crease of the upper lid."""
    x, y, wide, high = build.eye
    for lift, lash in ((0.0, True), (0.55, False)):
        line = np.zeros_like(frame.x)
        top = y - high * (2.0 + 1.3 * lift)
        ends = [frame.pixel(side * x + k * wide * 1.05, y - high * lift * 1.2) for k in (-1, 1)]
        via = frame.pixel(side * x, top)
        draw_stroke(line, bend(ends[0], via, ends[1], 8), (0.014 * frame.unit, 0.3))
        if lash:
            paint(planes, line * 0.9, _LASHES)
        else:
            planes[0] *= 1.0 - 0.22 * line


def draw_brows(planes: FloatArray, dice: Dice, frame: Frame, build: Build) -> FloatArray:
    """Both eyebrows; returns their cover, and a little round it."""
    hairs, aside = np.zeros_like(frame.x), np.zeros_like(frame.x)
    y, thick = build.brow
    rise, x = dice.between(0.0, 0.07), build.eye[0]
    for side in (-1.0, 1.0):
        corners = bend(
            frame.pixel(side * (x - 0.16), y + 0.02),
            frame.pixel(side * x, y - 0.03 - rise),
            frame.pixel(side * (x + 0.2), y + 0.04),
            8,
        )
        wide = thick * frame.unit
        draw_stroke(hairs, corners, (wide, 0.45 * wide), soft=0.9 * wide + 1.0)
        margin = _MARGIN * frame.unit
        draw_stroke(aside, corners, (wide + margin, 0.5 * wide + margin))
    strand = stretched_noise(dice, frame.x.shape[0], 0.01 * frame.unit + 1.0, 0.05 * frame.unit)
    light, a, b = build.hair
    grey = 0.6 * build.grey
    colour = (0.8 * light + grey * (60.0 - 0.8 * light), a * (1.0 - grey), b * (1.0 - grey))
    paint(planes, hairs * cover_of(0.5 * strand + 1.0, 2.0) * 0.9, colour)
    return aside


def draw_nose(planes: FloatArray, frame: Frame, build: Build) -> None:
    """Bridge, tip, wings and nostrils; a nose is skin."""
    wide, tip = build.nose
    height, unit = planes[3], frame.unit
    height += frame.dome(0.0, tip - 0.2, 0.8 * wide, 0.38) * (0.035 * unit)
    height += frame.dome(0.0, tip, wide, 0.14) * (0.045 * unit)
    tint(planes, frame.dome(0.0, tip, wide, 0.14), (0.5, 3.0, 0.5))
    planes[0] *= 1.0 - 0.16 * frame.dome(0.0, tip + 0.13, 1.1 * wide, 0.07)
    nostrils = np.zeros_like(frame.x)
    for side in (-1.0, 1.0):
        height += frame.dome(side * 0.8 * wide, tip + 0.04, 0.5 * wide, 0.09) * (0.025 * unit)
        wing = np.zeros_like(frame.x)
        corners = bend(
            frame.pixel(side * wide, tip - 0.05),
            frame.pixel(side * 1.45 * wide, tip + 0.03),
            frame.pixel(side * 0.95 * wide, tip + 0.11),
        )
        draw_stroke(wing, corners, (0.012 * unit, 0.2), soft=0.03 * unit + 1.0)
        planes[0] *= 1.0 - 0.22 * wing
        ends = [frame.pixel(side * k * wide, tip + 0.085) for k in (0.3, 0.5, 0.7)]
        draw_stroke(nostrils, ends, (0.018 * unit, 0.012 * unit), soft=1.6)
    planes[0] *= 1.0 - 0.6 * nostrils


def draw_lips(
    planes: FloatArray, dice: Dice, frame: Frame, build: Build, lightness: float
) -> FloatArray:
    """Both lips and the line between them; returns their cover, and a little round it."""
    y, wide, low = build.mouth
    u = frame.x * (1.0 / wide)
    arch = np.maximum(1.0 - u * u, -1.0)
    smile = dice.between(-0.015, 0.04)
    line = y - smile * u * u
    bow = np.maximum(1.0 - 14.0 * u * u, 0.0)
    upper = frame.y - line + 0.75 * low * arch * (1.0 - 0.3 * bow)
    lower = line + low * arch * (0.65 + 0.35 * arch) - frame.y
    inside = np.minimum(upper, lower)
    cover = frame.cover(inside, 2.0)
    dark = min(max((66.0 - lightness) / 32.0, 0.0), 1.0)
    rouge = dice.between(0.6, 1.4)
    tint(
        planes, cover, ((-9.0 + 5.0 * dark) * rouge, (17.0 - 8.0 * dark) * rouge, 1.0 - 3.0 * dark)
    )
    between = cover * np.maximum(1.0 - np.abs(frame.y - line) * (1.0 / 0.016), 0.0)
    planes[0] *= 1.0 - 0.5 * between
    planes[0] *= 1.0 - 0.08 * cover * cover_of(line - frame.y, 0.03)  # the upper lip lies in shade
    planes[3] += frame.dome(0.0, y + 0.5 * low, wide, 0.9 * low) * (0.05 * frame.unit)
    planes[0] *= 1.0 - 0.1 * frame.dome(0.0, y + 1.6 * low, 0.7 * wide, 0.6 * low)
    return frame.cover(inside + _MARGIN)
