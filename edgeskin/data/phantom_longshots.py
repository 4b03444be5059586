"""Long shots: part of a body before a backdrop, with one or a few small lesions of one class.

For the rule that cuts usable crops out of ordinary photos: over 80 % skin and
over 10 % lesion. Determinism: see `phantom_canvas`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.phantom_backdrop import backdrop
from edgeskin.data.phantom_canvas import Canvas, Dice, photograph, smooth_noise
from edgeskin.data.phantom_files import SetKind, Sheet, check_drawable
from edgeskin.data.phantom_patterns import PATTERNS, draw_pattern, drawn_class
from edgeskin.data.phantom_shapes import cover_of
from edgeskin.data.phantom_skin import bare_skin
from edgeskin.data.skin_tone import FloatArray

LABELS = tuple(PATTERNS)
LEVELS = ("other", "skin", "lesion")
"""What 0, 1 and 2 in a mask are."""

COLUMNS = ("label", "n_lesions", "lesion_fraction", "skin_fraction", "ita_deg")
SIZE_RANGE = (128, 2048)
RADII = (0.05, 0.1)
"""Smallest and largest lesion, in widths of the photo."""

_LABELS, _SKIN, _SCENE, _LESIONS, _CAMERA = range(40, 45)  # independent streams of one seed
_THROWS = 200


@dataclass(frozen=True, eq=False)
class LongShot:
    """A synthetic photo of a part of a body, and its labels."""

    seed: int
    label: str  # one of LABELS: the class of all its lesions
    ita_deg: float  # of the skin
    image: NDArray[np.uint8]  # (size, size, 3), sRGB, RGB order
    mask: NDArray[np.uint8]  # (size, size), indices into LEVELS
    lesions: tuple[tuple[float, float, float], ...]  # x, y, radius of each, pixels


def render_longshot(
    seed: int, *, size: int = 256, label: str | None = None, ita_deg: float | None = None
) -> LongShot:
    """A long shot `size` pixels wide and high, with one to three lesions.

    Args:
        seed: Any integer from 0. It also settles what other arguments leave open. Body and
            backdrop stay the same whatever `label`.
        size: Width in pixels, within `SIZE_RANGE`; details scale with it.
        label: One of `LABELS`; None draws it evenly.
        ita_deg: Skin tone, within `skin_tone.ITA_RANGE_DEG`; None draws it evenly.

    Raises:
        InvalidData: An argument is out of range.
    """
    check_drawable(seed, size, SIZE_RANGE)
    labels = Dice(seed, _LABELS)
    label, ita = drawn_class(labels, label, ita_deg)
    canvas, dice = bare_skin(Dice(seed, _SKIN), size, ita), Dice(seed, _LESIONS)
    depth, scene = _body(Dice(seed, _SCENE), size)
    places = _places(dice, depth, labels.integer(1, 3))
    mask = (depth > 0.0).astype(np.uint8)
    canvas.planes[3] *= 0.5  # relief is finer from afar
    for place in places:
        mask[draw_pattern(canvas.planes, dice, label, place, canvas.lightness)] = 2
    _before(canvas, depth, scene)
    image = photograph(canvas, Dice(seed, _CAMERA), mask == 1)
    return LongShot(seed, label, ita, image, mask, places)


def _sheet(seed: int, size: int) -> Sheet:
    shot = render_longshot(seed, size=size)
    shares = [f"{np.count_nonzero(shot.mask == k) / shot.mask.size:.4f}" for k in (2, 1)]
    labels = (shot.label, len(shot.lesions), *shares, f"{shot.ita_deg:.2f}")
    return Sheet(shot.image, shot.mask, labels)


LONGSHOT_SET = SetKind(COLUMNS, SIZE_RANGE, _sheet)
"""Long shots; masks are grey PNG files of levels 0, 1 and 2, as in `LEVELS`."""


def _body(dice: Dice, size: int) -> tuple[FloatArray, FloatArray]:
    """A limb or a trunk across the picture: pixels inside of its rim, and what is behind it."""
    x, y = dice.direction()
    from_middle = (np.arange(size) + 0.5) * (1.0 / size) - 0.5
    off = (from_middle * x)[None, :] + (from_middle * y)[:, None] + dice.between(-0.15, 0.15)
    off += smooth_noise(dice, size, 0.6 * size) * 0.04
    half = dice.between(0.22, 0.5) + smooth_noise(dice, size, 0.5 * size) * 0.03
    return (half - np.abs(off)) * size, backdrop(dice, size)


def _places(dice: Dice, depth: FloatArray, wanted: int) -> tuple[tuple[float, float, float], ...]:
    """x, y and radius of lesions that lie on the skin, apart from each other; one at least."""
    size = depth.shape[0]
    places: list[tuple[float, float, float]] = []
    for _ in range(_THROWS):
        radius = dice.between(*RADII) * size
        x, y = (1.5 * radius + dice.unit() * (size - 3.0 * radius) for _ in range(2))
        inside = depth[int(y), int(x)] > 1.5 * radius
        if inside and all(_apart(place, x, y, radius) for place in places):
            places.append((x, y, radius))
        if len(places) == wanted:
            break
    return tuple(places)


def _apart(place: tuple[float, float, float], x: float, y: float, radius: float) -> bool:
    dx, dy, reach = place[0] - x, place[1] - y, 1.6 * (place[2] + radius)
    return dx * dx + dy * dy > reach * reach


def _before(canvas: Canvas, depth: FloatArray, scene: FloatArray) -> None:
    """Round the body off towards its rim, and put the scene where it is not."""
    cover = cover_of(depth, 1.5)
    round_off = np.minimum(np.maximum(depth * (6.0 / canvas.size), 0.0), 1.0)
    fall = (1.0 - round_off) * (1.0 - round_off)
    canvas.planes[0] *= 1.0 - 0.3 * fall
    shadow = np.minimum(np.maximum(1.0 + depth * (10.0 / canvas.size), 0.0), 1.0)
    scene[0] *= 1.0 - 0.35 * shadow * shadow
    canvas.planes[:3] = scene + cover * (canvas.planes[:3] - scene)
    canvas.planes[3] *= cover
