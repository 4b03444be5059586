"""Skin tone as a number: the individual typology angle (ITA), both ways.

    ITA = arctan((L* - 50) / b*) * 180 / pi        in degrees, CIELAB under D65

High angles are light skin, low ones dark (Chardon, Cretois and Hourseau, Int
J Cosmet Sci 13, 1991, 191-208). `ita_deg` measures it on a photo, `tone` names
its class, `skin_lab` picks a plausible skin colour for a wanted angle.

`skin_lab`, `lab_to_linear_rgb` and `encode_srgb` give the same bits on every
machine: + - * / and comparisons in float64, and a table made of exact
integers; no libm, no BLAS. `ita_deg` measures and promises only accuracy.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidData, ShapeMismatch

FloatArray = NDArray[np.float64]

TONE_NAMES = ("very light", "light", "intermediate", "tan", "brown", "dark")
"""From light to dark."""

TONE_FLOORS_DEG = (55.0, 41.0, 28.0, 10.0, -30.0)
"""An angle above TONE_FLOORS_DEG[i] and not above the one before is TONE_NAMES[i]
(Del Bino and Bernerd, Br J Dermatol 169 Suppl 3, 2013, 33-40)."""

ITA_RANGE_DEG = (-60.0, 70.0)
"""Angles for which `skin_lab` knows a colour: all of human skin, near enough."""

# ITA in degrees, a*, b*. L* follows from ITA and b*. b* peaks in tan skin and
# falls towards both ends as in the charts of Del Bino and Bernerd 2013; a* is
# that of a cheek, some units redder than the inner arm.
_SKIN_AB = (
    (-60.0, 10.5, 13.0),
    (-45.0, 12.5, 16.0),
    (-10.0, 14.0, 19.0),
    (19.0, 14.0, 19.0),
    (35.0, 13.5, 17.5),
    (48.0, 12.5, 16.0),
    (60.0, 12.0, 13.5),
    (70.0, 11.0, 10.5),
)

# sRGB primaries and D65 white (IEC 61966-2-1).
_RGB_TO_XYZ = (
    (0.4124, 0.3576, 0.1805),
    (0.2126, 0.7152, 0.0722),
    (0.0193, 0.1192, 0.9505),
)
_XYZ_TO_RGB = (
    (3.2406, -1.5372, -0.4986),
    (-0.9689, 1.8758, 0.0415),
    (0.0557, -0.2040, 1.0570),
)
_WHITE_XYZ = (0.9505, 1.0, 1.0890)
_ENCODE_STEPS = 65535


def tone(ita: float) -> str:
    """Name of the skin tone class of an angle in degrees, one of `TONE_NAMES`.

    >>> tone(60.0), tone(20.0), tone(-30.0)
    ('very light', 'tan', 'dark')
    """
    for name, floor in zip(TONE_NAMES, TONE_FLOORS_DEG, strict=False):
        if ita > floor:
            return name
    return TONE_NAMES[-1]


def ita_deg(image: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None) -> float:
    """Individual typology angle of the median skin colour, in degrees.

    Args:
        image: sRGB photo, uint8, (height, width, 3), RGB order.
        mask: True where pixels are left out (lesions), bool, (height, width).

    Returns:
        The angle of (median b*, median L* - 50). For b* > 0, which is all
        skin, this is the published quotient; where b* is not positive the
        angle goes on past +-90 instead of changing sign.

    Raises:
        InvalidData: Not such an image, or the mask leaves no pixel.
        ShapeMismatch: The mask has another height or width than the image.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InvalidData(
            f"image is {image.dtype} {image.shape}, not uint8 (height, width, 3) in RGB order. "
            "Decode it first, and repeat a grey channel three times."
        )
    pixels = image.reshape(-1, 3)
    if mask is not None:
        if mask.shape != image.shape[:2]:
            raise ShapeMismatch(f"mask is {mask.shape}, image is {image.shape[:2]}.")
        pixels = image[~mask.astype(bool)]
    if len(pixels) == 0:
        raise InvalidData("no pixel is left to measure: the mask covers the whole image.")
    lightness, _, yellow = np.median(srgb_to_lab(pixels), axis=0)
    return math.degrees(math.atan2(lightness - 50.0, yellow))


