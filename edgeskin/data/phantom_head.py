"""Heads of face phantoms: proportions, the frame they are drawn in, outline, neck, hair, clothes.

Lengths are in half face heights: the chin is at y = 1, the top of the forehead's skull at -1, x
grows to the right of the picture. Determinism: see `phantom_canvas`.
"""

from dataclasses import dataclass

import numpy as np

from edgeskin.data.phantom_backdrop import any_colour, backdrop
from edgeskin.data.phantom_canvas import Dice, middle_of, smooth_noise, stretched_noise
from edgeskin.data.phantom_shapes import Lab, Point, cover_of, tint
from edgeskin.data.skin_tone import FloatArray

_HAIRS: tuple[tuple[float, Lab], ...] = (  # how often, and its L*, a*, b*
    (0.3, (13.0, 2.0, 3.0)),
    (0.25, (24.0, 6.0, 10.0)),
    (0.2, (36.0, 10.0, 19.0)),
    (0.15, (62.0, 5.0, 30.0)),
    (0.1, (42.0, 24.0, 31.0)),
)
_GREY: Lab = (72.0, 0.0, 4.0)


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a face lies in the picture; x and y of every pixel, (size, size)."""

    x: FloatArray
    y: FloatArray
    unit: float  # pixels in half a face's height
    middle: Point  # of the face, pixels
    turn: Point  # cosine and sine of its tilt

    def pixel(self, x: float, y: float) -> Point:
        cosine, sine = self.turn
        return (
            self.middle[0] + self.unit * (cosine * x - sine * y),
            self.middle[1] + self.unit * (sine * x + cosine * y),
        )

    def cover(self, inside: FloatArray, edge: float = 1.4) -> FloatArray:
        """Cover of a shape from the distance to its rim, with a rim `edge` pixels wide."""
        return cover_of(inside * self.unit, edge)

    def dome(self, x: float, y: float, wide: float, high: float) -> FloatArray:
        """A round bump: 1 in the middle of an ellipse, 0 from its rim on."""
        dx, dy = (self.x - x) * (1.0 / wide), (self.y - y) * (1.0 / high)
        fall = np.maximum(1.0 - dx * dx - dy * dy, 0.0)
        return fall * fall


def place_face(dice: Dice, size: int) -> Frame:
    """A face somewhere round the middle, a little tilted."""
    unit = dice.between(0.33, 0.4) * size
    middle = dice.between(0.46, 0.54) * size, dice.between(0.51, 0.56) * size
    t = dice.between(-0.06, 0.06)
    cosine, sine = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
    dx = (np.arange(size) + (0.5 - middle[0]))[None, :] * (1.0 / unit)
    dy = (np.arange(size) + (0.5 - middle[1]))[:, None] * (1.0 / unit)
    return Frame(cosine * dx + sine * dy, cosine * dy - sine * dx, unit, middle, (cosine, sine))


@dataclass(frozen=True)
class Build:
    """Proportions of a face, and its colours."""

    width: float  # half width
    taper: float  # how much narrower the jaw is
    eye: tuple[float, float, float, float]  # x, y, half width, half height
    brow: tuple[float, float]  # y, thickness
    nose: tuple[float, float]  # half width, y of the tip
    mouth: tuple[float, float, float]  # y, half width, height of the lower lip
    hairline: float  # y where the hair begins, in the middle
    length: float  # y down to which hair hangs at the sides
    volume: float  # how far hair stands off
    hair: Lab
    grey: float  # share of grey hairs
    iris: Lab


def draw_build(dice: Dice, ita: float, grey: float, age_share: float) -> Build:
    """A build at random; `age_share` is 0 for young and 1 for old faces."""
    dark = ita < -10.0
    pick = dice.unit() * (0.5 if dark else 1.0)
    hair = _HAIRS[-1][1]
    for share, colour in _HAIRS:
        if pick < share:
            hair = colour
            break
        pick -= share
    irises: tuple[Lab, ...] = ((24.0, 9.0, 13.0), (38.0, 10.0, 24.0), (50.0, -3.0, -17.0))
    long = dice.unit() < 0.45
    return Build(
        width=dice.between(0.68, 0.78),
        taper=dice.between(0.16, 0.32) - 0.06 * age_share,
        eye=(
            dice.between(0.28, 0.33),
            dice.between(-0.08, -0.02),
            dice.between(0.125, 0.15),
            dice.between(0.055, 0.075) * (1.0 - 0.22 * age_share),
        ),
        brow=(dice.between(-0.28, -0.23), dice.between(0.02, 0.036)),
        nose=(dice.between(0.1, 0.15), dice.between(0.27, 0.33)),
        mouth=(
            dice.between(0.57, 0.63),
            dice.between(0.23, 0.29),
            dice.between(0.06, 0.095) * (1.0 - 0.3 * age_share),
        ),
        hairline=dice.between(-0.72, -0.52) - 0.2 * age_share * dice.unit(),
        length=dice.between(0.7, 1.7) if long else dice.between(-0.1, 0.25),
        volume=dice.between(0.12, 0.26) if long else dice.between(0.03, 0.14),
        hair=hair,
        grey=grey,
        iris=irises[0 if dark else dice.integer(0, 2)],
    )


@dataclass(frozen=True, eq=False)
class Outline:
    """Covers of what a head is made of, each (size, size)."""

    away: FloatArray  # distance from the middle of the face, 1 on its rim
    face: FloatArray
    body: FloatArray  # face, ears and neck
    neck: FloatArray  # ears and neck, where the face is not


def outline(frame: Frame, build: Build) -> Outline:
    down = np.maximum(frame.y, 0.0)
    narrow = 1.0 - build.taper * down * down
    across = frame.x / (build.width * np.maximum(narrow, 0.3))
    away = np.sqrt(across * across + frame.y * frame.y)
    face = frame.cover((1.0 - away) * build.width)
    side = np.abs(frame.x)
    ears = frame.cover(0.1 - np.sqrt(_squared(side - build.width - 0.01, (frame.y - 0.06) * 0.5)))
    wide = 0.54 * build.width + 0.12 * np.maximum(frame.y - 1.0, 0.0)
    neck = frame.cover(np.minimum(wide - side, frame.y - 0.4))
    body = np.maximum(np.maximum(face, ears), neck)
    return Outline(away, face, body, body - face)


def _squared(x: FloatArray, y: FloatArray) -> FloatArray:
    return x * x + y * y


def draw_behind(planes: FloatArray, dice: Dice, frame: Frame, build: Build, out: Outline) -> None:
    """Put backdrop and hair behind the head, shade the neck, and dress it."""
    behind = backdrop(dice, planes.shape[1])
    strands = _hair(dice, planes.shape[1], build)
    _blend(
        behind, _hair_behind(dice, frame, build), strands * np.array([0.8, 1.0, 1.0])[:, None, None]
    )
    planes[:3] = behind + out.body * (planes[:3] - behind)
    planes[3] *= out.body
    shadow = np.maximum(1.0 - np.maximum(out.away - 1.0, 0.0) * 1.8, 0.0)
    planes[0] *= 1.0 - 0.4 * out.neck * shadow
    _clothe(planes, dice, frame)


def draw_front_hair(planes: FloatArray, dice: Dice, frame: Frame, build: Build) -> FloatArray:
    """Lay the hair over the forehead and the temples; returns its cover."""
    size = planes.shape[1]
    side = np.minimum(np.abs(frame.x) * (1.0 / build.width), 1.1)
    fall = side * side * side * side
    ragged = stretched_noise(dice, size, 0.012 * size, 0.1 * size) * 0.01
    ragged += smooth_noise(dice, size, 0.15 * size) * 0.035
    line = build.hairline + (0.05 - build.hairline) * fall + ragged
    rim = _hair_rim(frame, build)
    cover = frame.cover(np.minimum(line - frame.y, rim), 3.0)
    cover *= cover_of(build.length + 0.2 - frame.y, 0.15)
    shadow = frame.cover(np.minimum(line + 0.06 - frame.y, rim), 0.08 * frame.unit)
    planes[0] *= 1.0 - 0.12 * shadow * (1.0 - cover)
    _blend(planes, cover, _hair(dice, size, build))
    return cover


def _hair_rim(frame: Frame, build: Build) -> FloatArray:
    """Distance to the outer rim of the hair, positive inside, above the ears."""
    wide, high = build.width + build.volume, 1.02 + build.volume
    up = frame.y * (1.0 / high)
    across = frame.x * (1.0 / wide)
    return (1.0 - np.sqrt(_squared(across, up))) * wide


def _hair_behind(dice: Dice, frame: Frame, build: Build) -> FloatArray:
    """Cover of the hair round the skull and, where it is long, down both sides."""
    rim = _hair_rim(frame, build)
    wave = smooth_noise(dice, frame.x.shape[0], 0.12 * frame.unit) * 0.02
    wide = build.width + build.volume * (1.0 + 0.3 * np.maximum(frame.y, 0.0))
    hanging = np.minimum(wide - np.abs(frame.x), np.minimum(frame.y, build.length - frame.y))
    return frame.cover(np.maximum(rim, hanging) + wave, 3.0)


def _hair(dice: Dice, size: int, build: Build) -> FloatArray:
    """L*, a*, b* planes of hair: strands, lighter and darker, some of them grey."""
    strand = stretched_noise(dice, size, 0.008 * size, 0.12 * size)
    lock = stretched_noise(dice, size, 0.035 * size, 0.25 * size)
    grey = cover_of(strand * 0.12 + lock * 0.06 + 1.4 * build.grey - 0.7, 0.5)
    planes = np.empty((3, size, size))
    for plane, own, old in zip(planes, build.hair, _GREY, strict=True):
        plane[:] = own + grey * (old - own)
    planes[0] *= 1.0 + 0.09 * strand + 0.1 * lock
    return planes


def _blend(planes: FloatArray, cover: FloatArray, over: FloatArray) -> None:
    planes[:3] += cover * (over - planes[:3])


def _clothe(planes: FloatArray, dice: Dice, frame: Frame) -> None:
    """Cover shoulders and chest with a garment of one colour."""
    collar = dice.between(1.2, 1.4)
    slope = np.maximum(np.abs(frame.x) - 0.4, 0.0)
    middle = np.maximum(0.5 - np.abs(frame.x), 0.0) * dice.between(0.2, 0.8)
    cover = frame.cover(frame.y - collar - 0.25 * slope * slope - middle, 2.0)
    light, a, b = any_colour(dice)
    folds = stretched_noise(dice, frame.x.shape[0], 0.06 * frame.unit, 0.4 * frame.unit) * 3.0
    colour = np.stack([light + folds, np.full_like(folds, a), np.full_like(folds, b)])
    _blend(planes, cover, colour)
    planes[3] *= 1.0 - cover


def keep_tone(planes: FloatArray, out: Outline, skin: Lab) -> None:
    """Shift the colour so that its median over the face is that of the bare skin again."""
    inside = out.face > 0.5
    for plane, value in zip(planes[:3], skin, strict=True):
        plane += value - middle_of(plane[inside])


def shape_face(planes: FloatArray, frame: Frame, build: Build, out: Outline) -> None:
    """Give the face its relief: dome, brow, sockets, cheeks, chin; redden cheeks and nose."""
    unit, height = frame.unit, planes[3]
    height += np.maximum(1.0 - out.away * out.away, 0.0) * (0.13 * unit) * out.face
    eye_x, eye_y = build.eye[:2]
    for side in (-1.0, 1.0):
        height -= frame.dome(side * eye_x, eye_y, 0.26, 0.17) * (0.035 * unit)
        height += frame.dome(side * eye_x, build.brow[0], 0.28, 0.12) * (0.02 * unit)
        height += frame.dome(side * 0.42, 0.2, 0.3, 0.3) * (0.025 * unit)
        tint(planes, frame.dome(side * 0.42, 0.3, 0.32, 0.28) * out.face, (-0.8, 4.0, 0.0))
        tint(planes, frame.dome(side * eye_x, eye_y, 0.22, 0.16) * out.face, (-4.0, 1.5, -1.0))
    height += frame.dome(0.0, 0.85, 0.25, 0.16) * (0.03 * unit)
    rim = np.maximum(out.away - 0.75, 0.0) * 4.0
    planes[0] *= 1.0 - 0.1 * np.minimum(rim * rim, 1.0) * out.face
