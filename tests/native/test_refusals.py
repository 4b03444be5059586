"""Bad input: a status and a message in C, the same message as an exception in Python."""

from typing import Any

import numpy as np
import pytest

from edgeskin import native
from edgeskin.errors import InvalidInput
from edgeskin.native import Image, Recipe, Tensor
from edgeskin.native.core import ffi, lib

RGB = np.zeros((6, 8, 3), np.uint8)
Y, UV = np.zeros((6, 8), np.uint8), np.zeros((3, 8), np.uint8)


@pytest.mark.parametrize(
    ("image", "recipe", "status", "message"),
    [
        (RGB[:0], {}, "ES_BAD_SIZE", "image is 8 x 0"),
        (RGB, {"width": 0}, "ES_BAD_SIZE", "output is 0 x 4"),
        (RGB, {"width": 8193}, "ES_BAD_SIZE", "output is 8193 x 4, each side must be 1 to 8192"),
        (Image((Y[:5], UV), "nv12"), {}, "ES_BAD_SIZE", "8 x 5, a 4:2:0 format needs even sides"),
        (Image((Y, UV[:2]), "nv12"), {}, "ES_BUFFER_TOO_SMALL", r"planes\[1\] has 16 bytes"),
        (Image((Y, UV[:, :4]), "nv12"), {}, "ES_BAD_STRIDE|ES_BUFFER", "planes|strides"),
        (Image((RGB,), orientation=9), {}, "ES_BAD_ENUM", "orientation is 9, EXIF knows 1 to 8"),
        (Image((RGB,), format="cmyk"), {}, "ES_BAD_ENUM|ES_BAD_SIZE", "cmyk"),
        (RGB, {"filter": "sinc"}, "ES_BAD_ENUM", "'sinc' is unknown"),
        (RGB, {"crop": (0, 0, 9, 6)}, "ES_BAD_CROP", "outside the upright image of 8 x 6"),
        (RGB, {"crop": (3, 0, 3, 6)}, "ES_BAD_CROP", "empty or outside"),
        (RGB, {"crop": (np.nan, 0, 3, 6)}, "ES_BAD_CROP", "nan"),
        (RGB, {"std": (0, 1, 1)}, "ES_BAD_VALUE", r"std\[0\] is 0"),
        (RGB, {"mean": (np.inf, 1, 1)}, "ES_BAD_VALUE", r"mean\[0\] is inf"),
        (RGB, {"scale": 0.0}, "ES_BAD_VALUE", "scale is 0, must be positive"),
        (RGB, {"zero_point": -1}, "ES_BAD_VALUE", "zero_point is -1, uint8 holds 0 to 255"),
        (RGB, {"fit": "shortest_edge", "resize_to": 3}, "ES_BAD_VALUE", "resize_to is 3"),
        (RGB, {"fit": "letterbox", "pad_value": 256}, "ES_BAD_VALUE", "pad_value is 256"),
    ],
)  # fmt: skip
def test_preprocess(image: Any, recipe: dict[str, Any], status: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        native.preprocess(image, Recipe(**({"width": 4, "height": 4} | recipe)))
    assert any(caught.value.status.startswith(s) for s in status.split("|"))


def call(function: Any, *arguments: Any) -> tuple[str, str]:
    error = ffi.new("es_error *")
    status = function(*arguments, error)
    assert error.status == status
    assert function(*arguments, ffi.NULL) == status  # an es_error is optional
    return ffi.string(lib.es_status_name(status)).decode(), ffi.string(error.message).decode()


def blank(width: int = 8, height: int = 6) -> tuple[Any, Any, list[Any]]:
    image, recipe = ffi.new("es_image *"), ffi.new("es_recipe *")
    assert call(lib.es_image_init, lib.ES_RGB, width, height, image)[0] == "ES_OK"
    assert call(lib.es_recipe_init, 4, 4, recipe)[0] == "ES_OK"
    memory = ffi.new("uint8_t[]", width * height * 3)
    image.planes[0] = memory
    return image, recipe, [memory]


def test_null_pointers_and_short_buffers() -> None:
    image, recipe, keep = blank()
    size = ffi.new("size_t *")
    assert call(lib.es_preprocess_workspace, image, recipe, size)[0] == "ES_OK"
    out, space = ffi.new("uint8_t[48]"), ffi.new("uint8_t[]", size[0])
    good = [image, recipe, out, 48, space, size[0]]
    assert call(lib.es_preprocess, *good) == ("ES_OK", "")
    for i in (0, 1, 2, 4):
        bad = [*good[:i], ffi.NULL, *good[i + 1 :]]
        assert call(lib.es_preprocess, *bad)[0] == "ES_NULL_POINTER"
    short = call(lib.es_preprocess, image, recipe, out, 47, space, size[0])
    assert short == ("ES_BUFFER_TOO_SMALL", "the output has 47 bytes, 48 are needed")
    assert call(lib.es_preprocess, *good[:5], size[0] - 1)[0] == "ES_WORKSPACE_TOO_SMALL"
    image.strides[0] = 23
    found = call(lib.es_preprocess, *good)
    assert found == ("ES_BAD_STRIDE", "strides[0] is 23 bytes, a row has 24")
    image.strides[0] = 2**63  # would overflow in rows * stride
    assert call(lib.es_preprocess, *good)[0] == "ES_BUFFER_TOO_SMALL"
    image.strides[0], image.planes[0] = 24, ffi.NULL
    assert call(lib.es_preprocess, *good) == ("ES_NULL_POINTER", "planes[0] is a null pointer")
    del keep


@pytest.mark.parametrize("field", ["fit", "filter", "channels", "type", "layout"])
@pytest.mark.parametrize("value", [-1, 6, 2**31 - 1])
def test_unknown_enums_of_a_recipe(field: str, value: int) -> None:
    image, recipe, _ = blank()
    setattr(recipe, field, value)
    status, message = call(lib.es_place, image, recipe, ffi.new("es_placement *"))
    assert status == "ES_BAD_ENUM"
    assert message.startswith(f"{field} is {value}")


def test_workspace_stays_under_2_mb_for_any_size() -> None:
    size = ffi.new("size_t *")
    rng = np.random.default_rng(1)
    sides = [1, 2, 7, 224, 1080, 4032, 9000, 16384, 24576, 32768]
    outs = [1, 2, 3, 64, 224, 1024, 8192]
    worst = 0
    for _ in range(6000):
        image, recipe = ffi.new("es_image *"), ffi.new("es_recipe *")
        w, h = (int(v) + int(v) % 2 for v in rng.choice(sides, 2))
        lib.es_image_init(int(rng.integers(0, 8)), w, h, image, ffi.NULL)
        image.orientation = int(rng.integers(1, 9))
        ow, oh = (int(v) for v in rng.choice(outs, 2))
        assert call(lib.es_recipe_init, ow, oh, recipe)[0] == "ES_OK"
        recipe.filter = int(rng.integers(0, 6))
        recipe.fit = int(rng.integers(0, 3))
        recipe.resize_to = max(ow, oh)
        recipe.channels = int(rng.choice([lib.ES_RGB, lib.ES_GREY]))
        assert call(lib.es_preprocess_workspace, image, recipe, size)[0] == "ES_OK"
        worst = max(worst, size[0])
    assert worst < 2_000_000


@pytest.mark.parametrize(
    ("make", "status", "message"),
    [
        (lambda: native.classify(np.array([0, np.nan], np.float32)), "ES_NOT_A_NUMBER", "value 1"),
        (lambda: native.classify(np.array([0, np.inf], np.float32)), "ES_BAD_VALUE", "largest"),
        (lambda: native.classify(np.zeros(3, np.float32), top=4), "ES_BAD_SIZE", "top_count is 4"),
        (lambda: native.classify(np.zeros(0, np.float32)), "ES_BAD_SIZE", "classes is 0"),
        (lambda: native.classify(np.zeros(3, np.float64)), "ES_BAD_ENUM", "float64"),
        (lambda: native.dequantize(Tensor(np.zeros(3, np.int8))), "ES_BAD_VALUE", "scale is 0"),
        (lambda: native.grade(np.nan, (1, 2)), "ES_NOT_A_NUMBER", "not a number"),
        (lambda: native.grade(1, (2, 2)), "ES_BAD_VALUE", r"upper\[1\] is 2"),
        (lambda: native.measure(np.zeros(3, np.float32), 0, 0), "ES_BAD_VALUE", "step 0"),
        (lambda: native.measure(np.zeros(3, np.float32), 0, 1, share=0), "ES_BAD_VALUE", "share"),
        (lambda: native.components(Y, connectivity=6), "ES_BAD_ENUM", "connectivity is 6"),
        (lambda: native.components(Y, 256), "ES_BAD_VALUE", "value is 256"),
        (lambda: native.find_crops(Y, Y, 9, 1), "ES_BAD_SIZE", "side is 9 and step 1"),
        (lambda: native.find_crops(Y, UV, 2, 1), "ES_BAD_SIZE", "skin is 8 x 6, lesion 8 x 3"),
        (lambda: native.find_crops(Y, Y, 2, 1, min_skin=2), "ES_BAD_VALUE", "share of the rule"),
        (lambda: native.segment(np.full((2, 3, 3), np.nan, np.float32),
                                native.place(RGB, Recipe(4, 4))), "ES_NOT_A_NUMBER", "logit 0"),
        (lambda: native.segment(np.zeros((256, 2, 2), np.float32),
                                native.place(RGB, Recipe(4, 4))), "ES_BAD_SIZE", "256 classes"),
    ],
)  # fmt: skip
def test_postprocess(make: Any, status: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        make()
    assert caught.value.status == status


def test_unknown_kernels() -> None:
    assert call(lib.es_use_kernels, 7) == ("ES_BAD_ENUM", "kernels is 7, known are 0 to 3")
    assert native.kernels_name() in ("avx2", "neon", "scalar")
