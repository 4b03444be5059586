"""Bare skin for phantoms: colour, blotches, relief, pores and old stains.

Lengths are in pixels of a photo `REFERENCE_SIZE` wide and scale with it.
Determinism: see `phantom_canvas`.
"""

import numpy as np

from edgeskin.data.phantom_canvas import (
    REFERENCE_SIZE,
    Canvas,
    Dice,
    ellipse,
    median,
    smooth_noise,
)
from edgeskin.data.skin_tone import FloatArray, skin_lab


def bare_skin(dice: Dice, size: int, ita: float) -> Canvas:
    """A canvas (size, size) of skin without lesions, `ita` its typology angle in degrees."""
    scale = size / REFERENCE_SIZE
    lightness, red, yellow = skin_lab(ita)
    contrast = 0.45 + lightness * 0.008  # blotches show less on dark skin

    def noise(cell: float, amplitude: float) -> FloatArray:
        return smooth_noise(dice, size, cell * scale) * amplitude

    blood = (noise(70.0, 1.3) + noise(24.0, 1.0) + noise(9.0, 0.7)) * contrast
    pigment = noise(40.0, 0.8) + noise(13.0, 0.8)
    blood -= median(blood)  # the median colour stays that of `skin_lab`
    pigment -= median(pigment)
    furrows = np.maximum(1.0 - 1.6 * np.abs(noise(6.5, 1.0)), 0.0) * 0.22
    relief = noise(2.3, 0.10) + noise(4.6, 0.16) + noise(11.0, 0.25) - furrows
    planes = np.empty((4, size, size))
    planes[0] = lightness - 0.55 * blood - pigment
    planes[1] = red + blood + 0.15 * pigment
    planes[2] = yellow + 0.5 * pigment
    planes[3] = relief * scale
    _pores(dice, planes)
    _stains(dice, planes, contrast)
    wobble = noise(8.0, 1.0)
    wobble = np.minimum(wobble * wobble, 4.0) * 0.28
    return Canvas(planes, np.zeros((size, size), np.bool_), wobble, lightness)


def _pores(dice: Dice, planes: FloatArray) -> None:
    """Press one small dark pit into each square of a jittered grid."""
    size = planes.shape[1]
    scale = size / REFERENCE_SIZE
    pitch, reach = 6.0 * scale, int(2.0 * scale) + 1
    across = int((size - 2 * reach - 1) / pitch)
    corner = np.arange(across) * pitch + reach
    jitter = dice.units(2, across, across) * (pitch - 1.0)  # never two pores on one pixel
    y, x = (corner[:, None] + jitter[0]).ravel(), (corner[None, :] + jitter[1]).ravel()
    depth = dice.units(across * across)
    depth *= depth
    row, column = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    middle = row * size + column
    lightness, height = planes[0].reshape(-1), planes[3].reshape(-1)
    narrow = 1.0 / (2.6 * scale * scale)
    for dy in range(-reach, reach + 1):
        off_y = row + (dy + 0.5) - y
        for dx in range(-reach, reach + 1):
            off_x = column + (dx + 0.5) - x
            pit = np.maximum(1.0 - (off_x * off_x + off_y * off_y) * narrow, 0.0) * depth
            at = middle + (dy * size + dx)
            lightness[at] -= pit * 3.0
            height[at] -= pit * (0.55 * scale)


def _stains(dice: Dice, planes: FloatArray, contrast: float) -> None:
    """Faint flat marks that old lesions leave, pink or brown; they are no lesions."""
    size = planes.shape[1]
    for _ in range(dice.integer(0, 7)):
        radius = dice.between(4.0, 11.0) * (size / REFERENCE_SIZE)
        x, y = dice.between(0.0, size), dice.between(0.0, size)
        x0, x1 = max(int(x - radius), 0), min(int(x + radius) + 1, size)
        y0, y1 = max(int(y - radius), 0), min(int(y + radius) + 1, size)
        dx = np.arange(x0, x1, dtype=np.float64) + (0.5 - x)
        dy = np.arange(y0, y1, dtype=np.float64) + (0.5 - y)
        fall = np.maximum(1.0 - ellipse(dice, dx, dy, radius), 0.0) * contrast
        pink = dice.unit()
        patch = planes[:, y0:y1, x0:x1]
        patch[0] -= fall * (3.5 - 2.5 * pink)
        patch[1] += fall * (1.0 + 3.0 * pink)
        patch[2] += fall * (1.5 - 1.5 * pink)
