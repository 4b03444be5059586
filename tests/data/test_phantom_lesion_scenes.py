"""Dermatoscopic phantoms and long shots: classes, masks and colours hold in the pixels."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from phantom_tables import picture, rows_of

from edgeskin.data.phantom_dermoscopy import (
    DERMOSCOPY_SET,
    LABELS,
    MELANOMA_SET,
    Dermoscopy,
    render_dermoscopy,
)
from edgeskin.data.phantom_longshots import LEVELS, LONGSHOT_SET, RADII, render_longshot
from edgeskin.data.skin_tone import ITA_RANGE_DEG, ita_deg, srgb_to_lab
from edgeskin.errors import InvalidData
from edgeskin.tasks.lesion_classification import LABELS as TASK_LABELS
from edgeskin.tasks.melanoma import LABELS as MELANOMA_LABELS

SEEDS = range(6)


def _colours(phantom: Dermoscopy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """L*, a*, b* of the lesion's pixels and of the bare skin's."""
    lab = srgb_to_lab(phantom.image)
    return (
        lab[phantom.mask & ~phantom.covered],
        lab[~phantom.mask & ~phantom.covered],
    )


def test_the_classes_are_those_of_the_task() -> None:
    assert LABELS == TASK_LABELS


@pytest.mark.parametrize("label", LABELS)
def test_lesions_stand_out_from_the_skin_on_every_tone(label: str) -> None:
    for ita in (-50.0, 0.0, 50.0):
        phantom = render_dermoscopy(11, size=128, label=label, ita_deg=ita)
        lesion, skin = (np.median(pixels, axis=0) for pixels in _colours(phantom))
        # A difference of 2.3 is just noticeable (Mahy et al. 1994); ask for twice that.
        assert np.linalg.norm(lesion - skin) > 4.6, ita


def test_each_class_has_the_colour_that_it_is_known_by() -> None:
    def over_skin(label: str) -> NDArray[np.float64]:
        """Median colour of lesions less that of their skin, over some seeds."""
        pairs = [_colours(render_dermoscopy(s, size=128, label=label, ita_deg=45.0)) for s in SEEDS]
        changes = [np.median(lesion, axis=0) - np.median(skin, axis=0) for lesion, skin in pairs]
        return np.asarray(np.median(changes, axis=0))

    change = {label: over_skin(label) for label in LABELS}
    redness = {label: change[label][1] for label in LABELS}
    assert max(redness, key=redness.__getitem__) == "vasc"
    darkness = {label: -change[label][0] for label in LABELS}
    assert max(darkness, key=darkness.__getitem__) in ("mel", "vasc")
    assert darkness["nv"] > 9 > darkness["bcc"]  # a naevus is brown, this carcinoma pearly
    assert change["nv"][2] > 4.6 > change["bcc"][2]
    assert redness["akiec"] > redness["nv"]


def test_melanoma_has_many_colours_and_a_ragged_rim() -> None:
    spread, ragged = {}, {}
    for label in ("mel", "nv"):
        phantoms = [render_dermoscopy(s, size=192, label=label, ita_deg=45.0) for s in SEEDS]
        spread[label] = np.median([np.std(_colours(p)[0], axis=0).sum() for p in phantoms])
        ragged[label] = np.median([_raggedness(p.mask) for p in phantoms])
    assert spread["mel"] > 1.5 * spread["nv"]
    # A circle has 1, an ellipse with axes 4:3 has 1.02.
    assert ragged["nv"] < 1.5 < ragged["mel"]


def _raggedness(mask: NDArray[np.bool_]) -> float:
    """Perimeter squared over that of a circle of the same area."""
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1
    )
    outline = max(contours, key=cv2.contourArea)
    return float(cv2.arcLength(outline, True) ** 2 / (4 * np.pi * cv2.contourArea(outline)))


def test_the_class_changes_the_lesion_alone() -> None:
    first, second = (render_dermoscopy(2, size=128, label=label) for label in ("nv", "vasc"))
    # Shading takes the median light of the skin as 1, and the skin is all but the lesion: the
    # rest may differ by some levels, by no structure.
    aside = ~(first.mask | second.mask)
    rim = cv2.dilate((~aside).astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    difference = np.abs(first.image.astype(int) - second.image)[~rim]
    assert difference.max() <= 3
    assert np.array_equal(first.covered, second.covered)


@pytest.mark.parametrize("ita", np.linspace(*ITA_RANGE_DEG, 7).tolist())
def test_the_tone_is_that_of_the_bare_skin(ita: float) -> None:
    for seed in range(4):
        phantom = render_dermoscopy(seed, size=128, ita_deg=ita)
        found = ita_deg(phantom.image, phantom.mask | phantom.covered)
        assert found == pytest.approx(ita, abs=5.0)
        shot = render_longshot(seed, size=128, ita_deg=ita)
        assert ita_deg(shot.image, shot.mask != LEVELS.index("skin")) == pytest.approx(ita, abs=5.0)


def test_a_long_shot_has_lesions_where_it_says_so() -> None:
    for seed in range(10):
        shot = render_longshot(seed, size=192)
        assert 1 <= len(shot.lesions) <= 3
        assert set(np.unique(shot.mask)) == {0, 1, 2}
        for x, y, radius in shot.lesions:
            assert RADII[0] <= radius / 192 <= RADII[1]
            half = int(radius)
            box = shot.mask[int(y) - half : int(y) + half, int(x) - half : int(x) + half]
            assert (box == LEVELS.index("lesion")).mean() > 0.2
            assert (box == LEVELS.index("other")).mean() == 0.0
        lesions = (shot.mask == 2).sum()
        # Ellipses up to a quarter shorter, bent outlines: near pi r^2.
        expected = sum(np.pi * radius**2 for *_, radius in shot.lesions)
        assert 0.45 * expected < lesions < 1.5 * expected


def test_long_shots_hold_crops_that_the_rule_takes() -> None:
    """Over 80 % skin, a lesion's included, and over 10 % lesion, in a crop of a quarter."""
    for seed in range(10):
        mask = render_longshot(seed, size=128).mask
        lesion = cv2.boxFilter((mask == 2).astype(np.float64), -1, (32, 32))
        skin = cv2.boxFilter((mask > 0).astype(np.float64), -1, (32, 32))
        inner = np.s_[16:-16, 16:-16]  # crops that lie in the picture
        assert ((lesion > 0.1) & (skin > 0.8))[inner].any(), seed


