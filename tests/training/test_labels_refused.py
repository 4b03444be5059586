"""Labels that nothing can be learnt from, refused before the first step in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeskin.errors import InvalidData
from edgeskin.training.recipe import Recipe
from edgeskin.training.train import train

RECIPE = Recipe(size=64, resize="letterbox", pretrained=False, batch_size=2, epochs=1)
RNG = np.random.default_rng(2)


def photo(path: Path) -> str:
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return path.name


def test_a_class_that_no_train_image_has(tmp_path: Path) -> None:
    rows = [f"{photo(tmp_path / f'{i}.png')},train,{i % 2}" for i in range(4)]
    (tmp_path / "manifest.csv").write_text("\n".join(["file,split,label", *rows]) + "\n")
    with pytest.raises(InvalidData, match="has label 'malignant', one of the 3 classes"):
        train("ultrasound_grading", "resnet18", tmp_path, tmp_path / "run", recipe=RECIPE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("birth", ["1984,,", ",1980,1989"])
def test_an_age_beyond_all_ages(tmp_path: Path, birth: str) -> None:
    rows = [f"{photo(tmp_path / f'{i}.png')},train,{age}" for i, age in enumerate(("24,,", birth))]
    lines = ["file,split,age,age_low,age_high", *rows]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    message = r"1.png has age 198[04], and its values end at 100 years"
    with pytest.raises(InvalidData, match=message):
        train("perceived_age", "resnet18", tmp_path, tmp_path / "run", recipe=RECIPE)
    assert not (tmp_path / "run").exists()


def test_an_age_group_that_is_open_above(tmp_path: Path) -> None:
    rows = [f"{photo(tmp_path / f'{i}.png')},train,{i + 70},120" for i in range(2)]
    (tmp_path / "manifest.csv").write_text("\n".join(["file,split,age_low,age_high", *rows]) + "\n")
    recipe = RECIPE.model_copy(update={"fit_temperature": False})
    train("perceived_age", "resnet18", tmp_path, tmp_path / "run", recipe=recipe)


@pytest.mark.parametrize(
    ("sizes", "levels", "message"),
    [
        ((64, 64), (0, 0), "every train mask of .* is empty or full"),
        ((64, 64), (255, 255), "every train mask of .* is empty or full"),
        ((64, 32), (0, 255), "the mask of 0.png is 64 x 32, the image 64 x 64 pixels"),
    ],
)
def test_masks_that_say_nothing(
    tmp_path: Path, sizes: tuple[int, int], levels: tuple[int, int], message: str
) -> None:
    rows = []
    for i, level in enumerate(levels):
        Image.new("L", sizes, level).save(tmp_path / f"mask{i}.png")
        rows.append(f"{photo(tmp_path / f'{i}.png')},mask{i}.png,train")
    (tmp_path / "manifest.csv").write_text("\n".join(["file,mask,split", *rows]) + "\n")
    with pytest.raises(InvalidData, match=message):
        train("face_skin", "deeplab_mobilenet_v2", tmp_path, tmp_path / "run", recipe=RECIPE)


def test_one_empty_mask_among_others_is_an_image_without_skin(tmp_path: Path) -> None:
    rows = []
    for i, level in enumerate((0, 255, 0)):
        Image.new("L", (64, 64), level).save(tmp_path / f"mask{i}.png")
        rows.append(f"{photo(tmp_path / f'{i}.png')},mask{i}.png,{'train' if i < 2 else 'test'}")
    (tmp_path / "manifest.csv").write_text("\n".join(["file,mask,split", *rows]) + "\n")
    run = tmp_path / "run"
    made = train("face_skin", "deeplab_mobilenet_v2", tmp_path, run, recipe=RECIPE)
    assert made.test is not None
    assert list(made.test.metrics) == ["skin_skin_dice", "skin_skin_iou"]
