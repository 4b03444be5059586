"""Pillow itself is the reference: any difference of one level in one pixel fails."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edgeskin import native
from edgeskin.native import Recipe

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
MANY = settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
# Small sides are where edges, single pixels and tall narrow pictures are.
side = st.one_of(st.integers(1, 12), st.integers(1, 300))


pytestmark = pytest.mark.usefixtures("each_code_path")


def pixels(height: int, width: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """Noise, or black and white: exact halves, where rounding shows."""
    rng = np.random.default_rng(seed)
    shape = (height, width, channels) if channels > 1 else (height, width)
    noise = rng.integers(0, 256, shape, np.uint8)
    return noise if seed % 3 else (noise > 127).astype(np.uint8) * np.uint8(255)


def pillow(image: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.uint8]:
    resample = Image.Resampling[recipe.filter.upper()]
    size = (recipe.width, recipe.height)
    return np.array(Image.fromarray(image).resize(size, resample, box=recipe.crop))


sizes = st.tuples(side, side, side, side)
seeds = st.integers(0, 2**31)


@MANY
@given(sizes, st.sampled_from(FILTERS), seeds)
def test_whole_images(size: tuple[int, int, int, int], filter_: str, seed: int) -> None:
    height, width, out_height, out_width = size
    image = pixels(height, width, 3, seed)
    recipe = Recipe(out_width, out_height, filter=filter_)
    np.testing.assert_array_equal(native.preprocess(image, recipe), pillow(image, recipe))


@MANY
@given(
    sizes,
    st.sampled_from(FILTERS),
    seeds,
    st.tuples(*[st.floats(0, 1, width=32)] * 4),
    st.booleans(),
)
def test_crop_boxes(
    size: tuple[int, int, int, int],
    filter_: str,
    seed: int,
    corners: tuple[float, ...],
    whole: bool,
) -> None:
    height, width, out_height, out_width = size
    left, right = sorted(float(np.float32(c * width)) for c in corners[:2])
    top, bottom = sorted(float(np.float32(c * height)) for c in corners[2:])
    box = (left, top, right, bottom)
    if whole:
        box = (float(int(left)), float(int(top)), float(int(right)) + 1, float(int(bottom)) + 1)
    assume(box[0] < box[2] <= width and box[1] < box[3] <= height)
    image = pixels(height, width, 3, seed)
    recipe = Recipe(out_width, out_height, filter=filter_, crop=box)
    np.testing.assert_array_equal(native.preprocess(image, recipe), pillow(image, recipe))


@MANY
@given(sizes, st.sampled_from(FILTERS), seeds)
def test_grey_images(size: tuple[int, int, int, int], filter_: str, seed: int) -> None:
    height, width, out_height, out_width = size
    image = pixels(height, width, 1, seed)
    recipe = Recipe(out_width, out_height, filter=filter_, channels="grey")
    grey = native.preprocess(native.Image((image,), "grey"), recipe)
    np.testing.assert_array_equal(grey[..., 0], pillow(image, recipe))


@MANY
@given(sizes, seeds, st.sampled_from(("rgb", "bgr", "rgba", "bgra")), st.sampled_from(FILTERS))
def test_channel_orders(
    size: tuple[int, int, int, int], seed: int, format_: str, filter_: str
) -> None:
    height, width, out_height, out_width = size
    rgb = pixels(height, width, 3, seed)
    stored = rgb[..., ::-1] if format_.startswith("bgr") else rgb
    if format_.endswith("a"):
        stored = np.dstack([stored, pixels(height, width, 1, seed + 1)])
    image = native.Image((np.ascontiguousarray(stored),), format_)
    recipe = Recipe(out_width, out_height, filter=filter_)
    expected = pillow(rgb, recipe)
    np.testing.assert_array_equal(native.preprocess(image, recipe), expected)
    swapped = Recipe(out_width, out_height, filter=filter_, channels="bgr")
    np.testing.assert_array_equal(native.preprocess(image, swapped), expected[..., ::-1])


@settings(MANY, max_examples=300)
@given(st.integers(1, 40), st.integers(1, 40), seeds, st.integers(0, 50), st.integers(0, 9))
def test_padded_rows_and_buffers_without_a_byte_to_spare(
    height: int, width: int, seed: int, gap: int, step: int
) -> None:
    rgb = pixels(height, width, 3, seed)
    stride = width * 3 + gap
    memory = np.full((height - 1) * stride + width * 3, 77, np.uint8)
    view = np.lib.stride_tricks.as_strided(memory, (height, width, 3), (stride, 3, 1))
    view[:] = rgb
    recipe = Recipe(step + 1, 7, filter="lanczos")
    np.testing.assert_array_equal(native.preprocess(view, recipe), pillow(rgb, recipe))


@pytest.mark.parametrize("filter_", FILTERS)
@pytest.mark.parametrize(
    ("size", "out"),
    [((3024, 4032), (224, 224)), ((2400, 1080), (224, 224)), ((32768, 3), (2, 5)),
     ((2, 32768), (9, 1)), ((3, 5), (2000, 1500)), ((1, 1), (1, 8192))],
)  # fmt: skip
def test_large_and_long_images(filter_: str, size: tuple[int, int], out: tuple[int, int]) -> None:
    image = pixels(*size, 3, 1)
    recipe = Recipe(out[1], out[0], filter=filter_)
    np.testing.assert_array_equal(native.preprocess(image, recipe), pillow(image, recipe))
