"""The seven classes of HAM10000 as seven patterns for phantoms, each by its dermatoscopic signs.

akiec: red, scaly, white dots in a red mesh. bcc: pearly pink, branching vessels, blue-grey nests.
bkl: stuck on, sharp, waxy brown with plugs and white cysts. df: a white scar in a faint brown
ring. mel: several colours, no symmetry, ragged. nv: one even brown net that fades out. vasc: red
to purple lagoons between pale walls. They are drawings of textbook signs (Tschandl, Rosendahl and
Kittler, Sci Data 5, 2018, name the classes) and say nothing of real lesions. Determinism: see
`phantom_canvas`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.phantom_canvas import Dice, ellipse, smooth_noise
from edgeskin.data.phantom_shapes import (
    Lab,
    Point,
    bend,
    cells,
    cover_of,
    draw_stroke,
    tint,
)
from edgeskin.data.skin_tone import ITA_RANGE_DEG, FloatArray
from edgeskin.errors import InvalidData

_BLACK_BELOW = 50.0  # L* under which a darkening of the skin gets weaker


@dataclass(frozen=True, eq=False)
class Ground:
    """A square window of skin on which one lesion is drawn, twice `REACH` radii wide."""

    planes: FloatArray  # (4, side, side): L*, a*, b*, height in pixels
    dice: Dice
    radius: float  # pixels
    out: FloatArray  # (side, side): distance from the middle in radii, the outline bent
    lightness: float  # L* of the bare skin

    @property
    def side(self) -> int:
        return int(self.planes.shape[1])

    @property
    def middle(self) -> float:
        return 0.5 * self.side

    def noise(self, radii: float) -> FloatArray:
        """Smooth noise with features that many lesion radii wide."""
        return smooth_noise(self.dice, self.side, max(radii * self.radius, 1.0))

    def dye(self, cover: FloatArray, change: Lab) -> None:
        """Change the colour by so much on light skin; darkening is less where skin is dark."""
        light, a, b = change
        share = min(1.0, max(self.lightness, 12.0) / _BLACK_BELOW)
        tint(self.planes, cover, (light * share if light < 0.0 else light, a, b))

    def blots(self, radii: float, least: float, soft: float = 0.5) -> FloatArray:
        """Cover of irregular patches, fewer the higher `least`."""
        return cover_of(self.noise(radii) - least, soft)


@dataclass(frozen=True)
class Pattern:
    """How a class is drawn: bends of its outline in radii, its rim, and what is inside."""

    broad: float  # bends half a radius wide
    fine: float  # bends an eighth of a radius wide
    edge: float  # width of the rim, in radii
    fill: Callable[[Ground, FloatArray], None]  # ground, cover of the lesion


def _akiec(ground: Ground, cover: FloatArray) -> None:
    ground.dye(cover, (-5.0, 14.0, 5.0))
    follicles = cells(ground.dice, ground.side, 0.24 * ground.radius)
    ground.dye(follicles.walls(0.5) * cover, (-3.0, 7.0, 2.0))
    ground.dye(follicles.dots(0.22) * cover, (8.0, -11.0, 1.0))
    flakes = ground.blots(0.08, 0.5, 0.4) * ground.blots(0.5, 0.1, 0.9) * cover
    ground.dye(flakes, (19.0, -12.0, 2.0))
    ground.planes[3] += flakes * (0.02 * ground.radius)


def _bcc(ground: Ground, cover: FloatArray) -> None:
    ground.dye(cover, (3.0, 9.0, -4.0))
    ground.planes[3] += cover * np.maximum(1.0 - ground.out, 0.0) * (0.2 * ground.radius)
    nests = cells(ground.dice, ground.side, 0.55 * ground.radius)
    ground.dye(nests.dots(0.42, below=0.45) * cover, (-24.0, -7.0, -13.0))
    vessels = np.zeros_like(cover)
    for _ in range(3):
        _branch(ground, vessels, _on_rim(ground), 3)
    ground.dye(vessels * np.minimum(cover * 2.0, 1.0), (-15.0, 21.0, 5.0))


def _branch(ground: Ground, cover: FloatArray, start: Point, order: int) -> None:
    """A vessel that winds towards the middle and forks, thinner with each order."""
    dice, middle = ground.dice, ground.middle
    reach = (0.2 + 0.18 * order) * ground.radius
    to_x, to_y = middle - start[0], middle - start[1]
    length = max(abs(to_x) + abs(to_y), 1.0)
    turn = dice.direction()
    end = (
        start[0] + reach * (0.7 * to_x / length + 0.6 * turn[0]),
        start[1] + reach * (0.7 * to_y / length + 0.6 * turn[1]),
    )
    sway = dice.direction()
    via = (
        0.5 * (start[0] + end[0]) + 0.4 * reach * sway[0],
        0.5 * (start[1] + end[1]) + 0.4 * reach * sway[1],
    )
    wide = max(0.009 * order * ground.radius, 0.35)
    draw_stroke(cover, bend(start, via, end), (wide, 0.8 * wide))
    if order > 1:
        for _ in range(2):
            _branch(ground, cover, end, order - 1)


def _on_rim(ground: Ground) -> Point:
    x, y = ground.dice.direction()
    return ground.middle + 0.95 * ground.radius * x, ground.middle + 0.95 * ground.radius * y


def _bkl(ground: Ground, cover: FloatArray) -> None:
    shade = ground.dice.between(-1.0, 1.0)
    ground.dye(cover, (-17.0 - 5.0 * shade, 1.5, 6.0))
    ground.dye(ground.blots(0.35, 0.3, 0.8) * cover, (-6.0, 2.0, 4.0))
    plugs = cells(ground.dice, ground.side, 0.3 * ground.radius)
    ground.dye(plugs.dots(0.3, below=0.4) * cover, (-20.0, 3.0, 4.0))
    ground.dye(plugs.dots(0.24, least=0.66) * cover, (21.0, -5.0, -3.0))
    warts = np.maximum(1.0 - plugs.nearest, 0.0) * cover
    raised = cover_of(1.0 - ground.out, 0.35)
    ground.planes[3] += (warts * 0.03 + raised * 0.06) * ground.radius


def _df(ground: Ground, cover: FloatArray) -> None:
    net = cells(ground.dice, ground.side, 0.16 * ground.radius)
    ground.dye(cover, (-8.0, 6.0, 8.0))
    ground.dye(net.walls(0.35) * cover, (-6.0, 2.0, 3.0))
    scar = cover_of(0.46 - ground.out + ground.noise(0.3) * 0.05, 0.3)
    ground.dye(scar, (19.0, -9.0, -9.0))
    ground.planes[3] -= scar * (0.05 * ground.radius)


def _mel(ground: Ground, cover: FloatArray) -> None:
    ground.dye(cover, (-22.0, 6.0, 10.0))
    net = cells(ground.dice, ground.side, 0.16 * ground.radius)
    ground.dye(net.walls(0.5) * ground.blots(0.6, 0.0) * cover, (-13.0, 0.0, -2.0))
    ground.dye(ground.blots(0.5, 0.1) * cover, (-17.0, -5.0, -11.0))
    ground.dye(ground.blots(0.6, 0.5) * cover, (2.0, -10.0, -17.0))  # the blue-white veil
    ground.dye(ground.blots(0.5, 0.8) * cover, (5.0, 12.0, 0.0))
    ground.dye(ground.blots(0.5, 1.0) * cover, (22.0, -4.0, -4.0))  # regression
    ground.dye(net.dots(0.3, below=0.2) * cover, (-20.0, -3.0, -6.0))


def _nv(ground: Ground, cover: FloatArray) -> None:
    shade = ground.dice.between(-1.0, 1.0)
    depth = cover * (0.55 + 0.45 * np.maximum(1.0 - ground.out, 0.0))
    ground.dye(depth, (-19.0 - 5.0 * shade, 9.0, 11.0))
    net = cells(ground.dice, ground.side, 0.15 * ground.radius)
    ground.dye(net.walls(0.4) * cover, (-8.0, 2.0, 1.0))
    ground.planes[3] += cover * np.maximum(1.0 - ground.out, 0.0) * (0.08 * ground.radius)


def _vasc(ground: Ground, cover: FloatArray) -> None:
    lagoons = cells(ground.dice, ground.side, 0.4 * ground.radius)
    purple = ground.dice.between(0.0, 0.6)
    ground.dye(cover, (-8.0, 20.0, 2.0))
    lagoon = cover_of(lagoons.second - 1.35 * lagoons.nearest, 0.5) * cover
    ground.dye(lagoon, (-12.0, 13.0, 4.0))
    ground.dye(cover_of(lagoons.lot - (1.0 - purple), 0.2) * lagoon, (-10.0, -12.0, -17.0))
    dome = np.maximum(1.0 - lagoons.nearest, 0.0) * cover
    ground.planes[3] += dome * (0.09 * ground.radius)


PATTERNS: Mapping[str, Pattern] = {
    "akiec": Pattern(0.14, 0.06, 0.4, _akiec),
    "bcc": Pattern(0.11, 0.02, 0.22, _bcc),
    "bkl": Pattern(0.06, 0.06, 0.06, _bkl),
    "df": Pattern(0.05, 0.02, 0.4, _df),
    "mel": Pattern(0.24, 0.09, 0.12, _mel),
    "nv": Pattern(0.05, 0.02, 0.22, _nv),
    "vasc": Pattern(0.07, 0.0, 0.06, _vasc),
}
"""By class, in the order of the challenge."""

REACH = 1.7
"""Half width of a lesion's window in radii: outside of it nothing is drawn."""


