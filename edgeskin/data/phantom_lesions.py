"""Lesions of skin phantoms: how each kind looks, where they go, and their drawing.

Lengths are in pixels of a photo `REFERENCE_SIZE` wide and scale with it.
Determinism: see `phantom_canvas`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgeskin.data.phantom_canvas import REFERENCE_SIZE, Canvas, Dice, ellipse
from edgeskin.data.skin_tone import FloatArray
from edgeskin.errors import InvalidData

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Layer:
    """One disc of a lesion: its radius in lesion radii, colour change and height.

    Colour changes are (L*, a*, b*) at the middle, on light and on dark skin.
    Height is in layer radii. `flat` keeps the colour level until near the rim.
    """

    reach: float
    on_light: tuple[float, float, float]
    on_dark: tuple[float, float, float]
    height: float = 0.0
    flat: bool = False


@dataclass(frozen=True)
class Look:
    """How a kind of lesion is drawn: range of radii in pixels, and its layers."""

    radii: tuple[float, float]
    layers: tuple[Layer, ...]


# Inflamed skin is red where skin is light, and darker towards violet where it
# is dark: melanin covers the red. Values were set by eye.
_PAPULE = Look(
    (3.6, 7.2),
    (
        Layer(2.2, (-1.2, 3.5, 0.0), (-1.2, 2.5, -0.5)),
        Layer(1.0, (-7.0, 12.0, 3.0), (-5.0, 8.5, -2.5), 0.24, flat=True),
        Layer(0.5, (-2.0, 5.0, 1.0), (-2.0, 3.0, -1.0)),
    ),
)
_PUSTULE = Look(
    (4.4, 8.0),
    (
        Layer(2.0, (-1.2, 3.5, 0.0), (-1.2, 2.5, -0.5)),
        Layer(1.0, (-7.0, 14.5, 2.0), (-5.0, 9.0, -2.5), 0.22, flat=True),
        Layer(0.6, (13.0, -15.0, 12.0), (19.0, -9.0, 14.0), 0.14, flat=True),
    ),
)
_NODULE = Look(
    (10.0, 17.0),
    (
        Layer(1.7, (-2.0, 5.0, 0.5), (-1.5, 3.0, -0.5)),
        Layer(1.1, (-8.0, 12.0, 0.0), (-6.0, 8.0, -3.5), 0.19),
        Layer(0.6, (-3.0, 4.0, -1.5), (-3.0, 3.0, -2.0), flat=True),
    ),
)
_OPEN_COMEDONE = Look(
    (1.9, 2.8), (Layer(1.0, (-24.0, 0.0, 1.0), (-15.0, -2.0, -2.0), -0.1, flat=True),)
)
_CLOSED_COMEDONE = Look(
    (2.1, 3.2), (Layer(1.0, (7.0, -4.0, 1.0), (10.0, -3.0, 3.0), 0.36, flat=True),)
)

LOOKS: Mapping[str, tuple[Look, ...]] = {
    "papule": (_PAPULE,),
    "pustule": (_PUSTULE,),
    "nodule": (_NODULE,),
    "comedone": (_OPEN_COMEDONE, _CLOSED_COMEDONE),
}
"""By kind of lesion; one of a kind's looks is drawn evenly."""

_MASK_RIM = 0.75  # squared distance at which the mask ends; colour fades out at 1
_LIGHT_L, _DARK_L = 66.0, 34.0  # L* of skin where the light and the dark colours hold
_THROWS, _ROUNDS = 24, 25


@dataclass(frozen=True)
class Spot:
    """One lesion to draw; radius and middle in pixels of the photo."""

    kind: str
    look: Look
    radius: float
    x: float
    y: float


