"""A mask over the image: as if its other pixels had been painted before, and what is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from edgeskin import native
from edgeskin.errors import InvalidInput
from edgeskin.native import Image, Recipe
from edgeskin.native.core import ffi, lib

RNG = np.random.default_rng(11)
RGB = np.zeros((6, 8, 3), np.uint8)
MASK = np.ones((6, 8), np.uint8)


def painted(
    rgb: NDArray[np.uint8], mask: NDArray[np.uint8], keep: tuple[int, ...], fill: tuple[int, ...]
) -> NDArray[np.uint8]:
    return np.where(np.isin(mask, keep)[..., None], rgb, np.array(fill, np.uint8))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from(["nearest", "box", "bilinear", "lanczos"]), st.integers(1, 8),
    st.sampled_from(["rgb", "bgr", "grey"]), st.integers(1, 9),
)  # fmt: skip
@pytest.mark.usefixtures("each_code_path")
def test_a_frame_behind_a_mask_is_the_painted_frame(
    h: int, w: int, oh: int, ow: int, filter_: str, turn: int, channels: str, tile: int
) -> None:
    y, uv = (
        RNG.integers(0, 256, (2 * h, 2 * w), np.uint8),
        RNG.integers(0, 256, (h, 2 * w), np.uint8),
    )
    mask = RNG.integers(0, 4, (2 * h, 2 * w), np.uint8).repeat(tile, 1)[:, : 2 * w]
    keep, fill = (1, 3), (200, 100, 7)
    recipe = Recipe(ow, oh, filter=filter_, channels=channels)
    frame = Image((y, uv), "nv12", orientation=turn)
    found = native.preprocess(frame, recipe, mask=mask, keep=keep, fill=fill)
    rgb = native.preprocess(Image((y, uv), "nv12"), Recipe(2 * w, 2 * h))
    expected = Image((painted(rgb, mask, keep, fill),), orientation=turn)
    np.testing.assert_array_equal(found, native.preprocess(expected, recipe))


@pytest.mark.parametrize("format_", ["rgb", "rgba"])
@pytest.mark.parametrize(
    ("size", "out", "turn"),
    [
        ((700, 9000), (600, 300), 6),  # in several strips
        ((32768, 100), (4, 2), 1),  # all rows at once: sums instead of a ring
        ((3000, 40), (30, 20), 4),  # down first
        ((2, 32768), (300, 2), 1),
    ],
)
@pytest.mark.usefixtures("each_code_path")
def test_each_way_through_the_resize(
    format_: str, size: tuple[int, int], out: tuple[int, int], turn: int
) -> None:
    rgb = RNG.integers(0, 256, (*size, 3), np.uint8)
    stored = rgb if format_ == "rgb" else np.dstack([rgb, rgb[..., :1]])
    rows, columns = np.indices(size)
    mask = ((rows // 37 + columns // 53) % 3).astype(np.uint8)
    recipe, keep, fill = Recipe(*out, filter="lanczos"), (0, 2), (255, 0, 90)
    image = Image((stored,), format_, orientation=turn)
    found = native.preprocess(image, recipe, mask=mask, keep=keep, fill=fill)
    expected = Image((painted(rgb, mask, keep, fill),), orientation=turn)
    np.testing.assert_array_equal(found, native.preprocess(expected, recipe))


def test_the_fill_of_a_grey_image_is_pillows_grey() -> None:
    fill = (12, 200, 99)
    grey = Pillow.new("RGB", (1, 1), fill).convert("L").getpixel((0, 0))
    image, nothing = Image((MASK,), "grey"), np.zeros_like(MASK)
    nothing[2, 3] = 1
    out = native.preprocess(image, Recipe(8, 6), mask=nothing, fill=fill)
    assert out[2, 3].tolist() == [1, 1, 1]
    out[2, 3] = grey
    assert (out == grey).all()


def test_masks_of_any_layout_and_kept_values_of_any_kind() -> None:
    rgb = RNG.integers(0, 256, (6, 8, 3), np.uint8)
    mask = RNG.integers(0, 3, (6, 16), np.uint8)[:, ::2]
    recipe = Recipe(8, 6)
    found = native.preprocess(rgb, recipe, mask=mask, keep={np.int64(2), 1}, fill=rgb[0, 0])
    np.testing.assert_array_equal(found, painted(rgb, mask, (1, 2), tuple(rgb[0, 0])))
    np.testing.assert_array_equal(
        native.preprocess(rgb, recipe, mask=mask), painted(rgb, mask, (1,), (0, 0, 0))
    )


@pytest.mark.parametrize(
    ("mask", "more", "status", "message"),
    [
        (MASK.T, {}, "ES_BAD_SIZE", "the mask is 6 x 8, the image as stored 8 x 6"),
        (MASK[:0], {}, "ES_BAD_SIZE", "mask is 8 x 0"),
        (MASK[None], {}, "ES_BAD_SIZE", r"uint8 \(H, W\), got uint8 \(1, 6, 8\)"),
        (MASK > 0, {}, "ES_BAD_SIZE", "got bool"),
        (MASK, {"keep": ()}, "ES_BAD_VALUE", "keep has no value"),
        (MASK, {"keep": (1, 256)}, "ES_BAD_VALUE", r"0 to 255 and fill three, got \[1, 256\]"),
        (MASK, {"keep": (-1,)}, "ES_BAD_VALUE", r"got \[-1\]"),
        (MASK, {"fill": (0, 0)}, "ES_BAD_VALUE", r"and \(0, 0\)"),
        (MASK, {"fill": (0, 0, 300)}, "ES_BAD_VALUE", r"and \(0, 0, 300\)"),
    ],
)
def test_what_is_refused(mask: Any, more: dict[str, Any], status: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        native.preprocess(RGB, Recipe(4, 4), mask=mask, **more)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("pixels", ffi.NULL, "ES_NULL_POINTER"),
        ("stride", 7, "ES_BAD_STRIDE"),
        ("stride", 2**64 - 1, "ES_BUFFER_TOO_SMALL"),
        ("bytes", 47, "ES_BUFFER_TOO_SMALL"),
        ("width", 0, "ES_BAD_SIZE"),
        ("height", 32769, "ES_BAD_SIZE"),
    ],
)
def test_masks_that_do_not_hold_what_they_say(field: str, value: Any, status: str) -> None:
    image, recipe, error = ffi.new("es_image *"), ffi.new("es_recipe *"), ffi.new("es_error *")
    assert lib.es_image_init(lib.ES_RGB, 8, 6, image, error) == lib.ES_OK
    assert lib.es_recipe_init(4, 4, recipe, error) == lib.ES_OK
    pixels, values, out, scratch = (ffi.new("uint8_t[]", n) for n in (144, 48, 48, 100_000))
    image.planes[0] = pixels
    selection = ffi.new("es_selection *", {"mask": (values, 8, 48, 8, 6)})
    selection.keep[0] = 1
    arguments = (image, recipe, selection, out, 48, scratch, len(scratch), error)
    assert lib.es_preprocess_masked(*arguments) == lib.ES_OK
    setattr(selection.mask, field, value)
    status_found = lib.es_preprocess_masked(*arguments)
    assert ffi.string(lib.es_status_name(status_found)).decode() == status


def test_a_short_workspace_is_refused_with_and_without_a_mask() -> None:
    image, recipe, size = ffi.new("es_image *"), ffi.new("es_recipe *"), ffi.new("size_t *")
    assert lib.es_image_init(lib.ES_RGB, 8, 6, image, ffi.NULL) == lib.ES_OK
    assert lib.es_recipe_init(4, 4, recipe, ffi.NULL) == lib.ES_OK
    assert lib.es_preprocess_workspace(image, recipe, size, ffi.NULL) == lib.ES_OK
    pixels, out, scratch = (ffi.new("uint8_t[]", n) for n in (144, 48, size[0]))
    image.planes[0] = pixels
    values = ffi.new("uint8_t[]", 48)
    selection = ffi.new("es_selection *", {"mask": (values, 8, 48, 8, 6)})
    selection.keep[0] = 1
    for chosen in (ffi.NULL, selection):
        for count, status in ((size[0], lib.ES_OK), (size[0] - 1, lib.ES_WORKSPACE_TOO_SMALL)):
            arguments = (out, 48, scratch, count, ffi.NULL)
            assert lib.es_preprocess_masked(image, recipe, chosen, *arguments) == status
