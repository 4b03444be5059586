"""Data folders of a last stage: the pictures, labels and splits that a pipeline hands over."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import refusal
from PIL import Image
from pipeline_networks import BLUE, RED, areas_spec, half_red, painted, plain_input

import edgeskin
from edgeskin.cli.main import run
from edgeskin.errors import InvalidData
from edgeskin.images import decode
from edgeskin.pipelines.pipeline_predictor import load_pipeline
from edgeskin.predictor import load
from edgeskin.preprocess import preprocess
from edgeskin.spec import SegmentationHead

Make = Callable[..., Path]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_last_stage_alone_says_what_the_pipeline_says(
    of_files: Make, halves: Path, tmp_path: Path
) -> None:
    out = tmp_path / "last"
    record = edgeskin.stage_data(of_files("onnx"), halves, out)
    source = {row["file"]: row for row in rows_of(halves)}
    rows = rows_of(out)
    assert len(rows) == record.pictures
    with load_pipeline(of_files("onnx")) as whole, load(whole.pipeline.paths[1]) as last:
        for row in rows:
            image = whole.predict(halves / row["picture_of"])
            assert last.predict(out / row["file"])["colour"] == image["colour"]
            known = source[row["picture_of"]]
            kept = ("split", "colour", "person", "license")
            assert [row[c] for c in kept] == [known[c] for c in kept]
        shown = {row["picture_of"] for row in rows}
        for name in source.keys() - shown:
            assert whole.predict(halves / name).status == "no skin found"
    assert {image.file for image in record.left_out} == source.keys() - shown
    # Every fourth image is dark: 4 of 16 train and 3 of 12 test ones.
    assert [image.split for image in record.left_out] == ["train"] * 4 + ["test"] * 3
    assert json.loads((out / "stage.json").read_text()) == record.to_json()


def test_a_last_stage_is_calibrated_and_verified_on_it(
    of_files: Make, run_of: Make, halves: Path, tmp_path: Path
) -> None:
    edgeskin.stage_data(of_files("onnx"), halves, tmp_path / "last")
    artifact = of_files("onnx") / "colours.onnx"
    report = edgeskin.verify(artifact, run_of("colours"), tmp_path / "last")
    assert report.images == 9
    assert report.faults == ()
    assert "colour_accuracy" in report.metrics
    split = edgeskin.load_split(tmp_path / "last", "test")
    assert split.unlabelled(load(artifact).spec) is None


def two_lesions():
    """Red skin, 64 x 64, with two blue lesions."""
    image = painted(64, 64, (np.s_[:], np.s_[:], RED), (np.s_[4:20], np.s_[6:20], BLUE))
    image[40:56, 40:56] = BLUE
    return image


def crops_toml(folder: Path) -> Path:
    """Rules for squares of half the shorter edge, two at most."""
    toml = folder / "crops.toml"
    toml.write_text(
        'name = "c"\ntask = "t"\nstages = ["a", "b"]\nintended_use = "Tests."\n[join]\n'
        'kind = "crop"\nskin = { labels = ["skin"] }\nlesion = { labels = ["lesion"] }\n'
        "side_shares = [0.5]\nstep_share = 0.25\nmin_skin = 0.8\nmin_lesion = 0.1\n"
        'max_overlap = 0.5\nmost = 2\notherwise = "no crop"\n'
    )
    return toml


def test_a_first_stage_and_rules_are_enough(
    run_of: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Crops, by the command: a row each, with its place."""
    data, toml, out = tmp_path / "data", crops_toml(tmp_path), tmp_path / "out"
    data.mkdir()
    image = two_lesions()
    Image.fromarray(image).save(data / "long.png")
    (data / "manifest.csv").write_text(
        "file,split,colour,width,height\nlong.png,train,blue,64,64\n"
    )
    arguments = [run_of("areas64"), "--data", data, "--out", out, "--rules", toml]
    assert run(["stage-data", *map(str, arguments)]) == 0
    assert "2 pictures of 1 images" in capsys.readouterr().err
    rows = rows_of(out)
    assert len(rows) == 2
    for row in rows:
        left, top, side = map(int, row["crop"].split())
        np.testing.assert_array_equal(
            decode(out / row["file"]), image[top : top + side, left : left + side]
        )
        assert (row["colour"], row["width"], row["height"]) == ("blue", "32", "32")


def test_pictures_are_what_the_last_stage_s_preprocessing_gets(
    of_files: Make, halves: Path, tmp_path: Path
) -> None:
    """Losslessly: its pixels from the folder are those of the pipeline, to the bit."""
    out = tmp_path / "last"
    edgeskin.stage_data(of_files("onnx"), halves, out)
    row = rows_of(out)[0]
    image = decode(halves / row["picture_of"])
    red = image[..., 0] == 255
    expected = np.where(red[..., None], image, np.array((0, 102, 0), np.uint8))
    spec = load(of_files("onnx") / "colours.onnx").spec
    np.testing.assert_array_equal(
        preprocess(decode(out / row["file"]), spec.input), preprocess(expected, spec.input)
    )


