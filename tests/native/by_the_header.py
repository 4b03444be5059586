"""A second implementation of edgeskin.h, written from its text alone: golden cases to results.

It shows that the header says all; speed, memory and checks of arguments are no concern here.
Python's floats are IEEE doubles and nothing fuses its operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from golden_cases import Words, items, shown
from numpy.typing import NDArray

Results = dict[str, Any]  # bytes where the format has a blob, else text
TYPES = {"uint8": np.uint8, "int8": np.int8, "float32": np.float32, "float16": np.float16}
YUV = {
    ("bt601", "video_range"): (9539, 13075, 3209, 6660, 16525),
    ("bt601", "full_range"): (8192, 11485, 2819, 5850, 14516),
    ("bt709", "video_range"): (9539, 14686, 1747, 4366, 17305),
    ("bt709", "full_range"): (8192, 12901, 1535, 3835, 15201),
}


def exp(x: float) -> float:
    if x < -745.2 or x > 709.782712893384:
        return 0.0 if x < 0 else math.inf
    n = round(x * 1.442695040888963387)
    r = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10
    e = 0.0
    for k in range(14, 0, -1):
        e = r * (1 + e) / k
    m = int(n / 2)
    return (1 + e) * 2.0**m * 2.0 ** (n - m)


class ByTheHeader:
    """Runs golden cases; `data` is their data.bin."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def run(self, function: str, given: Words) -> Results:
        return getattr(self, f"_{function}")(given)

    def blob(self, word: str, kind: Any = np.uint8) -> NDArray[Any]:
        offset, length = map(int, word.split(":"))
        return np.frombuffer(self.data[offset : offset + length], kind)

    # ---- Images in

    def picture(self, given: Words, grey: bool) -> NDArray[np.int64]:
        """The upright image, (H, W, 3) RGB or (H, W, 1)."""
        format_ = given.get("image.format", "rgb")
        size = int(given["image.height"]), int(given["image.width"])
        step = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4}.get(format_, 1)
        rows = [(size[0], size[1] * step)]
        if format_ == "i420":
            rows += [(size[0] // 2, size[1] // 2)] * 2
        elif format_ in ("nv12", "nv21"):
            rows.append((size[0] // 2, size[1]))
        strides = [int(x) for x in items(given.get("image.strides"))] or [w for _, w in rows]
        planes = []
        for word, (high, wide), stride in zip(
            items(given["image.planes"]), rows, strides, strict=True
        ):
            plane = np.lib.stride_tricks.as_strided(self.blob(word), (high, wide), (stride, 1))
            planes.append(plane.astype(np.int64))
        if len(planes) > 1:
            stored = self.from_yuv(planes, format_, given)
        else:
            stored = planes[0].reshape(*size, step)[..., :3]
            stored = stored[..., ::-1] if format_.startswith("bgr") else stored
        if "selection.mask.pixels" in given:
            stored = self.selected(stored, given)
        if grey and stored.shape[2] == 3:
            stored = luma(stored)
        return upright(stored, int(given.get("image.orientation", "1")))

    def selected(self, stored: NDArray[np.int64], given: Words) -> NDArray[np.int64]:
        kept = [int(value) for value in items(given["selection.keep"])]
        values = self.blob(given["selection.mask.pixels"]).reshape(stored.shape[:2])
        fill = np.array([[[int(x) for x in items(given.get("selection.fill", "0,0,0"))]]])
        fill = luma(fill) if stored.shape[2] == 1 else fill
        return np.where(np.isin(values, kept)[..., None], stored, fill)

    def from_yuv(
        self, planes: list[NDArray[np.int64]], format_: str, given: Words
    ) -> NDArray[np.int64]:
        first, second = (planes[1], planes[-1])
        if format_ != "i420":
            first, second = planes[1][:, ::2], planes[1][:, 1::2]
        u, v = (second, first) if format_ == "nv21" else (first, second)
        u, v = (x.repeat(2, 0).repeat(2, 1) - 128 for x in (u, v))
        range_ = given.get("image.range", "video_range")
        cy, crv, cgu, cgv, cbu = YUV[given.get("image.matrix", "bt601"), range_]
        y = cy * (planes[0] - (16 if range_ == "video_range" else 0))
        sums = (y + crv * v, y - cgu * u - cgv * v, y + cbu * u)
        return np.clip(np.dstack([x + 4096 >> 13 for x in sums]), 0, 255)

    # ---- Pre-processing

    def _place(self, given: Words) -> Results:
        p = placement(given)
        crop = ",".join(shown(float(x)) for x in p["crop"])
        return {name: crop if name == "crop" else str(value) for name, value in p.items()}

    def _preprocess(self, given: Words) -> Results:
        channels = given.get("recipe.channels", "rgb")
        image, p = self.picture(given, channels == "grey"), placement(given)
        resized = resize(image, p, given.get("recipe.filter", "bilinear"))
        width, height = int(given["recipe.width"]), int(given["recipe.height"])
        pixels = np.full((height, width, resized.shape[2]), int(given.get("recipe.pad_value", "0")))
        for y in range(height):
            for x in range(width):
                at = x + p["left"], y + p["top"]
                if 0 <= at[0] < p["resized_width"] and 0 <= at[1] < p["resized_height"]:
                    pixels[y, x] = resized[at[1], at[0]]
        if channels != "grey" and pixels.shape[2] == 1:
            pixels = pixels.repeat(3, 2)
        out = normalized(pixels[..., ::-1] if channels == "bgr" else pixels, given)
        layout = (2, 0, 1) if given.get("recipe.layout") == "nchw" else (0, 1, 2)
        return {"output": out.transpose(layout).tobytes()}

    _preprocess_masked = _preprocess

    # ---- Post-processing

    def tensor(self, given: Words, name: str) -> list[float]:
        kind = given[f"{name}.type"]
        values = self.blob(given[f"{name}.data"], TYPES[kind])
        if kind in ("uint8", "int8"):
            scale, zero = float(given[f"{name}.scale"]), int(given[f"{name}.zero_point"])
            return [scale * (int(q) - zero) for q in values]
        return [float(x) for x in values]

    def _dequantize(self, given: Words) -> Results:
        return {"values": np.array(self.tensor(given, "tensor"), np.float32).tobytes()}

    def scores(self, given: Words) -> NDArray[np.float32]:
        x, how = self.tensor(given, "logits"), given["activation"]
        if how == "softmax":
            total = sum(exp(a - max(x)) for a in x)
            x = [exp(a - max(x)) / total for a in x]
        elif how == "sigmoid":
            x = [1 / (1 + exp(-a)) for a in x]
        return np.array(x, np.float32)

    def _classify(self, given: Words) -> Results:
        scores = self.scores(given)
        top = np.argsort(-scores, kind="stable")[: int(given["top_count"])]
        return {"scores": scores.tobytes(), "top": shown([int(i) for i in top])}

    def _measure(self, given: Words) -> Results:
        scores = self.scores(given)
        m = [float(x) for x in scores]
        first, step, share = (float(given[name]) for name in ("first", "step", "share"))
        values = [first + step * i for i in range(len(m))]
        total = sum(m)

        def at(share: float) -> float:
            reached = (v for i, v in enumerate(values) if sum(m[: i + 1]) / total >= share)
            return next(reached, values[-1])

        tail = (1 - share) / 2
        upper = [float(x) for x in items(given.get("upper"))]
        grades = [grade(value, upper) for value in values]
        held = {g: sum(a for a, b in zip(m, grades, strict=True) if b == g) for g in grades}
        if given["activation"] == "no_activation":
            scores = np.array([x / total for x in m], np.float32)
        return {
            "mass": scores.tobytes(),
            "expectation": shown(sum(a * b for a, b in zip(m, values, strict=True)) / total),
            "mode": shown(values[m.index(max(m))]),
            "low": shown(at(tail)),
            "high": shown(at(1 - tail)),
            "grade": str(max(held, key=lambda g: (held[g], -g)) if upper else -1),
        }

    def _grade(self, given: Words) -> Results:
        return {
            "grade": str(
                grade(float(given["value"]), [float(x) for x in items(given.get("upper"))])
            )
        }

    def _segment(self, given: Words) -> Results:
        p = placement(given)
        classes, width, height = (int(given[name]) for name in ("classes", "width", "height"))
        logits = np.array(self.tensor(given, "logits"))
        if given.get("layout", "nhwc") == "nhwc":
            logits = logits.reshape(height, width, classes)
        else:
            logits = logits.reshape(classes, height, width).transpose(1, 2, 0)
        left, top, right, bottom = p["crop"]
        turned = p["orientation"] > 4
        size = (p["image_width"], p["image_height"])[:: -1 if turned else 1]
        across = [
            lines(x, left, right, p["resized_width"], p["left"], p["width"], width)
            for x in range(size[0])
        ]
        down = [
            lines(y, top, bottom, p["resized_height"], p["top"], p["height"], height)
            for y in range(size[1])
        ]
        mask = np.full((size[1], size[0], 1), 255)
        for y, x in np.ndindex(size[1], size[0]):
            if across[x] is None or down[y] is None:
                continue
            (x0, x1, along), (y0, y1, between) = across[x], down[y]
            corners = [[logits[y0, x0], logits[y0, x1]], [logits[y1, x0], logits[y1, x1]]]
            if turned:  # stored rows are upright columns
                corners, along, between = (
                    [list(c) for c in zip(*corners, strict=True)],
                    between,
                    along,
                )
            a, b = (corners[0][i] + between * (corners[1][i] - corners[0][i]) for i in (0, 1))
            value = a + along * (b - a)
            mask[y, x] = value[0] >= 0 if classes == 1 else value.argmax()
        stored = lay_down(mask, p["orientation"])[..., 0].astype(np.uint8)
        counts = [int((stored == i).sum()) for i in range(max(classes, 2))]
        return {"mask": stored.tobytes(), "counts": shown(counts)}

    def _components(self, given: Words) -> Results:
        shape = int(given["mask.height"]), int(given["mask.width"])
        wanted = self.blob(given["mask.pixels"]).reshape(shape) == int(given["value"])
        left, found = {(int(x), int(y)) for y, x in np.argwhere(wanted)}, []
        while left:
            pixels = grow(left, reach=int(given["connectivity"]))
            if len(pixels) >= int(given["min_area"]):
                found.append(component(pixels))
        found.sort(key=lambda box: box[0])
        return boxes([box for _, box in found], len(found), int(given["capacity"]))

    def _find_crops(self, given: Words) -> Results:
        shape = int(given["skin.height"]), int(given["skin.width"])
        rule = {key[5:]: float(word) for key, word in given.items() if key.startswith("rule.")}
        side, step = int(rule["side"]), int(rule["step"])
        lesion = self.blob(given["lesion.pixels"]).reshape(shape) == rule["lesion_value"]
        skin = lesion | (self.blob(given["skin.pixels"]).reshape(shape) == rule["skin_value"])
        grid = [sorted({*range(0, n - side, step), n - side}) for n in shape]
        squares = []
        for y, x in ((y, x) for y in grid[0] for x in grid[1]):
            here = (slice(y, y + side), slice(x, x + side))
            ill, healthy = int(lesion[here].sum()), int(skin[here].sum())
            if healthy > rule["min_skin"] * (side * side) and ill > rule["min_lesion"] * (
                side * side
            ):
                squares.append((-ill, y, x))
        kept: list[tuple[int, int, int]] = []
        for square in sorted(squares):
            shared = (overlap(square, other, side) / (side * side) for other in kept)
            if len(kept) < int(given["capacity"]) and all(s <= rule["max_overlap"] for s in shared):
                kept.append(square)
        middle = (side - 1) / 2
        found = [(x, y, side, side, -ill, x + middle, y + middle) for ill, y, x in kept]
        return boxes(found, len(found), len(found))


def luma(rgb: NDArray[np.int64]) -> NDArray[np.int64]:
    return (rgb @ np.array([19595, 38470, 7471]) + 32768 >> 16)[..., None]


def source(x: int, y: int, w: int, h: int, orientation: int) -> tuple[int, int]:
    """The stored pixel that upright pixel (x, y) of a stored w x h image is."""
    return [
        (x, y), (w - 1 - x, y), (w - 1 - x, h - 1 - y), (x, h - 1 - y),
        (y, x), (y, h - 1 - x), (w - 1 - y, h - 1 - x), (w - 1 - y, x),
    ][orientation - 1]  # fmt: skip


def upright(stored: NDArray[np.int64], orientation: int) -> NDArray[np.int64]:
    h, w = stored.shape[:2]
    size = (h, w) if orientation <= 4 else (w, h)
    places = [source(x, y, w, h, orientation) for y in range(size[0]) for x in range(size[1])]
    columns, rows = np.array(places).T
    return stored[rows, columns].reshape(*size, -1)


def lay_down(image: NDArray[np.int64], orientation: int) -> NDArray[np.int64]:
    """The stored image of an upright one."""
    size = image.shape[:2][:: 1 if orientation <= 4 else -1]
    stored = np.empty((*size, image.shape[2]), image.dtype)
    for y, x in np.ndindex(image.shape[:2]):
        column, row = source(x, y, size[1], size[0], orientation)
        stored[row, column] = image[y, x]
    return stored


def placement(given: Words) -> dict[str, Any]:
    names = ("image_width", "image_height", "orientation")
    image = [int(given.get(f"image.{name.removeprefix('image_')}", "1")) for name in names]
    size = image[:2] if image[2] <= 4 else image[1::-1]
    crop = [float(np.float32(x)) for x in items(given.get("recipe.crop"))] or [
        0.0,
        0.0,
        *map(float, size),
    ]
    out = int(given["recipe.width"]), int(given["recipe.height"])
    resized, fit = list(out), given.get("recipe.fit", "squash")
    box = crop[2] - crop[0], crop[3] - crop[1]
    if fit != "squash":
        s = int(given.get("recipe.resize_to", "0")) / min(box)
        if fit == "letterbox":
            s = min(out[0] / box[0], out[1] / box[1])
        resized = [max(1, int(length * s + 0.5)) for length in box]
    left, top = (int((r - o) / 2) for r, o in zip(resized, out, strict=True))
    values = (*image, crop, *resized, left, top, *out)
    more = ("crop", "resized_width", "resized_height", "left", "top", "width", "height")
    return dict(zip((*names, *more), values, strict=True))


def sinc(t: float) -> float:
    p = t * math.pi
    return math.sin(p) / p if t else 1.0


def hamming(a: float) -> float:
    if a == 0 or a >= 1:
        return float(a == 0)
    p = a * math.pi
    return math.sin(p) / p * (float(np.float32(0.54)) + float(np.float32(0.46)) * math.cos(p))


def bicubic(a: float) -> float:
    if a < 1:
        return (1.5 * a - 2.5) * a * a + 1
    return (((a - 5) * a + 8) * a - 4) * -0.5 if a < 2 else 0.0


FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "box": (0.5, lambda x: float(-0.5 < x <= 0.5)),
    "bilinear": (1, lambda x: max(0.0, 1 - abs(x))),
    "hamming": (1, lambda x: hamming(abs(x))),
    "bicubic": (2, lambda x: bicubic(abs(x))),
    "lanczos": (3, lambda x: sinc(abs(x)) * sinc(abs(x) / 3) if -3 <= x < 3 else 0.0),
}


def resize(image: NDArray[np.int64], p: dict[str, Any], filter_: str) -> NDArray[np.int64]:
    h, w = image.shape[:2]
    across = (1, p["crop"][0], p["crop"][2], p["resized_width"])
    down = (0, p["crop"][1], p["crop"][3], p["resized_height"])
    passes = [across, down]
    if p["resized_height"] < h and h - p["resized_height"] > 2 * (w - p["resized_width"]):
        passes.reverse()
    for axis, begin, end, r in passes:
        image = one_axis(image.swapaxes(0, axis), begin, end, r, filter_).swapaxes(0, axis)
    return image


def one_axis(
    image: NDArray[np.int64], begin: float, end: float, r: int, filter_: str
) -> NDArray[np.int64]:
    """The first axis resized."""
    n = image.shape[0]
    scale = float(np.float32(end) - np.float32(begin)) / r
    if filter_ == "nearest":
        position, picked = begin + scale * 0.5, []
        for _ in range(r):
            picked.append(min(n - 1, int(position)))
            position += scale
        return image[picked]
    support, weight = FILTERS[filter_]
    wide = max(1.0, scale)
    rows = []
    for i in range(r):
        centre = begin + (i + 0.5) * scale
        first = max(0, int(centre - support * wide + 0.5))
        last = min(n, int(centre + support * wide + 0.5))
        w = [weight((k - centre + 0.5) * (1 / wide)) for k in range(first, last)]
        total = sum(w)
        v = [x / total * 2**22 if total else x * 2**22 for x in w]
        c = np.array([int(x - 0.5 if x < 0 else x + 0.5) for x in v])
        sums = np.tensordot(c, image[first:last], 1) + 2**21
        rows.append(np.clip(sums.astype(np.int32) >> 22, 0, 255))
    return np.array(rows, np.int64)


def normalized(pixels: NDArray[np.int64], given: Words) -> NDArray[Any]:
    kind = given.get("recipe.type", "uint8")
    mean = [float(x) for x in items(given.get("recipe.mean"))] or [0.0] * 3
    std = [float(x) for x in items(given.get("recipe.std"))] or [1.0] * 3
    scale, zero = (
        float(given.get("recipe.scale", 1 / 255)),
        int(given.get("recipe.zero_point", "0")),
    )
    tables = []
    for c in range(pixels.shape[2]):
        real = [(v / 255 - mean[c]) / std[c] for v in range(256)]
        if kind in ("uint8", "int8"):
            low = -128 if kind == "int8" else 0
            real = [min(max(round(x / scale) + zero, low), low + 255) for x in real]
        with np.errstate(over="ignore"):
            tables.append(np.array(real, np.float64).astype(TYPES[kind]))
    return np.dstack([table[pixels[..., c]] for c, table in enumerate(tables)])


def lines(
    i: int, begin: float, end: float, r: int, offset: int, o: int, n: int
) -> tuple[int, int, float] | None:
    """The two lines of logits that pixel i lies between, and how far from the first."""
    u = (i + 0.5 - begin) * (r / (end - begin))
    t = u - offset
    if not (0 <= u < r and 0 <= t < o):
        return None
    f = min(max(t * (n / o) - 0.5, 0.0), n - 1.0)
    return int(f), min(int(f) + 1, n - 1), f - int(f)


def grade(value: float, upper: Sequence[float]) -> int:
    return next((i for i, bound in enumerate(upper) if value <= bound), len(upper))


def grow(left: set[tuple[int, int]], reach: int) -> list[tuple[int, int]]:
    """Takes one component out of the pixels that are left."""
    found = [left.pop()]
    for x, y in found:
        for dx, dy in ((dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)):
            if (reach == 8 or 0 in (dx, dy)) and (x + dx, y + dy) in left:
                left.remove((x + dx, y + dy))
                found.append((x + dx, y + dy))
    return found


def component(pixels: list[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Its rank among others, and its box."""
    xs, ys = zip(*pixels, strict=True)
    area, last = len(pixels), max(ys)
    rank = (-area, min(ys), min(xs), last, min(x for x, y in pixels if y == last))
    size = max(xs) - min(xs) + 1, last - min(ys) + 1
    return rank, (min(xs), min(ys), *size, area, sum(xs) / area, sum(ys) / area)


def overlap(a: tuple[int, int, int], b: tuple[int, int, int], side: int) -> int:
    return max(0, side - abs(a[1] - b[1])) * max(0, side - abs(a[2] - b[2]))


def boxes(found: Sequence[Sequence[float]], count: int, capacity: int) -> Results:
    shown_boxes = [shown(x) for box in found[:capacity] for x in box]
    return {"count": str(count), "boxes": ",".join(shown_boxes)}
