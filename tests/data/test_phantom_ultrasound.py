"""Ultrasound phantoms: speckle by its statistics, lesions by their echoes and outlines."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from phantom_tables import picture, rows_of
from scipy.special import polygamma

from edgeskin.data.phantom_canvas import Dice
from edgeskin.data.phantom_ultrasound import (
    DYNAMIC_RANGE_DB,
    LABELS,
    LESION_DB,
    LOOKS,
    ULTRASOUND_SET,
    log2,
    render_ultrasound,
    speckle_db,
)
from edgeskin.errors import InvalidData
from edgeskin.tasks.ultrasound_grading import LABELS as TASK_LABELS


def _echo_db(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Decibels of a picture's levels, black ones at the bottom of the display's range."""
    return (image.astype(np.float64) / 255.0 - 1.0) * DYNAMIC_RANGE_DB


def test_the_classes_are_those_of_the_task() -> None:
    assert LABELS == TASK_LABELS


def test_log2_is_the_logarithm() -> None:
    x = np.concatenate([np.geomspace(1e-6, 1e6, 10_001), [0.5, 1.0, 2.0, 0.70710678, 0.7071068]])
    assert np.abs(log2(x) - np.log2(x)).max() < 1e-9


@pytest.mark.parametrize("looks", [1, 2, 4])
def test_speckle_is_that_of_the_mean_of_rayleigh_looks(looks: int) -> None:
    db = np.stack([speckle_db(Dice(seed, 99), 256, looks) for seed in range(4)])
    # The energy of looks independent Rayleigh amplitudes is a gamma variable of shape `looks`:
    # mean 1 here, and its logarithm has a variance of trigamma(looks).
    spread = 10.0 / np.log(10.0) * float(polygamma(1, looks)) ** 0.5
    # A Gaussian of three uniforms on a spline has somewhat short tails: 3 % at most.
    assert db.std() == pytest.approx(spread, rel=0.04)
    assert (10.0 ** (db / 10.0)).mean() == pytest.approx(1.0, abs=0.05)


def test_one_look_has_the_signal_to_noise_of_rayleigh() -> None:
    amplitude = 10.0 ** (speckle_db(Dice(5, 99), 512, 1) / 20.0)
    # sqrt(pi / (4 - pi)) = 1.91 (Burckhardt 1978).
    expected = (np.pi / (4.0 - np.pi)) ** 0.5
    assert amplitude.mean() / amplitude.std() == pytest.approx(expected, rel=0.04)


def test_speckle_of_the_picture_is_that_of_its_looks() -> None:
    """On the even inside of benign lesions, where the tissue adds little."""
    spreads = []
    for seed in range(8):
        phantom = render_ultrasound(seed, label="benign")
        inner = _echo_db(phantom.image)[_shrunk(phantom.mask)]
        spreads.append(np.diff(inner[inner > -DYNAMIC_RANGE_DB]).std())
    # Neighbours are correlated: their difference spreads less than sqrt(2) times a pixel, and
    # an unspeckled picture by almost nothing.
    spread = 10.0 / np.log(10.0) * float(polygamma(1, LOOKS)) ** 0.5
    assert 0.3 * spread < np.median(spreads) < 1.41 * spread


def _shrunk(mask: NDArray[np.bool_], by: int = 4) -> NDArray[np.bool_]:
    inner = mask.copy()
    for _ in range(by):
        padded = np.pad(inner, 1)
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & inner
    return inner


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_lesions_are_darker_by_what_the_label_says(label: str) -> None:
    errors = []
    for seed in range(12):
        phantom = render_ultrasound(seed, label=label)
        same = render_ultrasound(seed, label="normal")
        low, high = LESION_DB[label]
        assert low <= phantom.lesion_db <= high
        inner = _shrunk(phantom.mask)
        rows, columns = np.nonzero(phantom.mask)
        middle = int(rows.mean()), int(columns.mean())
        around = np.s_[middle[0] - 51 : middle[0] + 51, middle[1] - 51 : middle[1] + 51]
        before = np.median(_echo_db(same.image)[around])
        errors.append(np.median(_echo_db(phantom.image)[inner]) - before - phantom.lesion_db)
    # Black is -60 dB, and the depth takes a little more from a lesion below the band's middle.
    assert np.median(np.abs(errors)) < 3.0


def test_echoes_and_outlines_differ_between_the_classes() -> None:
    wide, deep, behind = {}, {}, {}
    for label in ("benign", "malignant"):
        phantoms = [render_ultrasound(seed, label=label) for seed in range(12)]
        wide[label] = np.median([_width_over_height(p.mask) for p in phantoms])
        deep[label] = np.mean([p.lesion_db for p in phantoms])
        behind[label] = np.median([_behind_db(seed, label) for seed in range(12)])
    # BI-RADS: wider than tall against taller than wide, enhancement against shadow.
    assert wide["malignant"] < 1.25 < wide["benign"]
    assert deep["malignant"] < deep["benign"] - 3.0
    assert behind["malignant"] < -3.0 < 0.0 < behind["benign"] + 0.5


def _width_over_height(mask: NDArray[np.bool_]) -> float:
    rows, columns = np.nonzero(mask)
    return float(columns.std() / rows.std())


def _behind_db(seed: int, label: str) -> float:
    """How much brighter the tissue under a lesion is than without the lesion, in dB."""
    phantom, same = (render_ultrasound(seed, label=name) for name in (label, "normal"))
    rows, columns = np.nonzero(phantom.mask)
    left, right = np.percentile(columns, [30, 70]).astype(int)
    bottom = int(rows.max())
    part = np.s_[bottom + 4 : bottom + 30, left:right]
    return float(np.median(_echo_db(phantom.image)[part]) - np.median(_echo_db(same.image)[part]))


def test_echoes_fade_with_depth() -> None:
    images = [render_ultrasound(seed, label="normal").image for seed in range(8)]
    rows = np.median(np.stack(images), axis=(0, 2))
    assert rows[60:100].mean() > rows[200:].mean() + 20
    assert rows[4:12].max() > 200  # the entry echo
    assert rows[:2].max() < 100  # gel


def test_a_normal_picture_has_no_mask_and_the_label_changes_no_speckle_elsewhere() -> None:
    normal, benign = (render_ultrasound(3, label=label) for label in ("normal", "benign"))
    assert normal.lesion_db == 0.0
    assert not normal.mask.any()
    corner = np.s_[:40, :40]
    assert np.array_equal(normal.image[corner], benign.image[corner])


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidData, match="label is 'cyst', ultrasound phantoms are normal"):
        render_ultrasound(0, label="cyst")
    with pytest.raises(InvalidData, match="seed is -2"):
        render_ultrasound(-2)
    with pytest.raises(InvalidData, match="size is 20 pixels, phantoms are 64 to 1024"):
        render_ultrasound(0, size=20)


def test_a_set_agrees_with_its_manifest(tmp_path: Path) -> None:
    rows = rows_of(ULTRASOUND_SET.write(tmp_path, train=10, val=1, test=1, size=64))
    for row in rows:
        assert picture(tmp_path / row["file"], "L").shape == (64, 64)
        mask = picture(tmp_path / row["mask"], "1")
        assert float(row["area_fraction"]) == pytest.approx(mask.mean(), abs=1e-4)
        assert (row["label"] == "normal") == (not mask.any())
    assert len({row["label"] for row in rows}) == 3