def random_levels(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Levels 0 to 4 that no cut, shift or smoothing leaves as they are, and that no image shows."""
    return np.random.default_rng(seed).integers(0, 5, size, np.uint8)


def test_masks_are_cut_as_their_pictures_are(run_of: Make, tmp_path: Path) -> None:
    """By the nearest pixel: one mask has the image's size, the other half of it."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    Image.fromarray(two_lesions()).save(data / "long.png")
    whole, half = random_levels(1, (64, 64)), random_levels(2, (32, 32))
    Image.fromarray(whole).save(data / "a.png")
    Image.fromarray(half).save(data / "b.png")
    (data / "manifest.csv").write_text("file,split,mask,area\nlong.png,train,a.png,b.png\n")
    record = edgeskin.stage_data(run_of("areas64"), data, out, rules=crops_toml(tmp_path))
    assert record.masks == ("mask", "area")
    rows = rows_of(out)
    assert len(rows) == 2
    for row in rows:
        left, top, side = map(int, row["crop"].split())
        square = np.s_[top : top + side, left : left + side]
        np.testing.assert_array_equal(np.asarray(Image.open(out / row["mask"])), whole[square])
        doubled = half.repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(np.asarray(Image.open(out / row["area"])), doubled[square])
    # And they are the truth of a head called `area`, of the very pixels of its input.
    spec = areas_spec(
        input=plain_input(32, 32),
        heads=(SegmentationHead(name="area", labels=("a", "b", "c", "d", "e")),),
    )
    truth = edgeskin.load_split(out, "train").masks(spec)["area"]
    np.testing.assert_array_equal(truth[0], np.asarray(Image.open(out / rows[0]["area"])))


def test_masks_of_whole_pictures_are_the_same_files(
    of_files: Make, halves: Path, tmp_path: Path
) -> None:
    """Two masks of an image, none of another, and one of an image that is left out."""
    data = Path(shutil.copytree(halves, tmp_path / "data"))
    rows = rows_of(data)[:3]  # the first is dark, so that nothing is to be seen
    for i in range(3):
        Image.fromarray(random_levels(i, (64, 96))).save(data / f"m{i}.png")
    cells = ["m0.png", "m1.png|m2.png", ""]
    lines = [f"{r['file']},{r['split']},{cell}" for r, cell in zip(rows, cells, strict=True)]
    (data / "manifest.csv").write_text("\n".join(["file,split,mask", *lines]) + "\n")
    out = tmp_path / "out"
    edgeskin.stage_data(of_files("onnx"), data, out)
    first, second = rows_of(out)
    copies = [out / name for name in first["mask"].split("|")]
    assert [c.read_bytes() for c in copies] == [(data / f"m{i}.png").read_bytes() for i in (1, 2)]
    assert second["mask"] == ""
    assert sorted(path.name for path in (out / "masks").iterdir()) == [c.name for c in copies]


def test_a_mask_that_is_none_is_one_line(of_runs: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(half_red()).save(data / "a.png")
    (data / "manifest.csv").write_text("file,split,mask\na.png,train,m.png\n")
    words = ("stage-data", of_runs, "--data", data, "--out", tmp_path / "out")
    assert "m.png" in refusal(*words)
    Image.fromarray(random_levels(0, (96, 64))).save(data / "m.png")
    assert "the mask of a.png is 64 x 96, the image 96 x 64 pixels" in refusal(*words)
    Image.fromarray(half_red()).save(data / "m.png")
    assert "a mask is grey, black and white or has a palette" in refusal(*words)
    assert not (tmp_path / "out").exists()
    record = edgeskin.stage_data(of_runs, data, tmp_path / "out", with_masks=False)
    assert (record.masks, record.pictures) == ((), 1)
    assert "mask" not in rows_of(tmp_path / "out")[0]


def test_masks_that_are_drawn_from_annotations_are_left_out_and_said(
    of_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    Image.fromarray(half_red()).save(data / "a.png")
    outline = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 64, "width": 96}],
        "annotations": [{"id": 1, "area": 40, "bbox": [0, 0, 9, 9], "iscrowd": 0, **outline}],
        "categories": [{"id": 1, "name": "lesion"}],
    }
    (data / "coco.json").write_text(json.dumps(document))
    words = ["--data", str(data / "coco.json"), "--out", str(out)]
    assert run(["stage-data", str(of_runs), *words]) == 0
    assert "masks drawn from annotations are left out" in capsys.readouterr().err
    [row] = rows_of(out)
    assert "mask" not in row
    assert row["category"] == "lesion"


def test_nothing_to_see_in_any_image_is_one_line(of_runs: Path, tmp_path: Path) -> None:
    data = tmp_path / "dark"
    data.mkdir()
    for i in range(3):
        Image.fromarray(painted(64, 96)).save(data / f"{i}.png")
    lines = ["file,split", *(f"{i}.png,train" for i in range(3))]
    (data / "manifest.csv").write_text("\n".join(lines) + "\n")
    line = refusal("stage-data", of_runs, "--data", data, "--out", tmp_path / "out")
    assert "nothing is to be seen in any of the 3 images" in line
    assert "'no skin found'" in line
    assert not (tmp_path / "out").exists()
    with pytest.raises(InvalidData):
        edgeskin.stage_data(of_runs, data, tmp_path / "out")


def test_rules_and_sources_go_together(of_runs: Path, run_of: Make, halves: Path) -> None:
    out = ("--data", halves, "--out", "nowhere")
    assert "pass --rules" in refusal("stage-data", run_of("areas"), *out)
    assert "has its rules" in refusal("stage-data", of_runs, "--rules", "acne_presence", *out)
    line = refusal("stage-data", run_of("colours"), "--rules", "acne_presence", *out)
    assert "the first stage, 'skin', has no segmentation head" in line
