import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from samples import acne_spec

from edgeskin.data.manifest import has_split, load_split
from edgeskin.data.phantoms import render_phantom
from edgeskin.errors import InvalidData, InvalidImage
from edgeskin.spec import ClassificationHead, EmbeddingHead
from edgeskin.trusted import config_file

SPEC = acne_spec()


def rewrite(folder: Path, change: object) -> None:
    """Apply `change(row)` to every row of the manifest; a row it returns None for is dropped."""
    path = folder / "manifest.csv"
    with path.open(newline="") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    rows = [row for row in rows if row is not None]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys() if rows else ["file", "split"])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def folder(phantom_set: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(phantom_set, tmp_path / "set"))


def test_labels_and_pixels_are_those_of_the_phantoms(phantom_set: Path) -> None:
    test = load_split(phantom_set, "test")
    truth = test.truth(SPEC)
    first = render_phantom(2_000_000, size=72)
    assert len(test) == 16
    assert truth["count"][0] == first.count
    assert truth["severity"][0] == first.severity
    np.testing.assert_array_equal(test.pixels(SPEC.input)[0], first.image[4:68, 4:68])
    assert test.licenses == ["CC0-1.0"]


def test_a_label_may_be_a_name_or_an_index(folder: Path) -> None:
    before = load_split(folder, "test").truth(SPEC)["severity"]
    names = SPEC.heads[0].labels
    rewrite(folder, lambda row: row | {"severity": names[int(row["severity"])]})
    np.testing.assert_array_equal(load_split(folder, "test").truth(SPEC)["severity"], before)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("severity", "4", r"train_00000.png has severity '4', expected one of mild"),
        ("severity", "", "has severity ''"),
        ("count", "many", "has count 'many', expected a number"),
        ("count", "nan", "expected a number"),
    ],
)
def test_a_bad_label_is_named(folder: Path, column: str, value: str, message: str) -> None:
    rewrite(folder, lambda row: row | {column: value})
    with pytest.raises(InvalidData, match=message):
        load_split(folder, "train").truth(SPEC)


def test_a_manifest_without_label_columns_says_which_it_has(folder: Path) -> None:
    rewrite(folder, lambda row: {"file": row["file"], "split": row["split"], "grade": "1"})
    train = load_split(folder, "train")
    assert train.truth(SPEC) == {}
    remark = train.unlabelled(SPEC)
    assert remark is not None
    assert remark.startswith("none of the columns grade is of a head (severity, count)")
    assert train.rule_for(SPEC) == remark


def test_images_that_have_no_labels_at_all_have_no_truth(folder: Path) -> None:
    rewrite(folder, lambda row: {"file": row["file"], "split": row["split"]})
    train = load_split(folder, "train")
    assert train.truth(SPEC) == {}
    assert train.unlabelled(SPEC) is None  # nobody takes such images for labelled ones


def test_a_listed_image_that_is_missing_is_named(folder: Path) -> None:
    (folder / "images" / "test_00003.png").unlink()
    with pytest.raises(InvalidData, match=r"lists images/test_00003.png, but there is no such"):
        load_split(folder, "test")
    assert len(load_split(folder, "val")) == 8


def test_a_truncated_image_is_named(folder: Path) -> None:
    path = folder / "images" / "test_00003.png"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InvalidImage, match=r"test_00003.png"):
        load_split(folder, "test").pixels(SPEC.input)


def test_a_path_may_not_leave_the_folder(folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(b"x")
    rewrite(folder, lambda row: row | {"file": "../secret.png"})
    with pytest.raises(InvalidData, match="outside its folder"):
        load_split(folder, "train")


def test_folders_that_cannot_be_used(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InvalidData, match="is not a folder"):
        load_split(tmp_path / "nowhere", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidData, match=r"empty has no images"):
        load_split(tmp_path / "empty", "train")
    with pytest.raises(InvalidData, match="no image with split 'holdout'"):
        load_split(folder, "holdout")
    (folder / "manifest.csv").write_text("name\nx\n")
    with pytest.raises(InvalidData, match="lacks a column of image paths, .* it has name"):
        load_split(folder, "train")
    (folder / "manifest.csv").write_text("file,split\nonly-one-cell\n")
    with pytest.raises(InvalidData, match="line 2: not as many cells as columns"):
        load_split(folder, "train")
    (folder / "manifest.csv").write_bytes(b"file,split\n\xff\xfe,train\n")
    with pytest.raises(InvalidData, match="not a UTF-8 CSV"):
        load_split(folder, "train")


def test_take_draws_without_repetition_and_always_the_same(phantom_set: Path) -> None:
    train = load_split(phantom_set, "train")
    some = train.take(10)
    assert len(set(some.paths)) == 10
    assert some == train.take(10)
    assert train.take(1000) is train
    assert has_split(phantom_set, "val")
    assert not has_split(phantom_set, "holdout")


def test_a_link_to_a_folder_of_images_is_followed_where_the_user_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (folder / "images").rename(tmp_path / "photos")
    (folder / "images").symlink_to(tmp_path / "photos")
    with pytest.raises(InvalidData, match=r"images is a link to .*, or write that folder into"):
        load_split(folder, "test")
    config_file().parent.mkdir(parents=True)
    config_file().write_text(f"{tmp_path / 'photos'}\n")
    assert all(path.is_file() for path in load_split(folder, "test").paths)


SIGNS = acne_spec(
    heads=(
        ClassificationHead(name="severity", labels=("a", "b", "c", "d"), activation="sigmoid"),
        EmbeddingHead(name="count", size=3),
    )
)


def test_labels_by_themselves_are_divided_by_a_bar(folder: Path) -> None:
    cells = iter(("", "a", "b | 3", "d|a|d"))
    rewrite(folder, lambda row: row | {"severity": next(cells, "c")})
    truth = load_split(folder, "train").truth(SIGNS)
    assert set(truth) == {"severity"}  # an embedding has no labels, whatever the columns
    expected = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 1]]
    assert truth["severity"][:4].tolist() == expected


def test_an_unknown_one_of_several_labels_is_named(folder: Path) -> None:
    rewrite(folder, lambda row: row | {"severity": "a|x"})
    with pytest.raises(InvalidData, match=r"severity 'a\|x', expected one of .*divided by \|"):
        load_split(folder, "train").truth(SIGNS)


def test_heads_without_labels_need_no_column(folder: Path) -> None:
    spec = acne_spec(heads=SIGNS.heads[1:])
    assert load_split(folder, "test").truth(spec) == {}
