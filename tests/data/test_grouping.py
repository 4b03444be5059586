"""Images in groups: by columns, by bounds, and by a skin tone that is known."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skin_network import red_is_skin, skin_spec

from edgeskin.data.apparent_tone import LEAST_SKIN, MOST_PIXELS, apparent_tone
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.data.phantoms import write_set
from edgeskin.data.skin_tone import (
    TONE_FLOORS_DEG,
    TONE_NAMES,
    encode_srgb,
    lab_to_linear_rgb,
    skin_lab,
    tone,
)
from edgeskin.errors import InvalidData, UnknownName
from edgeskin.models.run import save_run
from edgeskin.spec import SegmentationHead
from edgeskin.subgroups import NO_COLOUR, NO_SKIN, NOT_STATED, Grouping

BLUE = (20, 40, 120)


def skin(ita: float) -> tuple[int, ...]:
    """The colour of skin of a typology angle, 8-bit sRGB."""
    lab = (np.full((1, 1), value) for value in skin_lab(ita))
    return tuple(int(encode_srgb(plane)[0, 0]) for plane in lab_to_linear_rgb(*lab))


def photo(colour: Sequence[int], columns: int = 24, size: int = 48) -> np.ndarray:
    """`colour` on the left, as wide as `columns`, beside blue."""
    image = np.full((size, size, 3), BLUE, np.uint8)
    image[:, :columns] = colour
    return image


def dataset(folder: Path, rows: Sequence[dict[str, str]], images: Sequence[np.ndarray]) -> Dataset:
    folder.mkdir(exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "split", *rows[0]])
        writer.writeheader()
        writer.writerows({"file": f"{i}.png", "split": "test", **row} for i, row in enumerate(rows))
    return load_split(folder, "test")


def plain(folder: Path, rows: Sequence[dict[str, str]]) -> Dataset:
    return dataset(folder, rows, [photo(BLUE, size=8)] * len(rows))


def by(data: Dataset, text: str, **options: object) -> Grouping:
    return group_images(data, GroupOptions([text], **options))[text]  # type: ignore[arg-type]


def test_a_column_is_a_group_a_value_and_an_empty_cell_is_one_too(tmp_path: Path) -> None:
    data = plain(tmp_path, [{"severity": text} for text in ("2", "0", "", "2", "10")])
    grouping = by(data, "severity")
    assert grouping.names == ("0", "2", "10", NOT_STATED)
    assert grouping.labels == ("2", "0", NOT_STATED, "2", "10")
    assert grouping.members("2").tolist() == [0, 3]


def test_bounds_belong_to_the_group_below_and_intervals_to_that_of_their_middle(
    tmp_path: Path,
) -> None:
    ages = [  # age, low, high, group
        ("30", "", "", "up to 30"),
        ("30.5", "", "", "over 30 to 50"),
        ("51", "", "", "over 50"),
        ("", "40", "49", "over 30 to 50"),
        ("", "20", "40", "up to 30"),  # the middle is the bound
        ("24", "60", "70", "up to 30"),  # exact ones come first
        ("", "70", "", NOT_STATED),  # open: nobody knows its middle
        ("", "", "", NOT_STATED),
    ]
    rows = [{"age": a, "age_low": low, "age_high": high} for a, low, high, _ in ages]
    grouping = by(plain(tmp_path, rows), "age:30,50")
    assert grouping.labels == tuple(group for *_, group in ages)
    assert grouping.names == ("up to 30", "over 30 to 50", "over 50", NOT_STATED)
    assert "the middle of age_low and age_high" in grouping.rule


def test_a_group_without_images_is_there_and_one_bound_makes_two(tmp_path: Path) -> None:
    data = plain(tmp_path, [{"ita_deg": "-12.5"}, {"ita_deg": "3"}])
    grouping = by(data, "ita_deg:28.5")
    assert grouping.names == ("up to 28.5", "over 28.5")
    assert set(grouping.labels) == {"up to 28.5"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("age_group", r"no column 'age_group' to group by; it has file, split, age, sex, and"),
        ("age_group:3", "no column 'age_group'"),
        ("age:", "bounds are rising numbers"),
        ("skin_tone:30", "no column 'skin_tone' to group by"),
        ("age:50,30", "--by age:50,30: bounds are rising numbers, as in"),
        ("age:30,30", "bounds are rising numbers"),
        ("age:30,x", "bounds are rising numbers"),
        ("age:nan", "bounds are rising numbers"),
        ("sex:3", "0.png has sex 'f', expected a number to cut by bounds"),
        ("skin_tone", "give --skin-model .* or --skin-mask"),
    ],
)
def test_what_cannot_be_grouped_by_is_refused(text: str, line: str, tmp_path: Path) -> None:
    data = plain(tmp_path, [{"age": "3", "sex": "f"}])
    with pytest.raises(InvalidData, match=line):
        by(data, text)


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidData, match="mask says where skin is, .* add --by skin_tone"):
        GroupOptions(["age"], skin_mask="mask")
    with pytest.raises(InvalidData, match="leave --skin-model or --skin-mask out"):
        GroupOptions(["skin_tone"], skin_mask="mask", skin_model="run")
    with pytest.raises(InvalidData, match="--by age is given twice"):
        GroupOptions(["age", "sex", "age"])


def test_a_column_called_skin_tone_is_taken_where_nothing_says_what_skin_is(tmp_path: Path) -> None:
    data = plain(tmp_path, [{"skin_tone": "V"}, {"skin_tone": "II"}])
    assert by(data, "skin_tone").names == ("II", "V")


@pytest.fixture(scope="module")
def skin_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("skin") / "run"
    save_run(folder, skin_spec(), red_is_skin())
    return folder


ITAS = (62.0, 48.0, 35.0, 19.0, -10.0, -45.0)


def tones_by_model(data: Dataset, model: Path) -> Grouping:
    options = GroupOptions(["skin_tone"], skin_model=model)
    return group_images(data, options, trust=True)["skin_tone"]


def test_the_tone_is_that_of_the_pixels_that_the_model_calls_skin(
    skin_model: Path, tmp_path: Path
) -> None:
    grey = np.full((48, 48, 3), 200, np.uint8)
    images = [*(photo(skin(ita)) for ita in ITAS), photo(BLUE), photo(skin(19.0), size=100)]
    data = dataset(tmp_path / "d", [{"x": "1"}] * len(images), images)
    grouping = tones_by_model(data, skin_model)
    assert grouping.labels == (*TONE_NAMES, NO_SKIN, "tan")
    assert grouping.names == (*TONE_NAMES, NO_SKIN)
    assert "pixels that run calls skin; it depends on light and camera" in grouping.rule
    assert apparent_tone(grey, np.ones((48, 48), bool)) == NO_COLOUR


def test_a_sigmoid_head_finds_skin_too(tmp_path: Path) -> None:
    head = SegmentationHead(name="face", labels=("other", "skin"), activation="sigmoid")
    save_run(tmp_path / "run", skin_spec(heads=(head,)), red_is_skin())
    data = dataset(tmp_path / "d", [{"x": "1"}] * 2, [photo(skin(-45.0)), photo(BLUE)])
    assert tones_by_model(data, tmp_path / "run").labels == ("dark", NO_SKIN)


def test_a_model_that_knows_no_skin_is_refused(tmp_path: Path) -> None:
    head = SegmentationHead(name="lesion", labels=("other", "lesion"))
    save_run(tmp_path / "run", skin_spec(heads=(head,)), red_is_skin())
    data = plain(tmp_path / "d", [{"x": "1"}])
    with pytest.raises(UnknownName, match=r"run segments no 'skin': its heads are lesion \(segm"):
        tones_by_model(data, tmp_path / "run")


def test_phantoms_have_the_tone_that_they_were_drawn_for(tmp_path: Path) -> None:
    """Skin is where the lesion mask of a phantom is not; `ita_deg` is found within 5 degrees."""
    write_set(tmp_path, train=0, val=0, test=40, size=96, seed=5)
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path).convert("L"))).save(path)
    data = load_split(tmp_path, "test")
    grouping = by(data, "skin_tone", skin_mask="mask")
    itas = [float(row["ita_deg"]) for row in data.rows]
    clear = [min(abs(ita - floor) for floor in TONE_FLOORS_DEG) > 5.0 for ita in itas]
    assert sum(clear) >= 15
    for ita, label, sure in zip(itas, grouping.labels, clear, strict=True):
        assert label in {tone(ita - 5.0), tone(ita), tone(ita + 5.0)}
        assert label == tone(ita) or not sure


def test_masks_may_be_smaller_than_their_image_but_not_of_another_shape(tmp_path: Path) -> None:
    rows = [{"skin": "small.png"}, {"skin": "none.png"}]
    data = dataset(tmp_path, rows, [photo(skin(35.0)), photo(skin(35.0))])
    small = np.zeros((12, 12), np.uint8)
    small[:, :6] = 1
    Image.fromarray(small).save(tmp_path / "small.png")
    Image.fromarray(0 * small).save(tmp_path / "none.png")
    assert by(data, "skin_tone", skin_mask="skin").labels == ("intermediate", NO_SKIN)
    with pytest.raises(InvalidData, match="no column 'mask' of skin masks; it has file, split, sk"):
        by(data, "skin_tone", skin_mask="mask")
    Image.fromarray(small[:, :8]).save(tmp_path / "none.png")
    with pytest.raises(InvalidData, match=r"mask of 1.png is 8 x 12, the image 48 x 48 pixels"):
        by(data, "skin_tone", skin_mask="skin")


def test_little_skin_is_none_and_large_photos_are_thinned_evenly() -> None:
    side = int(MOST_PIXELS**0.5) + 300
    image = np.full((side, side, 3), skin(19.0), np.uint8)
    image[side // 2 :] = skin(-45.0)
    inside = np.zeros((side, side), bool)
    inside[: side // 2 + 50] = True  # mostly the upper half
    assert apparent_tone(image, inside) == "tan"
    few = np.zeros((side, side), bool)
    few.reshape(-1)[: int(LEAST_SKIN * side * side) - 1] = True
    assert apparent_tone(image, few) == NO_SKIN


def test_nan_is_no_number(tmp_path: Path) -> None:
    """So pandas writes a number that is not known."""
    grouping = by(plain(tmp_path, [{"age": "nan"}, {"age": "40"}]), "age:30")
    assert grouping.labels == (NOT_STATED, "over 30")
