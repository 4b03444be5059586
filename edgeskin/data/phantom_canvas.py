"""What skin phantoms are drawn on and with: random numbers, smooth noise, a canvas, a camera.

A `Canvas` holds four float64 planes: L*, a*, b* and a height in pixels.
`phantom_skin` and `phantom_lesions` add to them; `photograph` lights the
heights and encodes sRGB.

Same bytes on every machine: all drawing is + - * /, comparisons, floor and
rint on float64, one element at a time; no sums over floats in an order left
to the library, no libm, no BLAS, no image filter. Randomness is PCG64's raw
stream, which NumPy promises to keep (NEP 19).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.skin_tone import FloatArray, encode_srgb, lab_to_linear_rgb

REFERENCE_SIZE = 256
"""Width in pixels that drawn lengths are given for: some 8 cm of skin, 0.3 mm a pixel."""


class Dice:
    """Uniform numbers from a seed and a stream number; streams are independent."""

    def __init__(self, seed: int, stream: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence((stream, seed)))

    def units(self, *shape: int) -> FloatArray:
        """Numbers in [0, 1), multiples of 2**-53, float64, of that shape."""
        raw = self._bits.random_raw(math.prod(shape)) >> np.uint64(11)
        return (raw.astype(np.float64) * 2.0**-53).reshape(shape)

    def unit(self) -> float:
        """One number in [0, 1)."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """A number from low to high."""
        return low + (high - low) * self.unit()

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def direction(self) -> tuple[float, float]:
        """A unit vector (x, y) of any direction, without sine or cosine."""
        t = self.between(-1.0, 1.0)
        x, y = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
        return (x, y) if self.integer(0, 1) else (-x, -y)


@dataclass(frozen=True, eq=False)
class Canvas:
    """A drawing under way, `size` pixels wide and high."""

    planes: FloatArray  # (4, size, size): L*, a*, b*, height in pixels
    mask: NDArray[np.bool_]  # (size, size), True on lesions drawn so far
    wobble: FloatArray  # (size, size), >= 0, bends the outlines of lesions
    lightness: float  # L* of the bare skin

    @property
    def size(self) -> int:
        return int(self.planes.shape[1])


def smooth_noise(dice: Dice, size: int, cell: float) -> FloatArray:
    """Random field (size, size) of about zero mean and unit spread.

    Uniform numbers on a lattice `cell` pixels wide, under a cubic B-spline.
    """
    return stretched_noise(dice, size, cell, cell).T


def stretched_noise(dice: Dice, size: int, cell_x: float, cell_y: float) -> FloatArray:
    """As `smooth_noise`, on a lattice `cell_x` pixels wide and `cell_y` high."""
    down, down_weights = _spline(size, cell_y)
    across, across_weights = _spline(size, cell_x)
    units = dice.units(int(down[-1]) + 4, int(across[-1]) + 4)
    lattice = (units - 0.5) * 7.2  # undoes the spline's smaller spread
    columns = _spline_rows(lattice, down, down_weights)
    return _spline_rows(np.ascontiguousarray(columns.T), across, across_weights).T


def _spline(size: int, cell: float) -> tuple[NDArray[np.intp], tuple[FloatArray, ...]]:
    """First of the four knots over each pixel, and the weights of the four."""
    where = np.arange(size) * (1.0 / cell)
    first = np.floor(where)
    t = where - first
    s = 1.0 - t
    return first.astype(np.intp), (
        s * s * s * (1.0 / 6.0),
        (3.0 * t * t * t - 6.0 * t * t + 4.0) * (1.0 / 6.0),
        (3.0 * s * s * s - 6.0 * s * s + 4.0) * (1.0 / 6.0),
        t * t * t * (1.0 / 6.0),
    )


def _spline_rows(
    lattice: FloatArray, index: NDArray[np.intp], weights: tuple[FloatArray, ...]
) -> FloatArray:
    total = lattice[index] * weights[0][:, None]
    for k in (1, 2, 3):
        total += lattice[index + k] * weights[k][:, None]
    return total


def ellipse(dice: Dice, dx: FloatArray, dy: FloatArray, radius: float) -> FloatArray:
    """Squared distance from the middle of a random ellipse, 1 at its rim.

    Args:
        dx, dy: Pixels from the middle, (width,) and (height,).
        radius: Long half axis in pixels; the short one is up to a quarter shorter.

    Returns:
        (height, width).
    """
    ux, uy = dice.direction()
    short = dice.between(0.75, 1.0)
    along, across = 1.0 / (radius * radius), 1.0 / (radius * radius * short * short)
    xx, yy = along * ux * ux + across * uy * uy, along * uy * uy + across * ux * ux
    xy = 2.0 * (along - across) * ux * uy
    return (dy * dy * yy)[:, None] + (dx * dx * xx)[None, :] + (dy * xy)[:, None] * dx[None, :]


def median(field: FloatArray) -> float:
    """Middle value of every fourth pixel each way: exact, however it is searched for."""
    return middle_of(field[::4, ::4].ravel())


def middle_of(sample: FloatArray) -> float:
    """Middle value of a list of numbers, the upper one of two: exact, too."""
    middle = len(sample) // 2
    return float(np.partition(sample, middle)[middle])


def photograph(
    canvas: Canvas, dice: Dice, skin: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Light the canvas from one side and take its picture: uint8 (size, size, 3), sRGB.

    The light is a ramp with a vignette, shading by slope, and grain. Its
    median, over the pixels of `skin` where that is given, is 1, so that the
    typology angle of the skin survives.
    """
    light_x, light_y = dice.direction()
    slope = _slope_towards(canvas.planes[3], light_x, light_y)
    light = _lamp(dice, canvas.size, light_x, light_y)
    light += 0.55 * slope
    grain = dice.units(canvas.size, canvas.size) + dice.units(canvas.size, canvas.size)
    light += (grain - 1.0) * 0.022
    light += 1.0 - (median(light) if skin is None else middle_of(light[skin]))
    shine = np.minimum(np.maximum(slope - 0.16, 0.0), 0.3)
    shine = shine * shine * dice.between(0.3, 1.4)
    image = np.empty((canvas.size, canvas.size, 3), np.uint8)
    for channel, plane in enumerate(lab_to_linear_rgb(*canvas.planes[:3])):
        plane *= light
        plane += shine
        image[:, :, channel] = encode_srgb(plane)
    return image


def _lamp(dice: Dice, size: int, light_x: float, light_y: float) -> FloatArray:
    """Light over the picture without relief: brighter on the lamp's side, dimmer in corners."""
    across = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    tilt, vignette = dice.between(0.04, 0.2), dice.between(0.03, 0.12)
    fade = across * across * vignette
    x, y = across * (tilt * light_x) - fade, across * (tilt * light_y) - fade
    return x[None, :] + y[:, None]


def _slope_towards(height: FloatArray, light_x: float, light_y: float) -> FloatArray:
    """How steeply the height faces a lamp in direction (x, y), pixels per pixel."""
    slope = np.zeros_like(height)
    slope[:, 1:-1] += (height[:, :-2] - height[:, 2:]) * (0.5 * light_x)
    slope[1:-1, :] += (height[:-2, :] - height[2:, :]) * (0.5 * light_y)
    return slope
