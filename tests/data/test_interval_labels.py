"""Exact labels and intervals of a distribution head."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import acne_spec

from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidData
from edgeskin.tasks.perceived_age import heads

SPEC = acne_spec(task="perceived_age", heads=heads())


def folder(tmp_path: Path, columns: str, *cells: str) -> Path:
    lines = [f"file,split,{columns}"]
    for i, row in enumerate(cells):
        Image.new("RGB", (16, 16), (i, i, i)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,train,{row}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def labels(place: Path) -> np.ndarray:
    return load_split(place, "train").labels(SPEC)["age"]


def test_an_exact_age_wins_over_its_interval(tmp_path: Path) -> None:
    place = folder(tmp_path, "age,age_low,age_high", "24,20,29", ",30,39", "51.5,,")
    np.testing.assert_array_equal(labels(place), [[24, 24], [30, 39], [51.5, 51.5]])


def test_intervals_alone_need_no_exact_column(tmp_path: Path) -> None:
    np.testing.assert_array_equal(labels(folder(tmp_path, "age_low,age_high", "0,2")), [[0, 2]])


def test_without_intervals_labels_are_numbers(tmp_path: Path) -> None:
    np.testing.assert_array_equal(labels(folder(tmp_path, "age", "24", "51")), [24, 51])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",,", "0.png has neither age nor age_low and age_high"),
        (",30,", "0.png has age_high '', expected a number from 0 on for age"),
        (",30,20", "0.png has age_low 30 above age_high 20"),
        ("-3,,", "0.png has age '-3', expected a number from 0 on"),
        ("old,20,29", "0.png has age 'old', expected a number from 0 on"),
        (",nan,29", "0.png has age_low 'nan', expected a number from 0 on for age"),
    ],
)
def test_a_wrong_age_is_refused_with_its_image(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        labels(folder(tmp_path, "age,age_low,age_high", row))


def test_an_interval_of_a_head_with_ranges_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, "count,count_low,count_high", "4,3,9", ",3,9")
    with pytest.raises(InvalidData, match=r"1.png has no count, and 'count' has ranges \(mild, "):
        load_split(place, "train").labels(acne_spec())


def test_intervals_beside_exact_counts_are_not_read(tmp_path: Path) -> None:
    place = folder(tmp_path, "count,count_low,count_high", "4,3,9", "7,,")
    np.testing.assert_array_equal(load_split(place, "train").labels(acne_spec())["count"], [4, 7])


def test_no_lesion_is_a_count_though_the_support_begins_at_one(tmp_path: Path) -> None:
    place = folder(tmp_path, "count", "0", "90")  # "very severe" is open above
    assert load_split(place, "train").labels(acne_spec())["count"].tolist() == [0.0, 90.0]
    place = folder(tmp_path, "count", "-1", "65")
    with pytest.raises(InvalidData, match="0.png has count '-1', expected a number from 0 on"):
        load_split(place, "train").labels(acne_spec())
