"""Classes and skin tones of the calibration images, counted and compared with the train split."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from samples import SEVERITY

from edgeskin.calibration.coverage import COLOURLESS, Coverage, cover
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.data.skin_tone import encode_srgb, lab_to_linear_rgb, skin_lab
from edgeskin.spec import Spec

# (severity, typology angle in degrees); None is a grey image.
SKINS = (("0", 60.0), ("0", 20.0), ("mild", 20.0), ("2", -45.0), ("1", None))


def skin(ita: float | None) -> np.ndarray:
    """One colour of skin with a little grain, uint8 (32, 32, 3), RGB."""
    grain = np.random.default_rng(0).uniform(-0.01, 0.01, (32, 32))
    if ita is None:
        return encode_srgb(0.4 + grain)[:, :, None].repeat(3, axis=2)
    lab = (np.full((32, 32), value) for value in skin_lab(ita))
    return np.stack([encode_srgb(plane + grain) for plane in lab_to_linear_rgb(*lab)], axis=-1)


@pytest.fixture
def train(tmp_path: Path) -> Dataset:
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "split", "severity"))
        for index, (severity, ita) in enumerate(SKINS):
            cv2.imwrite(str(tmp_path / f"{index}.png"), skin(ita)[:, :, ::-1])
            writer.writerow((f"{index}.png", "train", severity))
    return load_split(tmp_path, "train")


def covered(train: Dataset, spec: Spec, *rows: int) -> Coverage:
    chosen = replace(train, rows=tuple(train.rows[row] for row in rows))
    return cover(train, chosen, chosen.pixels(spec.input), spec)


def test_classes_are_counted_by_name_and_tones_by_angle(train: Dataset, spec: Spec) -> None:
    shown = covered(train, spec, 0, 1, 2)
    counts = dict(zip(SEVERITY, (3, 0, 0, 0), strict=True))  # labels are names or indices
    assert shown.classes == {"severity": counts}
    assert shown.train_classes == {"severity": counts | {"moderate": 1, "severe": 1}}
    # Del Bino and Bernerd 2013: above 55 degrees very light, 10 to 28 tan, below -30 dark.
    assert shown.tones == {"very light": 1, "tan": 2}
    assert shown.train_tones == {"very light": 1, "tan": 2, "dark": 1, COLOURLESS: 1}


def test_what_the_train_split_has_and_the_calibration_images_lack(
    train: Dataset, spec: Spec
) -> None:
    (line,) = covered(train, spec, 0, 1, 3, 4).warnings()
    assert line.startswith("no calibration image of severity very severe (0 in train). Raise")
    classes, tones = covered(train, spec, 1, 2).warnings()
    assert "of severity moderate (1 in train), severe (1 in train), very severe (0" in classes
    assert "of skin tone very light (1 in train), dark (1 in train). Raise" in tones


def test_without_labels_only_tones_are_counted(train: Dataset, spec: Spec) -> None:
    bare = replace(train, rows=tuple({"file": row["file"], "split": "train"} for row in train.rows))
    shown = covered(bare, spec, 0, 1)
    assert shown.classes == {}
    assert sum(shown.tones.values()) == 2
