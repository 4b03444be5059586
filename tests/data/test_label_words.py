"""What is said of the labels that a run was trained on."""

from pathlib import Path

import pytest
from PIL import Image
from samples import acne_spec

from edgeskin.data.label_words import label_words
from edgeskin.data.manifest import load_split
from edgeskin.spec import ClassificationHead, Head, RegressionHead, SegmentationHead
from edgeskin.tasks.perceived_age import heads

CLASSES = ClassificationHead(name="label", labels=("nv", "mel"))
SIGNS = ClassificationHead(name="signs", labels=("red", "dry"), activation="sigmoid")


@pytest.mark.parametrize(
    ("head", "columns", "cells", "words"),
    [
        (CLASSES, "label", ("mel", "nv", "1"), "; label: nv 1, mel 2"),
        (SIGNS, "signs", ("red|dry", "", "dry"), "; signs: red 1, dry 2"),
        (RegressionHead(name="area", unit="mm2"), "area", ("2.5", "10"), "; area, mm2: 2.5 to 10"),
        (heads()[0], "age", ("24", "51"), "; age, years: 24 to 51"),
        (
            heads()[0],
            "age,age_low,age_high",
            ("24,20,29", ",30,39", "17,,", ",0,2"),
            "; age, years: 2 exact of 17 to 24, 2 intervals of 0 to 39",
        ),
        (SegmentationHead(name="skin", labels=("other", "skin")), "label", ("a", "b"), ""),
    ],
)
def test_labels_are_counted_or_have_ends(
    tmp_path: Path, head: Head, columns: str, cells: tuple[str, ...], words: str
) -> None:
    rows = [f"{i}.png,train,{cell}" for i, cell in enumerate(cells)]
    for i in range(len(cells)):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{i}.png")
    (tmp_path / "manifest.csv").write_text("\n".join([f"file,split,{columns}", *rows]) + "\n")
    data = load_split(tmp_path, "train")
    expected = f"{len(cells)} images of {tmp_path.name}, train split{words}"
    assert label_words(data, acne_spec(heads=(head,))) == expected
