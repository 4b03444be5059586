"""The largest sizes, and strides and lengths that would overflow."""

import numpy as np
import pytest

from edgeskin import native
from edgeskin.native import Image, Recipe
from edgeskin.native.core import ffi, lib

SIDE = 32768
HUGE = 2**64 - 1


@pytest.mark.slow
@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize("filter_", ["nearest", "box"])
def test_an_image_of_32768_x_32768(filter_: str, turn: int) -> None:
    pixels = np.zeros((SIDE, SIDE), np.uint8)  # pages of zeros cost no memory until written
    pixels[-1, -1] = pixels[0, 0] = 255
    recipe = Recipe(SIDE // 8, 4, filter=filter_, channels="grey")
    out = native.preprocess(Image((pixels,), "grey", orientation=turn), recipe)[..., 0]
    # One pixel of 255 among the 8 x 8192 of a box: 255 / 65536 rounds to 0; nearest misses it.
    assert out.shape == (4, SIDE // 8)
    assert out.max() == 0
    corner = Recipe(8, 8, filter=filter_, channels="grey", crop=(SIDE - 8, SIDE - 8, SIDE, SIDE))
    upright = native.preprocess(Image((pixels,), "grey"), corner)[..., 0]
    assert np.argwhere(upright).tolist() == [[7, 7]]
    assert upright[7, 7] == 255


@pytest.mark.parametrize("format_", range(8))
@pytest.mark.parametrize("side", [1, 2, SIDE])
def test_workspaces_stay_under_2_mb(format_: int, side: int) -> None:
    image, recipe, size = ffi.new("es_image *"), ffi.new("es_recipe *"), ffi.new("size_t *")
    even = side + side % 2
    for width, height in ((SIDE, even), (even, SIDE)):
        assert lib.es_image_init(format_, width, height, image, ffi.NULL) == lib.ES_OK
        for turn, filter_, out in ((1, 5, 1), (6, 5, 1), (1, 5, 8192), (6, 2, 8192), (8, 0, 224)):
            assert lib.es_recipe_init(out, out, recipe, ffi.NULL) == lib.ES_OK
            image.orientation, recipe.filter = turn, filter_
            assert lib.es_preprocess_workspace(image, recipe, size, ffi.NULL) == lib.ES_OK
            assert size[0] <= 2_000_000
    for function in (lib.es_components_workspace, lib.es_find_crops_workspace):
        assert function(SIDE, size, ffi.NULL) == lib.ES_OK
        assert size[0] <= 2_000_000


@pytest.mark.parametrize(
    ("stride", "readable", "status"),
    [
        (HUGE, 100, "ES_BUFFER_TOO_SMALL"),
        (2**63, HUGE, "ES_BUFFER_TOO_SMALL"),
        (HUGE // 3, 30, "ES_BUFFER_TOO_SMALL"),
        (29, HUGE, "ES_BAD_STRIDE"),
        (30, 30 * 7 - 1, "ES_BUFFER_TOO_SMALL"),
        (30, 0, "ES_BUFFER_TOO_SMALL"),
        (0, HUGE, "ES_BAD_STRIDE"),
    ],
)
def test_strides_that_overflow_are_refused(stride: int, readable: int, status: str) -> None:
    image, recipe, error = ffi.new("es_image *"), ffi.new("es_recipe *"), ffi.new("es_error *")
    assert lib.es_image_init(lib.ES_RGB, 10, 7, image, error) == lib.ES_OK
    assert lib.es_recipe_init(4, 4, recipe, error) == lib.ES_OK
    pixels, output, scratch = (ffi.new("uint8_t[]", n) for n in (210, 48, 100_000))
    image.planes[0], image.strides[0], image.bytes[0] = pixels, stride, readable
    found = lib.es_preprocess(image, recipe, output, 48, scratch, len(scratch), error)
    assert ffi.string(lib.es_status_name(found)).decode() == status