def place_lesions(dice: Dice, size: int, counts: Mapping[str, int]) -> list[Spot]:
    """Throw lesions, the largest first, where they touch neither each other nor the rim.

    Raises:
        InvalidData: One of them finds no room in some hundreds of throws.
    """
    wanted = []
    for kind, looks in LOOKS.items():
        for _ in range(counts.get(kind, 0)):
            look = looks[dice.integer(0, len(looks) - 1)]
            radius = dice.between(*look.radii) * (size / REFERENCE_SIZE)
            wanted.append((max(radius, 1.0), kind, look))
    wanted.sort(key=lambda item: -item[0])
    taken = np.empty((len(wanted), 3))  # x, y, radius
    for placed, (radius, _, _) in enumerate(wanted):
        found = _find_room(dice, size, taken[:placed], radius)
        if found is None:
            raise InvalidData(
                f"counts asks for {len(wanted)} lesions, but after {placed}, the largest first, "
                f"{size} x {size} pixels have no room left. Ask for fewer, above all nodules."
            )
        taken[placed] = *found, radius
    return [
        Spot(kind, look, radius, float(x), float(y))
        for (radius, kind, look), (x, y, _) in zip(wanted, taken, strict=True)
    ]


def _find_room(
    dice: Dice, size: int, taken: FloatArray, radius: float
) -> tuple[float, float] | None:
    edge = radius + 1.0
    for _ in range(_ROUNDS):
        throws = edge + dice.units(_THROWS, 2) * (size - 2.0 * edge)
        dx = throws[:, None, 0] - taken[None, :, 0]
        dy = throws[:, None, 1] - taken[None, :, 1]
        apart = taken[:, 2] + radius
        free = (dx * dx + dy * dy > apart * apart).all(axis=1)
        if free.any():
            x, y = throws[int(free.argmax())]
            return float(x), float(y)
    return None


def draw_lesion(canvas: Canvas, dice: Dice, spot: Spot) -> Box:
    """Add a lesion to the canvas; returns the box x0, y0, x1, y1 of its mask, half-open."""
    reach = spot.radius * max(layer.reach for layer in spot.look.layers)
    x0, x1 = max(int(spot.x - reach), 0), min(int(spot.x + reach) + 1, canvas.size)
    y0, y1 = max(int(spot.y - reach), 0), min(int(spot.y + reach) + 1, canvas.size)
    dx = np.arange(x0, x1, dtype=np.float64) + (0.5 - spot.x)
    dy = np.arange(y0, y1, dtype=np.float64) + (0.5 - spot.y)
    squared = ellipse(dice, dx, dy, spot.radius)
    squared *= 1.0 + canvas.wobble[y0:y1, x0:x1]
    strength = dice.between(0.7, 1.2)
    patch = canvas.planes[:, y0:y1, x0:x1]
    for layer in spot.look.layers:
        fall = np.maximum(1.0 - squared * (1.0 / (layer.reach * layer.reach)), 0.0)
        dome = fall * fall
        tint = fall * (2.0 - fall) * (0.3 + 0.7 * fall) if layer.flat else dome
        for plane, change in enumerate(_tone_change(layer, canvas.lightness)):
            patch[plane] += tint * (strength * change)
        if layer.height != 0.0:
            patch[3] += dome * (layer.height * layer.reach * spot.radius)
    inside = squared < _MASK_RIM
    inside[int(spot.y) - y0, int(spot.x) - x0] = True  # a tiny one may miss every pixel's middle
    canvas.mask[y0:y1, x0:x1] |= inside
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return (
        x0 + int(columns[0]),
        y0 + int(rows[0]),
        x0 + int(columns[-1]) + 1,
        y0 + int(rows[-1]) + 1,
    )


def _tone_change(layer: Layer, lightness: float) -> tuple[float, ...]:
    """Colour change (L*, a*, b*) of a layer on skin that light."""
    dark = min(max((_LIGHT_L - lightness) / (_LIGHT_L - _DARK_L), 0.0), 1.0)
    both = zip(layer.on_light, layer.on_dark, strict=True)
    return tuple(light_by + dark * (dark_by - light_by) for light_by, dark_by in both)