@pytest.mark.parametrize("render", [render_dermoscopy, render_longshot])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "wart"}, "label is 'wart', lesions are of class akiec, bcc"),
        ({"seed": -1}, "seed is -1"),
        ({"size": 16}, "size is 16 pixels"),
        ({"ita_deg": 90.0}, "ita_deg is 90.0"),
    ],
)
def test_bad_arguments_are_refused(render: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        render(**{"seed": 0, "size": 128, **arguments})


def test_a_set_of_classes_agrees_with_its_manifest(tmp_path: Path) -> None:
    rows = rows_of(DERMOSCOPY_SET.write(tmp_path, train=8, val=0, test=1, size=64))
    for row in rows:
        assert row["label"] in LABELS
        mask = picture(tmp_path / row["mask"], "1")
        assert float(row["area_fraction"]) == pytest.approx(mask.mean(), abs=1e-4)
        assert picture(tmp_path / row["file"], "RGB").shape == (64, 64, 3)


def test_a_set_of_melanoma_has_half_of_each(tmp_path: Path) -> None:
    rows = rows_of(MELANOMA_SET.write(tmp_path, train=12, val=0, test=0, size=64))
    labels = [row["label"] for row in rows]
    assert sorted(set(labels)) == sorted(MELANOMA_LABELS)
    assert labels.count("melanoma") == 6


def test_a_set_of_long_shots_has_masks_of_three_levels(tmp_path: Path) -> None:
    rows = rows_of(LONGSHOT_SET.write(tmp_path, train=4, val=0, test=1, size=128))
    for row in rows:
        mask = picture(tmp_path / row["mask"], "L")
        assert set(np.unique(mask)) == {0, 1, 2}
        assert float(row["lesion_fraction"]) == pytest.approx((mask == 2).mean(), abs=1e-4)
        assert float(row["skin_fraction"]) == pytest.approx((mask == 1).mean(), abs=1e-4)
        assert row["label"] in LABELS
        assert int(row["n_lesions"]) >= 1
