"""Fits, types, layouts: each against NumPy on Pillow's pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskin import native
from edgeskin.native import Recipe

RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 256, (31, 45, 3), np.uint8)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = {"width": 20, "height": 16}


def real(pixels: np.ndarray) -> np.ndarray:
    return (pixels / 255.0 - np.array(MEAN)) / np.array(STD)


PIXELS = native.preprocess(IMAGE, Recipe(**SIZE))


@pytest.mark.parametrize("type_", ["float32", "float16"])
def test_floats_are_the_formula_in_double_rounded_once(type_: str) -> None:
    out = native.preprocess(IMAGE, Recipe(**SIZE, type=type_, mean=MEAN, std=STD))
    np.testing.assert_array_equal(out, real(PIXELS).astype(type_))


@given(st.floats(1e-9, 1e9), st.floats(-1e9, 1e9))
def test_every_float16_rounds_as_numpy_does(std: float, mean: float) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    recipe = Recipe(16, 16, channels="grey", type="float16", mean=(mean,) * 3, std=(std,) * 3)
    out = native.preprocess(native.Image((ramp,), "grey"), recipe)[..., 0]
    with np.errstate(over="ignore"):
        expected = ((ramp / 255.0 - mean) / std).astype(np.float16)
    np.testing.assert_array_equal(out, expected)


@settings(max_examples=500)
@given(st.floats(1e-4, 1.0), st.integers(0, 255), st.sampled_from(["uint8", "int8"]))
def test_quantization_rounds_half_to_even_and_clamps(scale: float, zero: int, type_: str) -> None:
    info = np.iinfo(type_)
    zero += info.min
    out = native.preprocess(
        IMAGE, Recipe(**SIZE, type=type_, mean=MEAN, std=STD, scale=scale, zero_point=zero)
    )
    expected = np.clip(np.round(real(PIXELS) / scale) + zero, info.min, info.max)
    np.testing.assert_array_equal(out, expected.astype(type_))


def test_int8_pixels_are_the_pixels_less_128() -> None:
    out = native.preprocess(IMAGE, Recipe(**SIZE, type="int8", zero_point=-128))
    np.testing.assert_array_equal(out.astype(int), PIXELS.astype(int) - 128)


@pytest.mark.parametrize("type_", ["uint8", "float32", "float16"])
@pytest.mark.parametrize("channels", ["rgb", "bgr", "grey"])
def test_nchw_is_nhwc_transposed(type_: str, channels: str) -> None:
    last = native.preprocess(IMAGE, Recipe(**SIZE, type=type_, channels=channels))
    first = native.preprocess(IMAGE, Recipe(**SIZE, type=type_, channels=channels, layout="nchw"))
    np.testing.assert_array_equal(first, last.transpose(2, 0, 1))


def test_grey_of_colour_is_pillows_and_colour_of_grey_repeats_it() -> None:
    from PIL import Image

    grey = np.array(Image.fromarray(IMAGE).convert("L").resize((20, 16), Image.Resampling.BILINEAR))
    out = native.preprocess(IMAGE, Recipe(**SIZE, channels="grey"))
    np.testing.assert_array_equal(out[..., 0], grey)
    stored = np.array(Image.fromarray(IMAGE).convert("L"))
    tripled = native.preprocess(native.Image((stored,), "grey"), Recipe(**SIZE))
    np.testing.assert_array_equal(tripled, np.repeat(grey[..., None], 3, axis=2))


def test_letterbox_pads_with_the_value_after_normalization() -> None:
    recipe = Recipe(24, 24, fit="letterbox", pad_value=7, type="float32", mean=MEAN, std=STD)
    out = native.preprocess(IMAGE, recipe)
    # 45 x 31 scaled by 24/45 is 24 x 17: 3 rows above, 4 below.
    np.testing.assert_array_equal(
        out[:3], np.broadcast_to(real(np.full(3, 7)), (3, 24, 3)).astype("f4")
    )
    np.testing.assert_array_equal(out[20:], out[:4][[0, 0, 0, 0]])
    squashed = native.preprocess(IMAGE, Recipe(24, 17, type="float32", mean=MEAN, std=STD))
    np.testing.assert_array_equal(out[3:20], squashed)


def test_shortest_edge_is_a_resize_and_a_centre_crop() -> None:
    whole = native.preprocess(IMAGE, Recipe(35, 24))  # 24/31 * 45 = 34.8
    out = native.preprocess(IMAGE, Recipe(20, 16, fit="shortest_edge", resize_to=24))
    np.testing.assert_array_equal(out, whole[4:20, 7:27])


def test_dlpack_tensors_go_in_and_come_out_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    out = torch.empty((16, 20, 3), dtype=torch.uint8)
    native.preprocess(torch.from_numpy(IMAGE), Recipe(**SIZE), out=out)
    np.testing.assert_array_equal(out.numpy(), PIXELS)
    image = native.Image((IMAGE[::2],))
    assert np.shares_memory(image._arrays()[0], IMAGE)


def test_threads_share_nothing() -> None:
    from concurrent.futures import ThreadPoolExecutor

    images = [RNG.integers(0, 256, (200 + i, 150, 3), np.uint8) for i in range(16)]
    alone = [native.preprocess(image, Recipe(64, 64)) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(
            pool.map(lambda image: native.preprocess(image, Recipe(64, 64)), images * 4)
        )
    for i, out in enumerate(together):
        np.testing.assert_array_equal(out, alone[i % 16])