def srgb_to_lab(pixels: NDArray[np.uint8]) -> FloatArray:
    """CIELAB (D65) of 8-bit sRGB pixels, float64, same shape (..., 3)."""
    code = np.arange(256) / 255.0
    decode = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    linear = decode[pixels]
    f = []
    for row, white in zip(_RGB_TO_XYZ, _WHITE_XYZ, strict=True):
        t = sum(weight * linear[..., i] for i, weight in enumerate(row)) / white
        f.append(np.where(t > (6 / 29) ** 3, np.cbrt(t), t * (841 / 108) + 4 / 29))
    return np.stack([116.0 * f[1] - 16.0, 500.0 * (f[0] - f[1]), 200.0 * (f[1] - f[2])], axis=-1)


def skin_lab(ita: float) -> tuple[float, float, float]:
    """A plausible skin colour (L*, a*, b*) whose typology angle is `ita` degrees.

    Raises:
        InvalidData: `ita` is not within `ITA_RANGE_DEG`.
    """
    low, high = ITA_RANGE_DEG
    if not low <= ita <= high:
        raise InvalidData(f"ita_deg is {ita}, skin is drawn for {low} to {high} degrees only.")
    above = next(i for i in range(1, len(_SKIN_AB)) if ita <= _SKIN_AB[i][0])
    (x0, a0, b0), (x1, a1, b1) = _SKIN_AB[above - 1 : above + 1]
    w = (ita - x0) / (x1 - x0)
    yellow = b0 + w * (b1 - b0)
    return 50.0 + yellow * _tan(ita * (math.pi / 180.0)), a0 + w * (a1 - a0), yellow


def _tan(x: float) -> float:
    """Tangent by Lambert's continued fraction: x / (1 - x^2 / (3 - x^2 / (5 - ...))).

    `math.tan` may differ in its last bit between machines. Full double
    precision needs |x| < 1.4 only.
    """
    rest = 0.0
    for odd in range(29, 1, -2):
        rest = x * x / (odd - rest)
    return x / (1.0 - rest)


def lab_to_linear_rgb(
    lightness: FloatArray, a: FloatArray, b: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Red, green and blue planes of linear light, sRGB, of CIELAB (D65) planes.

    Not clipped: colours outside sRGB leave 0..1.
    """
    fy = (lightness + 16.0) * (1.0 / 116.0)
    x = _cube_of_f(fy + a * (1.0 / 500.0)) * _WHITE_XYZ[0]
    y = _cube_of_f(fy)
    z = _cube_of_f(fy - b * (1.0 / 200.0)) * _WHITE_XYZ[2]
    red, green, blue = (row[0] * x + row[1] * y + row[2] * z for row in _XYZ_TO_RGB)
    return red, green, blue


def _cube_of_f(f: FloatArray) -> FloatArray:
    cube = f * f * f
    dark = f <= 6.0 / 29.0  # a straight line near black; most pictures of skin have none
    if dark.any():
        cube[dark] = (f[dark] - 4.0 / 29.0) * (108.0 / 841.0)
    return cube


def encode_srgb(linear: FloatArray) -> NDArray[np.uint8]:
    """8-bit sRGB codes of linear light, same shape; clipped to 0..1 first.

    Light is first rounded to 1/65535, less than a quarter of the smallest
    step between two codes.
    """
    steps = np.rint(np.minimum(np.maximum(linear, 0.0), 1.0) * float(_ENCODE_STEPS))
    return _encode_table()[steps.astype(np.intp)]


@cache
def _encode_table() -> NDArray[np.uint8]:
    """Code of each of 65536 linear levels, from exact integer comparisons."""
    starts = [_first_level(code) for code in range(1, 256)]
    lengths = np.diff([0, *starts, _ENCODE_STEPS + 1])
    return np.repeat(np.arange(256, dtype=np.uint8), lengths)


def _first_level(code: int) -> int:
    """Smallest level that rounds to `code` or more: decode((code - 0.5) / 255) * 65535.

    The sRGB power 2.4 is 12/5, so level / 65535 >= (n / d)**2.4 is asked as
    level**5 * d**12 >= 65535**5 * n**12, in integers.
    """
    v = 2 * code - 1  # the boundary is v / 510
    if v * 100_000 <= 4045 * 510:  # the straight part, v / 510 / 12.92
        return -(-_ENCODE_STEPS * v * 100 // (510 * 1292))
    n, d = v * 1000 + 55 * 510, 1055 * 510
    goal, scale = _ENCODE_STEPS**5 * n**12, d**12
    low, high = 0, _ENCODE_STEPS
    while low < high:
        middle = (low + high) // 2
        if middle**5 * scale >= goal:
            high = middle
        else:
            low = middle + 1
    return low
