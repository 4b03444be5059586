"""Ultrasound phantoms: speckle over layers of tissue, with or without a lesion.

Each pixel is an echo in decibels: the tissue's echogenicity, less what the
way down takes, plus speckle. Fully developed speckle is the length of a
complex Gaussian vector, so its amplitude follows Rayleigh's law (Burckhardt,
IEEE Trans Sonics Ultrason 25, 1978, 1-6); a frame is the mean of `LOOKS` such
pictures, and the display maps `DYNAMIC_RANGE_DB` to grey.

The classes are those of breast ultrasound sets, drawn after the signs of the
BI-RADS lexicon: benign ones are wide, smooth and even with a bright floor
behind them, malignant ones tall, spiculated and uneven, with a shadow.
Determinism: see `phantom_canvas`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.phantom_canvas import Dice, smooth_noise, stretched_noise
from edgeskin.data.phantom_files import SetKind, Sheet, check_drawable
from edgeskin.data.phantom_shapes import cover_of
from edgeskin.data.skin_tone import FloatArray
from edgeskin.errors import InvalidData

LABELS = ("normal", "benign", "malignant")
COLUMNS = ("label", "lesion_db", "area_fraction")
SIZE_RANGE = (64, 1024)
DYNAMIC_RANGE_DB = 60.0
"""Echoes of 0 dB are white, those of -60 dB and less are black."""

LESION_DB = {"benign": (-17.0, -8.0), "malignant": (-24.0, -13.0)}
"""Echogenicity of lesions against the tissue round them, lowest and highest."""

LOOKS = 2
"""Pictures from different angles that one frame is the mean of."""

_LABELS, _TISSUE, _LESION, _SPECKLE = range(20, 24)  # independent streams of one seed
_DB_PER_LOG2_OF_ENERGY = 3.010299956639812  # 10 log10(2)


@dataclass(frozen=True, eq=False)
class Ultrasound:
    """A synthetic ultrasound picture and its labels."""

    seed: int
    label: str  # one of LABELS
    lesion_db: float  # echogenicity against the tissue round it; 0 without a lesion
    image: NDArray[np.uint8]  # (size, size), grey
    mask: NDArray[np.bool_]  # (size, size), True on the lesion


def render_ultrasound(seed: int, *, size: int = 256, label: str | None = None) -> Ultrasound:
    """An ultrasound phantom `size` pixels wide and high.

    Args:
        seed: Any integer from 0. It also settles what other arguments leave open. The
            tissue and its speckle stay the same whatever `label`.
        size: Width in pixels, within `SIZE_RANGE`; details scale with it.
        label: One of `LABELS`; None draws it evenly.

    Raises:
        InvalidData: An argument is out of range.
    """
    check_drawable(seed, size, SIZE_RANGE)
    labels = Dice(seed, _LABELS)
    drawn = LABELS[labels.integer(0, len(LABELS) - 1)]
    label = drawn if label is None else label
    if label not in LABELS:
        raise InvalidData(f"label is {label!r}, ultrasound phantoms are {', '.join(LABELS)}.")
    echo = _tissue(Dice(seed, _TISSUE), size)
    lesion_db, mask = 0.0, np.zeros((size, size), np.bool_)
    if label != "normal":
        lesion_db, mask = _add_lesion(echo, Dice(seed, _LESION), label)
    echo += speckle_db(Dice(seed, _SPECKLE), size)
    levels = np.rint((echo * (1.0 / DYNAMIC_RANGE_DB) + 1.0) * 255.0)
    image = np.minimum(np.maximum(levels, 0.0), 255.0).astype(np.uint8)
    return Ultrasound(seed, label, lesion_db, image, mask)


def _sheet(seed: int, size: int) -> Sheet:
    phantom = render_ultrasound(seed, size=size)
    share = np.count_nonzero(phantom.mask) / phantom.mask.size
    labels = (phantom.label, f"{phantom.lesion_db:.2f}", f"{share:.4f}")
    return Sheet(phantom.image, phantom.mask, labels)


ULTRASOUND_SET = SetKind(COLUMNS, SIZE_RANGE, _sheet)
"""Ultrasound phantoms, grey."""


def _tissue(dice: Dice, size: int) -> FloatArray:
    """Echogenicity in dB without speckle: skin, fat with septa, fibrous bands, muscle."""
    depth = (np.arange(size) + 0.5)[:, None] * (1.0 / size)
    at = depth + smooth_noise(dice, size, 0.45 * size) * 0.014
    skin, fat, deep = dice.between(0.05, 0.09), dice.between(0.15, 0.4), dice.between(0.7, 0.88)
    echo = np.full((size, size), dice.between(-17.0, -12.0))  # fibrous and glandular tissue
    echo += stretched_noise(dice, size, 0.2 * size, 0.04 * size) * 3.5
    echo += stretched_noise(dice, size, 0.1 * size, 0.016 * size) * 2.2
    lobules = cover_of(smooth_noise(dice, size, 0.09 * size) - dice.between(0.3, 1.0), 0.6)
    echo -= lobules * dice.between(4.0, 9.0)  # fat between, no lesion
    fatty = cover_of(fat - at - smooth_noise(dice, size, 0.16 * size) * 0.035, 0.03)
    echo += fatty * (-7.0 - smooth_noise(dice, size, 0.12 * size) * 1.5)
    for _ in range(2):
        echo += _septa(dice, size) * dice.between(8.0, 14.0)
    fibres = stretched_noise(dice, size, 0.4 * size, 0.012 * size)
    echo += cover_of(at - deep, 0.02) * (3.5 * fibres - 8.0)  # muscle
    echo += cover_of(0.006 - np.abs(at - deep), 0.012) * 12.0  # its fascia
    _skin_layers(echo, at, skin, dice)
    return echo - depth * dice.between(16.0, 26.0)  # what the way down takes


def _skin_layers(echo: FloatArray, at: FloatArray, skin: float, dice: Dice) -> None:
    """Gel, the entry echo of the epidermis, and the dermis down to depth `skin`."""
    dermis = stretched_noise(dice, echo.shape[0], 0.1 * echo.shape[0], 0.01 * echo.shape[0])
    echo += cover_of(skin - at, 0.014) * (dermis * 2.0 - 9.0 - echo)
    echo += cover_of(0.006 - np.abs(at - 0.02), 0.006) * 10.0
    echo -= cover_of(0.01 - at, 0.008) * 40.0


def _septa(dice: Dice, size: int) -> FloatArray:
    """Cover of bright thin sheets that wander through the tissue, more across than down."""
    sheets = np.abs(stretched_noise(dice, size, 0.26 * size, 0.07 * size))
    broken = stretched_noise(dice, size, 0.12 * size, 0.07 * size)
    return cover_of(0.03 - sheets, 0.14) * cover_of(broken, 1.2)


@dataclass(frozen=True)
class _Signs:
    """How a class of lesions looks; ranges from lowest to highest."""

    wide: tuple[float, float]  # width over height
    lobes: tuple[float, float]  # bends of the outline, in radii: broad ones and
    spikes: float  # fine ones
    edge: tuple[float, float]  # width of the rim, in radii
    inner_db: float  # how uneven it is inside
    rim_db: tuple[float, float]
    behind_db: tuple[float, float]  # enhancement or shadow


_SIGNS = {
    "benign": _Signs((1.3, 2.0), (0.03, 0.09), 0.0, (0.08, 0.16), 1.2, (0.0, 6.0), (0.0, 6.0)),
    "malignant": _Signs(
        (0.75, 1.15), (0.12, 0.2), 0.1, (0.15, 0.4), 3.0, (-2.0, 4.0), (-15.0, -5.0)
    ),
}


def _add_lesion(echo: FloatArray, dice: Dice, label: str) -> tuple[float, NDArray[np.bool_]]:
    """Draw a lesion and change what lies behind it; returns its contrast in dB and its mask."""
    size, signs = echo.shape[0], _SIGNS[label]
    radius = dice.between(0.09, 0.17) * size
    x, y = dice.between(0.28, 0.72) * size, dice.between(0.32, 0.56) * size
    dx = (np.arange(size) + (0.5 - x))[None, :] * (1.0 / radius)
    dy = (np.arange(size) + (0.5 - y))[:, None] * (dice.between(*signs.wide) / radius)
    dy = dy + dice.between(-0.25, 0.25) * dx
    out = np.sqrt(dx * dx + dy * dy)
    out += smooth_noise(dice, size, 0.6 * radius) * dice.between(*signs.lobes)
    out += smooth_noise(dice, size, 0.2 * radius) * signs.spikes
    cover = cover_of(1.0 - out, dice.between(*signs.edge))
    contrast = dice.between(*LESION_DB[label])
    inner = smooth_noise(dice, size, 0.3 * radius) * signs.inner_db
    echo += cover * (_level_at(echo, x, y) + contrast + inner - echo)
    rim = cover_of(0.06 - np.abs(out - 1.06), 0.12) * cover_of(
        smooth_noise(dice, size, radius), 2.0
    )
    echo += rim * dice.between(*signs.rim_db)
    behind = cover_of(dy, 0.6) * cover_of(1.0 - np.abs(dx), 0.6) * (1.0 - cover)
    fade = np.maximum(1.0 - 0.2 * np.maximum(dy - 1.0, 0.0), 0.3)
    echo += behind * fade * dice.between(*signs.behind_db)
    return contrast, out < 1.0


def _level_at(echo: FloatArray, x: float, y: float) -> float:
    """Middle echogenicity of a band of tissue round a place."""
    size = echo.shape[0]
    half = int(0.2 * size)
    row, column = int(y), int(x)
    box = echo[max(row - half, 0) : row + half, max(column - half, 0) : column + half].ravel()
    return float(np.partition(box, len(box) // 2)[len(box) // 2])


def speckle_db(dice: Dice, size: int, looks: int = LOOKS) -> FloatArray:
    """Speckle in dB, mean energy 0 dB: grains wider than high, as a sound beam leaves them.

    The energy of a look is exponential; scanners mean over looks from several angles, whose
    logarithm spreads by 10 / ln(10) sqrt(trigamma(looks)) dB: 5.57 for one, 3.49 for two.
    """
    energy = np.zeros((size, size))
    for _ in range(2 * looks):
        part = _gaussian(dice, size)
        energy += part * part
    return log2(np.maximum(energy * (0.5 / looks), 1e-6)) * _DB_PER_LOG2_OF_ENERGY


def _gaussian(dice: Dice, size: int) -> FloatArray:
    """A field close to normal, of unit spread: the sum of three whose tails are too short."""
    cell_x, cell_y = max(size / 100.0, 1.1), max(size / 170.0, 0.8)
    total = stretched_noise(dice, size, cell_x, cell_y)
    for _ in range(2):
        total = total + stretched_noise(dice, size, cell_x, cell_y)
    return total * 0.5773502691896258  # 1 / sqrt(3)


def log2(values: FloatArray) -> FloatArray:
    """Logarithm to base 2 of positive numbers, within 1e-9, the same bits on every machine.

    A number is m * 2**e with m in [1/2, 1); with s = (m - r) / (m + r) and r the root of 1/2,
    ln(m / r) = 2 (s + s**3 / 3 + s**5 / 5 + ...), where |s| < 0.172.
    """
    mantissa, exponent = np.frexp(values)
    root = 0.7071067811865476
    s = (mantissa - root) / (mantissa + root)
    square, series = s * s, np.zeros_like(s)
    for odd in (11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        series = series * square + 1.0 / odd
    return exponent - 0.5 + series * s * (2.0 * 1.4426950408889634)
