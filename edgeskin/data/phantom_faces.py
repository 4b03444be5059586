"""Face phantoms: a stylised face with its skin mask, an age, and acne or none.

Nobody's face: proportions, colours and signs of age are drawn at random
around a few ovals and lines. Two sets are made of them, one for facial skin
and acne, one for age. Determinism: see `phantom_canvas`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.phantom_ageing import draw_ageing, draw_signs
from edgeskin.data.phantom_canvas import Canvas, Dice, photograph
from edgeskin.data.phantom_features import draw_brows, draw_eyes, draw_lips, draw_nose
from edgeskin.data.phantom_files import SetKind, Sheet, check_drawable
from edgeskin.data.phantom_head import (
    draw_behind,
    draw_build,
    draw_front_hair,
    keep_tone,
    outline,
    place_face,
    shape_face,
)
from edgeskin.data.phantom_lesions import LOOKS, Spot, draw_lesion
from edgeskin.data.phantom_skin import bare_skin
from edgeskin.data.phantoms import severity_of
from edgeskin.data.skin_tone import ITA_RANGE_DEG, skin_lab
from edgeskin.errors import InvalidData

AGES = (18, 80)
"""Youngest and oldest face, years."""

GROUPS = ((0, 2), (3, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 90))
"""Years from and to, both included, of an age label that is no exact one (FairFace's groups)."""

FACE_COLUMNS = ("person", "area_fraction", "affected", "severity", "count", "ita_deg")
AGE_COLUMNS = ("person", "age", "age_low", "age_high", "age_kind", "ita_deg")
SIZE_RANGE = (64, 2048)
MOST_LESIONS = 40

_LABELS, _SKIN, _HEAD, _SCENE, _AGE, _LESIONS, _CAMERA = range(50, 57)  # streams of one seed
_LESION_SCALE = 0.55  # of the acne phantoms' lengths: a face is further away
_THROWS = 60


@dataclass(frozen=True, eq=False)
class Face:
    """A synthetic photo of a face and its labels."""

    seed: int
    age: int  # years
    ita_deg: float  # of the skin
    lesions: int  # of acne
    image: NDArray[np.uint8]  # (size, size, 3), sRGB, RGB order
    mask: NDArray[np.bool_]  # (size, size), True on facial skin: no eyes, brows, lips, hair, neck
    acne: NDArray[np.bool_]  # (size, size), True on lesions

    @property
    def severity(self) -> int:
        return severity_of(self.lesions)


def render_face(
    seed: int,
    *,
    size: int = 256,
    ita_deg: float | None = None,
    age: int | None = None,
    lesions: int | None = None,
) -> Face:
    """A face phantom `size` pixels wide and high.

    Args:
        seed: Any integer from 0. It also settles what other arguments leave open. Proportions
            and backdrop stay the same whatever `ita_deg` and `lesions`.
        size: Width in pixels, within `SIZE_RANGE`; details scale with it.
        ita_deg: Skin tone, within `skin_tone.ITA_RANGE_DEG`; None draws it evenly.
        age: Years, within `AGES`; None draws it evenly.
        lesions: Of acne, up to `MOST_LESIONS`; None draws none for half of the faces, else 1
            to `MOST_LESIONS`, or as many as find room.

    Raises:
        InvalidData: An argument is out of range, or the lesions do not fit.
    """
    _check(seed, size, age, lesions)
    labels = Dice(seed, _LABELS)
    drawn = labels.between(*ITA_RANGE_DEG), labels.integer(*AGES), labels.unit() < 0.5
    acne = labels.integer(1, MOST_LESIONS) if drawn[2] else 0
    ita = drawn[0] if ita_deg is None else float(ita_deg)
    age = drawn[1] if age is None else age
    wanted = acne if lesions is None else lesions
    canvas = bare_skin(Dice(seed, _SKIN), size, ita)
    canvas.planes[3] *= 0.3  # relief is finer from afar
    mask = _draw_face(canvas, seed, ita, age)
    count = _draw_acne(canvas, Dice(seed, _LESIONS), mask, wanted)
    if lesions is not None and count < lesions:
        raise InvalidData(f"lesions asks for {lesions}, this face has room for {count}.")
    image = photograph(canvas, Dice(seed, _CAMERA), mask)
    return Face(seed, age, ita, count, image, mask, canvas.mask)


def _check(seed: int, size: int, age: int | None, lesions: int | None) -> None:
    check_drawable(seed, size, SIZE_RANGE)
    if age is not None and not AGES[0] <= age <= AGES[1]:
        raise InvalidData(f"age is {age} years, faces are {AGES[0]} to {AGES[1]} years old.")
    if lesions is not None and not 0 <= lesions <= MOST_LESIONS:
        raise InvalidData(f"lesions is {lesions}, a face has 0 to {MOST_LESIONS}.")


def _draw_face(canvas: Canvas, seed: int, ita: float, age: int) -> NDArray[np.bool_]:
    """Draw all but acne; returns the mask of facial skin."""
    planes, years = canvas.planes, Dice(seed, _AGE)
    signs = draw_signs(years, float(age))
    head, scene = Dice(seed, _HEAD), Dice(seed, _SCENE)
    frame = place_face(scene, canvas.size)
    build = draw_build(head, ita, signs.grey, signs.shape)
    out = outline(frame, build)
    shape_face(planes, frame, build, out)
    draw_nose(planes, frame, build)
    draw_ageing(planes, years, frame, build, signs, out.face)
    keep_tone(planes, out, skin_lab(ita))
    aside = draw_lips(planes, head, frame, build, canvas.lightness)
    aside = np.maximum(aside, draw_eyes(planes, frame, build))
    aside = np.maximum(aside, draw_brows(planes, head, frame, build))
    draw_behind(planes, scene, frame, build, out)
    aside = np.maximum(aside, draw_front_hair(planes, head, frame, build))
    return (out.face > 0.5) & (aside < 0.5)


def _draw_acne(canvas: Canvas, dice: Dice, skin: NDArray[np.bool_], wanted: int) -> int:
    """Throw lesions on the skin, apart from each other and from its rim; returns how many."""
    scale = canvas.size / 256.0 * _LESION_SCALE
    rows, columns = np.nonzero(skin)
    taken: list[tuple[float, float, float]] = []
    kinds = ("papule", "papule", "pustule", "comedone", "nodule")
    for _ in range(_THROWS * wanted):
        if len(taken) == wanted:
            break
        kind = kinds[dice.integer(0, len(kinds) - 1)]
        look = LOOKS[kind][dice.integer(0, len(LOOKS[kind]) - 1)]
        radius = max(dice.between(*look.radii) * scale, 1.0)
        at = dice.integer(0, len(rows) - 1)
        x, y = float(columns[at]) + 0.5, float(rows[at]) + 0.5
        if _has_room(skin, taken, x, y, radius):
            taken.append((x, y, radius))
            draw_lesion(canvas, dice, Spot(kind, look, radius, x, y))
    return len(taken)


def _has_room(
    skin: NDArray[np.bool_],
    taken: list[tuple[float, float, float]],
    x: float,
    y: float,
    radius: float,
) -> bool:
    reach, size = int(1.3 * radius) + 1, skin.shape[0]
    row, column = int(y), int(x)
    if min(row, column) < reach or max(row, column) + reach >= size:
        return False
    if not skin[row - reach : row + reach + 1, column - reach : column + reach + 1].all():
        return False
    return all(
        (x - a) * (x - a) + (y - b) * (y - b) > (1.2 * (radius + r)) * (1.2 * (radius + r))
        for a, b, r in taken
    )


def _face_sheet(seed: int, size: int) -> Sheet:
    face = render_face(seed, size=size)
    share = np.count_nonzero(face.mask) / face.mask.size
    affected = "affected" if face.lesions else "unaffected"
    labels = (f"{share:.4f}", affected, face.severity, face.lesions, f"{face.ita_deg:.2f}")
    return Sheet(face.image, face.mask, (f"P{seed}", *labels))


FACE_SET = SetKind(FACE_COLUMNS, SIZE_RANGE, _face_sheet)
"""Faces with masks of skin, half of them with acne."""


def _age_sheet(seed: int, size: int) -> Sheet:
    face = render_face(seed, size=size, lesions=0)
    exact = seed % 2 == 0
    group = next(pair for pair in GROUPS if pair[0] <= face.age <= pair[1])
    low, high = (face.age, face.age) if exact else group
    kind = "exact" if exact else "group"
    labels = (face.age if exact else "", low, high, kind, f"{face.ita_deg:.2f}")
    return Sheet(face.image, face.mask, (f"P{seed}", *labels))


AGE_SET = SetKind(AGE_COLUMNS, SIZE_RANGE, _age_sheet)
"""Faces of 18 to 80 years without acne.

Every second label is exact, `age` in years; of the others only the group is told, `age_low` to
`age_high`, with `age` empty.
"""
