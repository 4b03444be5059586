"""What stands behind a person in a phantom: a wall or a cloth, of any colour, some like skin."""

import numpy as np

from edgeskin.data.phantom_canvas import Dice, smooth_noise, stretched_noise
from edgeskin.data.phantom_shapes import Lab, cover_of
from edgeskin.data.skin_tone import ITA_RANGE_DEG, FloatArray, skin_lab


def backdrop(dice: Dice, size: int) -> FloatArray:
    """L*, a*, b* planes (3, size, size): one colour with folds, stripes or shadows."""
    colour = any_colour(dice)
    planes = np.empty((3, size, size))
    planes[:] = np.array(colour)[:, None, None]
    planes[0] += smooth_noise(dice, size, 0.5 * size) * dice.between(1.0, 6.0)
    kind = dice.integer(0, 3)
    if kind == 1:  # folds of a cloth
        folds = stretched_noise(dice, size, dice.between(0.04, 0.1) * size, 0.6 * size)
        planes[0] += folds * dice.between(2.0, 6.0)
    elif kind == 2:
        planes += _stripes(dice, size) * _difference(dice)
    elif kind == 3:  # leaves, books, whatever is out of focus
        blots = cover_of(smooth_noise(dice, size, 0.12 * size), 0.6)
        planes += blots * _difference(dice)
    planes[0] += (dice.units(size, size) - 0.5) * 2.0
    np.maximum(planes[0], 3.0, out=planes[0])
    return planes


def any_colour(dice: Dice) -> Lab:
    """Of a thing; one in four has the colour of some skin."""
    if dice.unit() < 0.25:
        return skin_lab(dice.between(*ITA_RANGE_DEG))
    return dice.between(15.0, 88.0), dice.between(-22.0, 22.0), dice.between(-28.0, 25.0)


def _difference(dice: Dice) -> FloatArray:
    change = (dice.between(-22.0, 22.0), dice.between(-10.0, 10.0), dice.between(-14.0, 14.0))
    return np.array(change)[:, None, None]


def _stripes(dice: Dice, size: int) -> FloatArray:
    """Cover of parallel stripes of any direction."""
    x, y = dice.direction()
    along = (np.arange(size) + 0.5) * (dice.between(6.0, 14.0) / size)
    phase = (along * x)[None, :] + (along * y)[:, None] + dice.unit()
    return cover_of(np.abs(phase - np.rint(phase)) - 0.25, 0.12)
