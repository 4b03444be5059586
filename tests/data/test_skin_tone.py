"""Typology angle and colour conversions, against OpenCV, textbook values and formulas."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeskin.data.skin_tone import (
    ITA_RANGE_DEG,
    TONE_NAMES,
    encode_srgb,
    ita_deg,
    lab_to_linear_rgb,
    skin_lab,
    srgb_to_lab,
    tone,
)
from edgeskin.errors import InvalidData, ShapeMismatch


def plain(*rgb: int) -> NDArray[np.uint8]:
    return np.full((6, 8, 3), rgb, np.uint8)


@pytest.mark.parametrize(
    ("ita", "name"),
    [
        (55.1, "very light"),
        (55.0, "light"),
        (41.1, "light"),
        (41.0, "intermediate"),
        (28.0, "tan"),
        (10.0, "brown"),
        (-29.9, "brown"),
        (-30.0, "dark"),
        (-80.0, "dark"),
    ],
)
def test_tone_classes_of_del_bino(ita: float, name: str) -> None:
    assert tone(ita) == name
    assert name in TONE_NAMES


@pytest.mark.parametrize(
    ("rgb", "lab"),
    # B. Lindbloom's colour calculator, sRGB, D65, no adaptation.
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
    ],
)
def test_lab_of_primaries(rgb: tuple[int, int, int], lab: tuple[float, ...]) -> None:
    # The sRGB matrix is published with four digits; that moves Lab by a few hundredths.
    assert srgb_to_lab(np.array(rgb, np.uint8)) == pytest.approx(lab, abs=0.06)


@pytest.mark.parametrize("rgb", [(93, 68, 57), (141, 104, 80), (190, 146, 125), (224, 184, 170)])
def test_ita_agrees_with_opencv(rgb: tuple[int, int, int]) -> None:
    image = plain(*rgb)
    linear = ((image / 255.0 + 0.055) / 1.055) ** 2.4  # no skin channel is on the straight part
    # From linear light: OpenCV's COLOR_RGB2LAB interpolates a coarse table, and is off by 0.2.
    lab = cv2.cvtColor(linear.astype(np.float32), cv2.COLOR_LRGB2LAB)[0, 0]
    expected = math.degrees(math.atan((float(lab[0]) - 50.0) / float(lab[2])))
    # Its matrix has six digits, ours the published four: 0.002 in L* near 50 is 0.01 degrees.
    assert ita_deg(image) == pytest.approx(expected, abs=0.02)


def test_ita_leaves_out_the_mask_and_takes_the_median() -> None:
    image = plain(190, 146, 125)
    skin = ita_deg(image)
    image[:4] = (60, 10, 20)
    mask = np.zeros((6, 8), np.bool_)
    mask[:4] = True
    image[5, 0] = (255, 255, 255)  # one glint among 16 pixels does not move a median
    assert ita_deg(image, mask) == skin
    assert ita_deg(image) < skin - 30.0


@pytest.mark.parametrize(
    "image", [np.zeros((6, 8, 3), np.float32), np.zeros((6, 8), np.uint8), plain(1, 2, 3)[..., :2]]
)
def test_ita_refuses_what_is_no_rgb_photo(image: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidData, match=r"not uint8 \(height, width, 3\)"):
        ita_deg(image)


def test_ita_refuses_a_mask_that_does_not_fit_or_leaves_nothing() -> None:
    with pytest.raises(ShapeMismatch, match=r"mask is \(8, 6\), image is \(6, 8\)"):
        ita_deg(plain(1, 2, 3), np.zeros((8, 6), np.bool_))
    with pytest.raises(InvalidData, match="covers the whole image"):
        ita_deg(plain(1, 2, 3), np.ones((6, 8), np.bool_))


def test_skin_lab_has_the_angle_asked_for_and_gets_lighter_with_it() -> None:
    angles = np.linspace(*ITA_RANGE_DEG, 261)
    colours = [skin_lab(float(angle)) for angle in angles]
    found = [math.degrees(math.atan((light - 50.0) / b)) for light, _, b in colours]
    # Rounding only: a few units in the last of 16 digits, times the degrees of a radian.
    assert found == pytest.approx(list(angles), abs=1e-11)
    assert all(np.diff([light for light, _, _ in colours]) > 0.0)


def test_skin_lab_lies_within_srgb() -> None:
    colours = np.array([skin_lab(float(angle)) for angle in np.linspace(*ITA_RANGE_DEG, 131)])
    planes = lab_to_linear_rgb(*colours.T)
    assert min(plane.min() for plane in planes) > 0.0
    assert max(plane.max() for plane in planes) < 1.0


@pytest.mark.parametrize("ita", [-60.5, 71.0, math.nan])
def test_skin_lab_refuses_angles_it_has_no_colour_for(ita: float) -> None:
    with pytest.raises(InvalidData, match=rf"ita_deg is {ita}, .*-60.0 to 70.0"):
        skin_lab(ita)


def test_encode_agrees_with_the_srgb_formula() -> None:
    light = np.random.default_rng(3).random(200_000) ** 3  # many dark ones
    formula = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    # Half a code, and what rounding light to 1/65535 adds: 12.92 * 255 / 65535 / 2.
    assert np.abs(encode_srgb(light) - 255.0 * formula).max() <= 0.5 + 0.0252


def test_encode_clips() -> None:
    assert encode_srgb(np.array([-3.0, 0.0, 1.0, 7.0])).tolist() == [0, 0, 255, 255]


def test_lab_and_back_is_the_same_colour() -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (5000, 3), dtype=np.uint8)
    rgb[:1000] //= 12  # the straight line near black
    back = np.stack([encode_srgb(p) for p in lab_to_linear_rgb(*srgb_to_lab(rgb).T)], axis=-1)
    # The two published matrices are inverse to four digits only: one code off at most.
    assert np.abs(back.astype(int) - rgb.astype(int)).max() <= 1
