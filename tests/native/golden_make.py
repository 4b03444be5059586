"""Writes the golden vectors: the inputs and arguments below, and what the library answers.

    python tests/native/golden_make.py            write golden/cases.txt and golden/data.bin
    python tests/native/golden_make.py --check    exit 1 if they would change

That the answers are right is the business of the tests against Pillow, NumPy, SciPy and OpenCV.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from golden_cases import FOLDER, HEADING, Case, Runner, shown
from numpy.typing import NDArray
from spec_table import rows

from edgeskin.data.phantoms import render_phantom

Arguments = dict[str, Any]
Given = tuple[str, str, Arguments]  # function, name, arguments: str, number, sequence or array

FORMATS = ("rgb", "bgr", "rgba", "bgra", "grey", "nv12", "nv21", "i420")
FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
TYPES = {"uint8": np.uint8, "int8": np.int8, "float32": np.float32, "float16": np.float16}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHANTOM = render_phantom(7, size=64)
FACE = PHANTOM.image
ODD = np.ascontiguousarray(FACE[9:40, 5:50])  # 45 x 31
EVEN = np.ascontiguousarray(FACE[10:40, 8:48])  # 40 x 30
RNG = np.random.default_rng(1)


def image(format_: str, width: int, height: int, *planes: NDArray, **more: Any) -> Arguments:
    fields = {"format": format_, "width": width, "height": height, "planes": planes, **more}
    return {f"image.{key}": value for key, value in fields.items()}


def recipe(width: int, height: int, **more: Any) -> Arguments:
    fields = {"width": width, "height": height, **more}
    return {f"recipe.{key}": value for key, value in fields.items()}


def stored(format_: str, rgb: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The planes of a format that show about `rgb`."""
    red, green, blue = (rgb[..., i] for i in range(3))
    grey, alpha = rgb.mean(axis=2).astype(np.uint8), rgb[..., 1] ^ 255
    u, v = (
        np.ascontiguousarray(128 + (c[::2, ::2] // 2 - grey[::2, ::2] // 2)) for c in (blue, red)
    )
    match format_:
        case "rgb":
            return [rgb]
        case "bgr":
            return [rgb[..., ::-1]]
        case "rgba":
            return [np.dstack([red, green, blue, alpha])]
        case "bgra":
            return [np.dstack([blue, green, red, alpha])]
        case "grey":
            return [grey]
        case "nv12":
            return [grey, np.dstack([u, v])]
        case "nv21":
            return [grey, np.dstack([v, u])]
    return [grey, u, v]


def show(rgb: NDArray[np.uint8], format_: str = "rgb", **more: Any) -> Arguments:
    return image(format_, rgb.shape[1], rgb.shape[0], *stored(format_, rgb), **more)


def padded(rgb: NDArray[np.uint8], format_: str, extra: int, **more: Any) -> Arguments:
    """Rows `extra` bytes longer than they need be, but for the last one."""
    rows = [plane.reshape(plane.shape[0], -1) for plane in stored(format_, rgb)]
    wide = [np.pad(r, ((0, 0), (0, extra)), constant_values=170) for r in rows]
    planes = [w.reshape(-1)[: w.size - extra] for w in wide]
    strides = [w.shape[1] for w in wide]
    return image(format_, rgb.shape[1], rgb.shape[0], *planes, strides=strides, **more)


def pictures() -> Iterator[Given]:
    for format_, channels in product(FORMATS, ("rgb", "bgr", "grey")):
        arguments = show(EVEN, format_) | recipe(16, 12, channels=channels)
        yield "preprocess", f"{format_}_to_{channels}", arguments
    for format_, matrix, range_ in product(FORMATS[5:], ("bt601", "bt709"), ("video", "full")):
        frame = show(EVEN, format_, matrix=matrix, range=f"{range_}_range")
        yield "preprocess", f"{format_}_{matrix}_{range_}", frame | recipe(13, 17, filter="lanczos")
    for format_ in FORMATS:
        arguments = padded(EVEN[:18, :26], format_, 11) | recipe(10, 14, filter="box")
        yield "preprocess", f"{format_}_wide_rows", arguments
    for format_, turn in product(("rgb", "bgra", "grey", "nv12"), range(1, 9)):
        crop = (2.0, 1.0, 24.5, 29.25)
        arguments = show(EVEN, format_, orientation=turn)
        arguments |= recipe(9, 14, crop=crop, filter="bicubic")
        yield "preprocess", f"{format_}_orientation_{turn}", arguments


def resizes() -> Iterator[Given]:
    crop = tuple(float(np.float32(x)) for x in (3.3, 0.7, 40.1, 30.9))
    for name in FILTERS:
        yield "preprocess", f"{name}_down", show(ODD) | recipe(16, 12, filter=name)
        yield "preprocess", f"{name}_up", show(FACE[20:27, 30:39]) | recipe(21, 16, filter=name)
        yield "preprocess", f"{name}_up_and_down", show(ODD) | recipe(61, 5, filter=name)
        yield "preprocess", f"{name}_crop", show(ODD) | recipe(17, 11, filter=name, crop=crop)
        # The phantom's bytes, read as other shapes: long windows, single rows and columns.
        for width, height in ((1024, 4), (4, 1024), (4096, 1), (1, 4096)):
            arguments = image("rgb", width, height, FACE) | recipe(11, 9, filter=name)
            yield "preprocess", f"{name}_of_{width}_x_{height}", arguments
        grey = image("grey", 96, 128, FACE) | recipe(23, 19, filter=name, channels="grey")
        yield "preprocess", f"{name}_grey", grey
        frame = image("nv12", 128, 64, FACE.reshape(-1)[:8192], FACE.reshape(-1)[8192:])
        yield "preprocess", f"{name}_frame", frame | recipe(19, 23, filter=name, type="int8")
    yield "preprocess", "as_it_is", show(FACE) | recipe(64, 64)
    yield "preprocess", "one_pixel_of_many", show(ODD) | recipe(1, 1, filter="lanczos")
    yield "preprocess", "many_pixels_of_one", show(ODD[:1, :1]) | recipe(7, 5, filter="bicubic")
    # 10 of 32 columns are lost. With 40 of 128 rows: down first; with 20: across first.
    for left in (88, 108):
        arguments = image("rgb", 32, 128, FACE) | recipe(22, left, filter="lanczos")
        yield "preprocess", f"order_of_passes_{left}", arguments
    tiny = show(ODD) | recipe(6, 6, filter="bicubic", crop=(7.25, 8.25, 7.75, 8.5))
    yield "preprocess", "crop_within_a_pixel", tiny


def fits() -> Iterator[Given]:
    for turn in (1, 6):
        for pad in (0, 114, 255):
            boxed = recipe(20, 20, fit="letterbox", pad_value=pad)
            yield "preprocess", f"letterbox_{pad}_{turn}", show(ODD, orientation=turn) | boxed
        for size, wide in ((16, 12), (12, 16), (13, 13)):
            cut = recipe(size, wide, fit="shortest_edge", resize_to=19, filter="bicubic")
            name = f"shortest_edge_{size}_x_{wide}_{turn}"
            yield "preprocess", name, show(ODD, orientation=turn) | cut
    thin = recipe(12, 12, fit="letterbox", pad_value=9, type="float32", mean=MEAN, std=STD)
    yield "preprocess", "letterbox_thin", image("rgb", 1024, 4, FACE) | thin
    for height in (5, 7):  # to 12.5 and 17.5 rows
        arguments = image("rgb", 8, height, FACE.reshape(-1)[: 24 * height])
        yield "preprocess", f"half_a_row_{height}", arguments | recipe(20, 20, fit="letterbox")
    crop = (10.0, 4.0, 33.0, 29.0)
    for fit in ("squash", "shortest_edge", "letterbox"):
        to = {"resize_to": 18} if fit == "shortest_edge" else {}
        more = recipe(16, 14, fit=fit, crop=crop, **to)
        yield "preprocess", f"{fit}_of_a_crop", show(ODD) | more
        for turn in (1, 3, 8):
            arguments = image("i420", 640, 480, orientation=turn) | recipe(224, 192, fit=fit)
            arguments.pop("image.planes")
            more = {"recipe.resize_to": 256} if to else {}
            yield "place", f"{fit}_{turn}", arguments | more
            yield "place", f"{fit}_{turn}_crop", arguments | more | {"recipe.crop": crop}


def outputs() -> Iterator[Given]:
    small = show(ODD)
    for type_, layout, channels in product(TYPES, ("nhwc", "nchw"), ("rgb", "bgr", "grey")):
        more = {"mean": MEAN, "std": STD}
        if type_ in ("uint8", "int8"):
            more |= {"scale": 0.0186584, "zero_point": 114 if type_ == "uint8" else -14}
        arguments = small | recipe(10, 8, type=type_, layout=layout, channels=channels, **more)
        yield "preprocess", f"{type_}_{layout}_{channels}", arguments
    for type_, zero in (("uint8", 0), ("uint8", 255), ("int8", -128), ("int8", 127)):
        for scale in (1 / 255, 1e-3, 0.5, 3e38):
            more = {"type": type_, "zero_point": zero, "scale": scale}
            yield "preprocess", f"{type_}_{zero}_{scale:.1g}", small | recipe(6, 4, **more)
    for mean, std in ((0.0, 1e-6), (1e6, 1.0), (0.5, 3e4), (0.5, 0.5)):
        for type_ in ("float16", "float32"):
            more = {"type": type_, "mean": (mean,) * 3, "std": (std,) * 3}
            yield "preprocess", f"{type_}_{mean:g}_{std:g}", small | recipe(6, 4, **more)
    frame = image("nv21", 128, 64, FACE.reshape(-1)[:8192], FACE.reshape(-1)[8192:])
    more = {"type": "int8", "scale": 0.0186584, "zero_point": -14, "layout": "nchw"}
    whole = recipe(24, 24, fit="letterbox", pad_value=114, mean=MEAN, std=STD, **more)
    yield "preprocess", "a_camera_frame", {**frame, "image.orientation": 6, **whole}


def tensor(name: str, values: NDArray, type_: str, scale: float = 1.0, zero: int = 0) -> Arguments:
    found = {f"{name}.data": values.astype(TYPES[type_]), f"{name}.type": type_}
    if type_ in ("uint8", "int8"):
        found |= {f"{name}.scale": scale, f"{name}.zero_point": zero}
    return found


def quantized(name: str, values: NDArray, type_: str) -> Arguments:
    """Real values in any type, 8 steps to one."""
    if type_ not in ("uint8", "int8"):
        return tensor(name, values, type_)
    zero = 100 if type_ == "uint8" else -28
    low = 0 if type_ == "uint8" else -128
    return tensor(name, np.clip(np.round(values * 8) + zero, low, low + 255), type_, 0.125, zero)


def numbers() -> Iterator[Given]:
    every = np.arange(256)
    halves = np.array([0, 1, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0x7C00, 0x8001, 0xC248], np.uint16)
    for type_ in ("uint8", "int8"):
        for scale in (0.0235, 1e-40):
            bytes_ = tensor(
                "tensor", every.astype(np.uint8).view(TYPES[type_]), type_, scale, -3 % 99
            )
            yield "dequantize", f"{type_}_{scale:g}", bytes_ | {"count": 256}
    yield (
        "dequantize",
        "float16",
        tensor("tensor", halves.view(np.float16), "float16") | {"count": 9},
    )
    yield "dequantize", "float32", tensor("tensor", RNG.normal(size=9), "float32") | {"count": 9}

    logits = {
        "plain": np.array([0.5, -1.25, 3.0, 2.875, -8.0, 0.0]),
        "ties": np.array([1.0, 2.0, 2.0, 1.0, 2.0, -3.0]),
        "far": np.array([-90.0, 80.0, 12.0, -3.5, 81.0, -100.0]),
    }
    for (name, x), type_, how in product(
        logits.items(), TYPES, ("no_activation", "softmax", "sigmoid")
    ):
        more = {"classes": 6, "activation": how, "top_count": 3}
        yield "classify", f"{name}_{type_}_{how}", quantized("logits", x, type_) | more
    one = quantized("logits", np.array([2.5]), "float32")
    yield "classify", "one_class", one | {"classes": 1, "activation": "sigmoid", "top_count": 1}
    many = tensor("logits", RNG.normal(size=1000) * 5, "float32") | {"classes": 1000}
    yield "classify", "a_thousand", many | {"activation": "softmax", "top_count": 20}
    sure = tensor("logits", np.array([-np.inf, 0.0, -np.inf]), "float32")
    yield (
        "classify",
        "minus_infinity",
        sure | {"classes": 3, "activation": "softmax", "top_count": 0},
    )

    bell = -0.5 * ((np.arange(66) - 17.3) / 4.1) ** 2
    for type_, share in product(TYPES, (0.5, 0.9, 1.0)):
        for upper in ((), (5.0, 20.0, 50.0)):
            more = {"size": 66, "activation": "softmax", "first": 0, "step": 1, "share": share}
            name = f"lesions_{type_}_{share}_{len(upper)}"
            yield "measure", name, quantized("logits", bell, type_) | more | {"upper": upper}
    masses = tensor("logits", np.array([0.0, 3.0, 1.0, 3.0, 0.5]), "float32")
    more = {"size": 5, "activation": "no_activation", "first": -1.5, "step": 0.25, "share": 0.8}
    yield "measure", "masses", masses | more | {"upper": (-1.3, -0.9)}
    for value in (-1.0, 5.0, 5.000001, 20.0, 50.0, 1e300):
        yield "grade", f"of_{value:.7g}", {"value": value, "upper": (5.0, 20.0, 50.0)}
    yield "grade", "without_bounds", {"value": 3.0, "upper": ()}


def masks() -> Iterator[Given]:
    shape = (9, 11)
    waves = np.stack([
        np.sin(np.add.outer(np.arange(shape[0]) * (0.3 + c), np.arange(shape[1]) * (1.1 - c / 3)))
        for c in range(3)
    ]) * 4  # fmt: skip
    waves = np.round(waves * 64) / 64  # exact in float16
    size = {"width": shape[1], "height": shape[0]}
    for classes, type_, layout in product((1, 3), TYPES, ("nhwc", "nchw")):
        shown_in = waves[:classes] if layout == "nchw" else waves[:classes].transpose(1, 2, 0)
        arguments = quantized("logits", shown_in, type_) | size
        arguments |= {"classes": classes, "layout": layout, "image.width": 23, "image.height": 17}
        yield "segment", f"{classes}_{type_}_{layout}", arguments | recipe(22, 18)
    plain = tensor("logits", waves, "float32") | size | {"classes": 3, "layout": "nchw"}
    for turn, fit in product(range(1, 9), ("squash", "shortest_edge", "letterbox")):
        more = {"image.width": 21, "image.height": 15, "image.orientation": turn}
        more |= recipe(16, 16, fit=fit, **({"resize_to": 18} if fit == "shortest_edge" else {}))
        yield "segment", f"{fit}_{turn}", plain | more
        if turn in (1, 7):
            crop = {"recipe.crop": (2.25, 3.0, 13.5, 14.0)}
            yield "segment", f"{fit}_{turn}_crop", plain | more | crop
    flat = tensor("logits", np.zeros((2, 3, 3)), "float32") | {
        "width": 3,
        "height": 3,
        "classes": 2,
    }
    more = {"layout": "nchw", "image.width": 5, "image.height": 5}
    yield "segment", "all_equal", flat | more | recipe(6, 6)


def regions() -> Iterator[Given]:
    drawn = PHANTOM.mask.astype(np.uint8)
    noise = (RNG.random((29, 37)) < 0.55).astype(np.uint8)
    spiral = np.array(
        [[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    )
    for name, pixels in (("phantom", drawn), ("noise", noise), ("spiral", spiral.astype(np.uint8))):
        mask = {
            "mask.pixels": pixels,
            "mask.width": pixels.shape[1],
            "mask.height": pixels.shape[0],
        }
        for value, connected, least, capacity in (
            (1, 4, 1, 100), (1, 8, 1, 100), (0, 4, 1, 100), (0, 8, 1, 5), (1, 8, 4, 2), (2, 4, 1, 3)
        ):  # fmt: skip
            more = {
                "value": value,
                "connectivity": connected,
                "min_area": least,
                "capacity": capacity,
            }
            yield "components", f"{name}_{value}_{connected}_{least}_{capacity}", mask | more
    skin = np.ones_like(drawn)
    skin[:, :9] = 0
    both = {}
    for name, pixels in (("skin", skin), ("lesion", drawn)):
        both |= {f"{name}.pixels": pixels, f"{name}.width": 64, f"{name}.height": 64}
    for side, step, overlap, capacity in (
        (16, 4, 0.0, 20), (16, 4, 0.5, 20), (16, 5, 1.0, 50), (24, 7, 0.25, 3), (64, 1, 0.0, 4)
    ):  # fmt: skip
        rule = {"side": side, "step": step, "skin_value": 1, "lesion_value": 1}
        rule |= {"min_skin": 0.8, "min_lesion": 0.1, "max_overlap": overlap}
        rule = {f"rule.{key}": value for key, value in rule.items()}
        name = f"side_{side}_step_{step}_overlap_{overlap}"
        yield "find_crops", name, both | rule | {"capacity": capacity}


def specs() -> Iterator[Given]:
    face = {"height": 224, "width": 192, "resize_to": 256, "mean": MEAN, "std": STD}
    boxed = {
        "height": 32,
        "width": 48,
        "resize": "letterbox",
        "filter": "lanczos",
        "pad_value": 114,
    }
    boxed |= {"color_order": "BGR", "antialias": True, "mean": (0, 0, 0), "std": (1, 1, 1)}
    whole = json.loads(rows()[0].text)
    texts = {
        "input_alone": json.dumps(face),
        "letterbox": json.dumps(boxed, indent=2),
        "within_a_spec": json.dumps(whole | {"limits": "h\u00e4ut \u2713", "input": face}),
        "escapes": json.dumps(whole | {"arch_args": {"\\": [{"input": 1}]}, "input": boxed})
        .replace("height", "h\\u0065ight")
        .replace(" ", "\t\r\n"),
        "no_mean": json.dumps({k: v for k, v in face.items() if k != "mean"}),
        "cut_off": json.dumps(face)[:-9],
        "not_json": "{'height': 224}",
        "crop_too_large": json.dumps(face | {"resize_to": 200}),
        "unknown_filter": json.dumps(boxed | {"filter": "area"}),
        "std_of_zero": json.dumps(face | {"std": (1, 0, 1)}),
        "blank": " ",
    }
    for name, text in texts.items():
        yield "recipe_from_spec", name, {"text": np.frombuffer(text.encode(), np.uint8)}


def refusals() -> Iterator[Given]:
    plain, small = show(ODD), recipe(8, 8)
    rows = {"image.strides": [134]}
    yield "preprocess", "bad_zero_width", plain | {"image.width": 0} | small
    yield "preprocess", "bad_too_wide", plain | {"image.width": 32769} | small
    yield "preprocess", "bad_odd_nv12", image("nv12", 45, 31, ODD, ODD) | small
    yield "preprocess", "bad_stride", plain | rows | small
    yield "preprocess", "bad_short_plane", image("rgb", 45, 32, ODD) | small
    yield "preprocess", "bad_orientation_0", plain | {"image.orientation": 0} | small
    yield "preprocess", "bad_orientation_9", plain | {"image.orientation": 9} | small
    yield "preprocess", "bad_no_output", plain | recipe(8, 0)
    yield "preprocess", "bad_output_too_large", plain | recipe(8, 8193)
    for name, crop in (
        ("outside", (0.0, 0.0, 45.5, 31.0)), ("negative", (-1.0, 0.0, 5.0, 5.0)),
        ("empty", (5.0, 5.0, 5.0, 9.0)), ("backwards", (9.0, 5.0, 5.0, 9.0)),
    ):  # fmt: skip
        yield "preprocess", f"bad_crop_{name}", plain | recipe(8, 8, crop=crop)
    thin = image("rgb", 4096, 1, FACE)
    yield (
        "place",
        "bad_thin_crop",
        thin | recipe(8, 8, fit="shortest_edge", resize_to=8192, crop=(0.0, 0.0, 4096.0, 2.0**-7)),
    )
    for name, more in {
        "resize_to": {"fit": "shortest_edge", "resize_to": 7},
        "pad_value": {"fit": "letterbox", "pad_value": 256},
        "std": {"std": (1.0, 0.0, 1.0)},
        "scale": {"type": "int8", "scale": 0.0},
        "zero_point_int8": {"type": "int8", "zero_point": 128},
        "zero_point_uint8": {"zero_point": -1},
    }.items():
        yield "preprocess", f"bad_{name}", plain | recipe(8, 8, **more)
    nan = tensor("logits", np.array([0.0, np.nan, 1.0]), "float32")
    for how in ("softmax", "sigmoid", "no_activation"):
        more = {"classes": 3, "activation": how, "top_count": 1}
        yield "classify", f"bad_nan_{how}", nan | more
    fine = tensor("logits", np.array([0.0, 2.0, 1.0]), "float32")
    more = {"classes": 3, "activation": "softmax", "top_count": 1}
    yield "classify", "bad_top_count", fine | more | {"top_count": 4}
    yield "classify", "bad_too_many_classes", fine | more | {"classes": 4}
    endless = tensor("logits", np.array([0.0, np.inf]), "float32")
    yield "classify", "bad_infinite", endless | more | {"classes": 2}
    more = {"size": 3, "activation": "softmax", "first": 0, "step": 1, "share": 0.9}
    yield "measure", "bad_nan", nan | more
    yield "measure", "bad_share", fine | more | {"share": 1.5}
    yield "measure", "bad_step", fine | more | {"step": 0}
    yield "measure", "bad_bounds", fine | more | {"upper": (2.0, 1.0)}
    negative = tensor("logits", np.array([0.0, -2.0, 1.0]), "float32")
    yield "measure", "bad_mass", negative | more | {"activation": "no_activation"}
    nothing = tensor("logits", np.zeros(3), "float32")
    yield "measure", "bad_no_mass", nothing | more | {"activation": "no_activation"}
    yield "grade", "bad_nan", {"value": np.nan, "upper": (1.0,)}
    yield "dequantize", "bad_count", tensor("tensor", np.zeros(3), "float16") | {"count": 4}
    spoiled = tensor("logits", np.array([[0.0, np.nan]]), "float32")
    task = {"classes": 1, "width": 2, "height": 1, "image.width": 4, "image.height": 4}
    yield "segment", "bad_nan", spoiled | task | recipe(4, 4)
    yield "segment", "bad_no_classes", fine | task | {"classes": 0} | recipe(4, 4)
    mask = {"mask.pixels": np.zeros(6, np.uint8), "mask.width": 3, "mask.height": 2}
    more = {"value": 1, "connectivity": 4, "min_area": 1, "capacity": 1}
    yield "components", "bad_connectivity", mask | more | {"connectivity": 6}
    yield "components", "bad_short_mask", mask | more | {"mask.height": 3}


def selection(values: NDArray[np.uint8], **more: Any) -> Arguments:
    """What `values` keep; black elsewhere, unless `more` has a `fill`."""
    height, width = values.shape
    fields = {"mask.pixels": values, "mask.width": width, "mask.height": height, **more}
    return {f"selection.{key}": value for key, value in fields.items()}


def selections() -> Iterator[Given]:
    """A mask with skin (1) around a lesion (2), background (0) and pixels not seen (255)."""
    rows, columns = np.mgrid[:30, :40]
    away = np.hypot(rows - 14.0, columns - 19.0)
    face = np.select([away < 4, away < 12], [2, 1], 0).astype(np.uint8)
    face[:, 33:] = 255
    violet = selection(face, keep=(1, 2), fill=(200, 30, 90))
    for format_, channels in product(FORMATS, ("rgb", "bgr", "grey")):
        arguments = show(EVEN, format_) | violet | recipe(16, 12, channels=channels)
        yield "preprocess_masked", f"{format_}_to_{channels}", arguments
    for format_, turn in product(("rgb", "bgra", "grey", "i420"), range(1, 9)):
        arguments = show(EVEN, format_, orientation=turn) | violet
        arguments |= recipe(9, 14, crop=(2.0, 1.0, 24.5, 29.25), filter="bicubic")
        yield "preprocess_masked", f"{format_}_orientation_{turn}", arguments
    for filter_ in FILTERS:
        arguments = show(EVEN) | violet | recipe(31, 5, filter=filter_)
        yield "preprocess_masked", f"{filter_}_up_and_down", arguments
    for kept in ((0,), (1,), (2, 255), (0, 1, 2, 255)):
        arguments = show(EVEN) | selection(face, keep=kept) | recipe(20, 20, fit="letterbox")
        name = "keep_" + "_".join(map(str, kept))
        yield "preprocess_masked", name, arguments | {"recipe.pad_value": 114}
    nothing = selection(face, keep=(7,), fill=(1, 2, 3)) | recipe(16, 12)
    yield "preprocess_masked", "no_pixel_of_a_kept_value", show(EVEN) | nothing
    # Noise leaves no run of equal values; the phantom's bytes, read as a wide and a tall image.
    noise = RNG.integers(0, 4, 4096, np.uint8)
    for width, height in ((1024, 4), (4, 1024)):
        arguments = image("rgb", width, height, FACE) | recipe(11, 9, filter="lanczos")
        arguments |= selection(noise.reshape(height, width), keep=(1, 3), fill=(0, 128, 255))
        yield "preprocess_masked", f"noise_of_{width}_x_{height}", arguments
    wide = padded(EVEN, "nv21", 11, orientation=6) | violet
    more = {"type": "int8", "scale": 0.0186584, "zero_point": -14, "layout": "nchw"}
    model = recipe(24, 24, fit="letterbox", pad_value=114, mean=MEAN, std=STD, **more)
    yield "preprocess_masked", "a_camera_frame", wide | model
    yield "preprocess_masked", "without_a_selection", show(EVEN) | recipe(16, 12)

    plain = show(EVEN) | recipe(8, 8)
    short = violet | {"selection.mask.pixels": face.reshape(-1)[:-1]}
    yield "preprocess_masked", "bad_keep", plain | violet | {"selection.keep": ()}
    yield "preprocess_masked", "bad_size", plain | selection(face[:, :39].copy(), keep=(1,))
    yield "preprocess_masked", "bad_turned", plain | selection(face.T.copy(), keep=(1,))
    yield "preprocess_masked", "bad_short_mask", plain | short


SECTIONS = (
    pictures, resizes, fits, outputs, numbers, masks, regions, specs, refusals, selections
)  # fmt: skip


class Writer:
    """Gathers blobs, each once, and turns arguments into words."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.places: dict[bytes, str] = {}

    def blob(self, content: bytes) -> str:
        if content not in self.places:
            at = self.data.find(content) if len(content) > 64 else -1
            if at < 0 or at % 4:
                self.data += b"\0" * (-len(self.data) % 4)
                at = len(self.data)
                self.data += content
            self.places[content] = f"{at}:{len(content)}"
        return self.places[content]

    def word(self, value: Any) -> str:
        if isinstance(value, bytes | np.ndarray):
            return self.blob(value if isinstance(value, bytes) else value.tobytes())
        if isinstance(value, tuple | list):
            return ",".join(self.word(x) for x in value)
        return value if isinstance(value, str) else shown(value)

    def line(self, function: str, name: str, arguments: Arguments) -> str:
        given = {key: self.word(x) for key, x in arguments.items()}
        given = {key: word for key, word in given.items() if word}
        answer = Runner(bytes(self.data)).run(Case(function, name, given, {}))
        left = " ".join(f"{key}={word}" for key, word in given.items())
        right = " ".join(f"{key}={self.word(x)}" for key, x in answer.items())
        return f"{function} {name} {left} => {right}"


def made() -> dict[str, bytes]:
    writer, lines = Writer(), [HEADING]
    for section in SECTIONS:
        lines += ["", f"# {section.__name__}"]
        lines += [writer.line(*given) for given in section()]
    return {"cases.txt": ("\n".join(lines) + "\n").encode(), "data.bin": bytes(writer.data)}


def main() -> int:
    files = made()
    if "--check" in sys.argv:
        stale = [name for name, content in files.items() if (FOLDER / name).read_bytes() != content]
        print(f"differs: {', '.join(stale)}" if stale else "as they are")
        return 1 if stale else 0
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
        print(f"{name}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