def draw_pattern(
    planes: FloatArray, dice: Dice, label: str, where: tuple[float, float, float], lightness: float
) -> NDArray[np.bool_]:
    """Draw a lesion of a class on a canvas' planes (4, size, size); returns its mask.

    Args:
        where: x, y of its middle and its radius, in pixels; the middle lies in the canvas.
        lightness: L* of the bare skin.
    """
    pattern, (x, y, radius) = PATTERNS[label], where
    half, size = int(REACH * radius) + 2, planes.shape[1]
    left, top = int(x) - half, int(y) - half
    window = np.zeros((4, 2 * half, 2 * half))
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + 2 * half, size), min(top + 2 * half, size)
    part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    window[:, *part] = planes[:, y0:y1, x0:x1]
    out = _outline(dice, pattern, radius, 2 * half)
    ground = Ground(window, dice, radius, out, lightness)
    pattern.fill(ground, cover_of(1.0 - out, pattern.edge))
    planes[:, y0:y1, x0:x1] = window[:, *part]
    mask = np.zeros((size, size), np.bool_)
    mask[y0:y1, x0:x1] = out[part] < 1.0
    return mask


def _outline(dice: Dice, pattern: Pattern, radius: float, side: int) -> FloatArray:
    """Distance from the middle in radii, bent; at least `REACH` on the window's rim."""
    away: FloatArray = np.arange(side, dtype=np.float64) + (0.5 - 0.5 * side)
    out = np.sqrt(ellipse(dice, away, away, radius))
    out += smooth_noise(dice, side, 0.5 * radius) * pattern.broad
    out += smooth_noise(dice, side, max(0.13 * radius, 1.0)) * pattern.fine
    return out


def drawn_class(dice: Dice, label: str | None, ita_deg: float | None) -> tuple[str, float]:
    """The class and the skin tone of a phantom; what is None is drawn, the other draw is the same.

    Raises:
        InvalidData: No such class.
    """
    classes = tuple(PATTERNS)
    ita, drawn = dice.between(*ITA_RANGE_DEG), classes[dice.integer(0, len(classes) - 1)]
    if label is not None and label not in PATTERNS:
        raise InvalidData(f"label is {label!r}, lesions are of class {', '.join(classes)}.")
    return label or drawn, ita if ita_deg is None else float(ita_deg)
