"""4:2:0 formats against the standards' formula, orientations against Pillow's transposes."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edgeskin import native
from edgeskin.images import _TURNS
from edgeskin.native import Recipe

RNG = np.random.default_rng(5)
KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


pytestmark = pytest.mark.usefixtures("each_code_path")


def planes(format_: str, height: int, width: int) -> tuple[NDArray[np.uint8], ...]:
    shapes = {"i420": [(height // 2, width // 2)] * 2}.get(format_, [(height // 2, width)])
    return tuple(RNG.integers(0, 256, s, np.uint8) for s in [(height, width), *shapes])


def split(format_: str, found: tuple[NDArray[np.uint8], ...]) -> list[NDArray[np.float64]]:
    """Y, U, V at full size."""
    if format_ == "i420":
        u, v = found[1:]
    else:
        u, v = found[1][:, 0::2], found[1][:, 1::2]
    u, v = (v, u) if format_ == "nv21" else (u, v)
    return [found[0].astype(float), *(c.repeat(2, 0).repeat(2, 1).astype(float) for c in (u, v))]


def formula(y: NDArray, u: NDArray, v: NDArray, matrix: str, range_: str) -> NDArray[np.float64]:
    """ITU-R BT.601 and BT.709, real numbers."""
    kr, kb = KR_KB[matrix]
    kg = 1 - kr - kb
    if range_ == "video":
        y, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    else:
        u, v = u - 128, v - 128
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return np.stack([red, (y - kr * red - kb * blue) / kg, blue], axis=-1).clip(0, 255)


@pytest.mark.parametrize("range_", ["video", "full"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("format_", ["nv12", "nv21", "i420"])
def test_colours_are_the_standards(format_: str, matrix: str, range_: str) -> None:
    found = planes(format_, 64, 94)
    image = native.Image(found, format_, matrix=matrix, range=range_)
    out = native.preprocess(image, Recipe(94, 64))
    expected = formula(*split(format_, found), matrix, range_)
    # Half a level of rounding, and 255 * 3 0.5 / 8192 for each of three coefficients.
    assert np.abs(out - expected).max() < 0.5 + 0.06


def test_opencv_agrees_within_one_level() -> None:
    y, uv = planes("nv12", 64, 96)
    y = y.clip(16, 235)  # OpenCV takes blacker than black for black
    out = native.preprocess(native.Image((y, uv), "nv12"), Recipe(96, 64))
    theirs = cv2.cvtColorTwoPlane(y, uv.reshape(32, 48, 2), cv2.COLOR_YUV2RGB_NV12)
    assert np.abs(out.astype(int) - theirs).max() <= 1


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from(["nv12", "nv21", "i420"]),
    st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from(["nearest", "bilinear", "lanczos"]), st.integers(1, 8), st.booleans(),
)  # fmt: skip
def test_a_resized_frame_is_the_converted_frame_resized(
    format_: str, h: int, w: int, oh: int, ow: int, filter_: str, turn: int, grey: bool
) -> None:
    found = planes(format_, 2 * h, 2 * w)
    rgb = native.preprocess(native.Image(found, format_), Recipe(2 * w, 2 * h))
    recipe = Recipe(ow, oh, filter=filter_, channels="grey" if grey else "rgb")
    direct = native.preprocess(native.Image(found, format_, orientation=turn), recipe)
    upright = Image.fromarray(rgb)
    upright = upright.transpose(_TURNS[turn]) if turn > 1 else upright
    upright = upright.convert("L") if grey else upright
    expected = np.array(upright.resize((ow, oh), Image.Resampling[filter_.upper()]))
    np.testing.assert_array_equal(direct.squeeze(-1) if grey else direct, expected)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(1, 50), st.integers(1, 50),
    st.sampled_from(["nearest", "box", "bicubic", "lanczos"]), st.integers(1, 8),
    st.sampled_from(["rgb", "bgra", "grey"]),
)  # fmt: skip
def test_orientations_are_pillows_transposes(
    h: int, w: int, oh: int, ow: int, filter_: str, turn: int, format_: str
) -> None:
    rgb = RNG.integers(0, 256, (h, w, 3), np.uint8)
    stored = {
        "rgb": rgb,
        "bgra": np.dstack([rgb[..., ::-1], rgb[..., 0]]),
        "grey": np.array(Image.fromarray(rgb).convert("L")),
    }[format_]
    upright = Image.fromarray(stored if format_ == "grey" else rgb).convert("RGB")
    upright = upright.transpose(_TURNS[turn]) if turn > 1 else upright
    image = native.Image((stored,), format_, orientation=turn)
    box = (0.0, upright.height / 4, upright.width / 1.5, float(upright.height))
    box = tuple(float(np.float32(x)) for x in box)
    out = native.preprocess(image, Recipe(ow, oh, filter=filter_, crop=box))
    expected = upright.resize((ow, oh), Image.Resampling[filter_.upper()], box=box)
    np.testing.assert_array_equal(out, np.array(expected))


def test_a_turned_image_of_many_strips() -> None:
    rgb = RNG.integers(0, 256, (700, 9000, 3), np.uint8)
    image = native.Image((rgb,), orientation=6)
    out = native.preprocess(image, Recipe(600, 300, filter="lanczos"))
    upright = Image.fromarray(rgb).transpose(_TURNS[6])
    expected = np.array(upright.resize((600, 300), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(out, expected)
