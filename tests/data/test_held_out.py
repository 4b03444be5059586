"""A tenth held out of a train split: whole groups, and never all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeskin.data.dataset import Dataset
from edgeskin.data.held_out import folds, without_a_tenth
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidData


def people(folder: Path, persons: list[str]) -> Dataset:
    lines = ["file,split,person"]
    for i, person in enumerate(persons):
        Image.new("RGB", (8, 8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,train,{person}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return load_split(folder, "train")


def test_persons_are_held_out_whole(tmp_path: Path) -> None:
    data = people(tmp_path, [f"p{i // 4}" for i in range(40)])
    kept, held = without_a_tenth(data, seed=3)
    assert len(held) == 4
    assert len(kept) == 36
    persons = [{row["person"] for row in part.rows} for part in (kept, held)]
    assert not persons[0] & persons[1]


def test_images_without_a_person_stand_alone(tmp_path: Path) -> None:
    data = people(tmp_path, [""] * 20)
    kept, held = without_a_tenth(data, seed=0)
    assert (len(kept), len(held)) == (18, 2)
    parts = list(folds(data, np.zeros(20, np.int64), 5, seed=0))
    assert [len(held) for _, held in parts] == [4] * 5


def test_one_person_cannot_be_divided(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="one group of images"):
        without_a_tenth(people(tmp_path, ["p"] * 6), seed=0)
