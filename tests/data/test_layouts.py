"""Images as teams have them on disk: each layout is recognised, and its labels are a head's."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from PIL import Image
from samples import acne_spec

from edgeskin.cli.main import run
from edgeskin.data.coco import _unpacked
from edgeskin.data.manifest import load_split, open_data
from edgeskin.data.splits import split_of
from edgeskin.data.summary import summarize, write_manifest
from edgeskin.errors import InvalidData, InvalidImage, UnknownName
from edgeskin.spec import ClassificationHead, SegmentationHead, Spec

CLASSES = ("mel", "nv")
SPEC = acne_spec(heads=(ClassificationHead(name="diagnosis", labels=CLASSES),))


def picture(seed: int, height: int = 70, width: int = 60) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(seed)).save(file, "PNG")
    return file.getvalue()


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed))


def masks_spec(*labels: str, activation: str = "softmax") -> Spec:
    head = SegmentationHead(name="lesion", labels=labels, activation=activation)  # type: ignore[arg-type]
    return acne_spec(heads=(head,))


def test_a_folder_of_images_is_split_by_hash_and_needs_no_label(tmp_path: Path) -> None:
    names = [f"{'deep/' if i % 2 else ''}{i:03d}.png" for i in range(40)]
    for seed, name in enumerate(names):
        save(tmp_path / name, seed)
    data = open_data(tmp_path)
    splits = {row["file"]: row["split"] for row in data.splits.rows}
    assert splits == {name: split_of(name, 0) for name in names}
    assert data.split("all").truth(SPEC) == {}
    assert len(data.split("train")) + len(data.split("val")) + len(data.split("test")) == 40
    assert "80/10/10 by a hash of seed 0" in (data.split("train").rule or "")
    save(tmp_path / "a-new-one.png", 99)
    later = {row["file"]: row["split"] for row in open_data(tmp_path).splits.rows}
    assert {name: later[name] for name in names} == splits
    other = open_data(tmp_path, seed=1).splits.rows
    assert {row["file"]: row["split"] for row in other} != later


def test_the_splits_have_the_shares_that_are_promised() -> None:
    """A binomial of 20,000 has a spread of 57 at 0.8 and 42 at 0.1; five of them are allowed."""
    splits = [split_of(str(i), 7) for i in range(20_000)]
    assert splits.count("train") == pytest.approx(16_000, abs=285)
    assert splits.count("val") == pytest.approx(2_000, abs=212)


@pytest.mark.parametrize("folders", [{"": ""}, {"train/": "train", "valid/": "val"}])
def test_a_folder_a_class(tmp_path: Path, folders: dict[str, str]) -> None:
    for i, folder in enumerate(folders):
        for j, label in enumerate(CLASSES):
            save(tmp_path / f"{folder}{label}/{i}{j}.png", 2 * i + j)
    data = open_data(tmp_path)
    if folders != {"": ""}:
        assert set(data.names) == {"train", "val"}
        assert data.split("val").rule is None
    labels = data.split("all").truth(SPEC)["diagnosis"]
    assert sorted(labels.tolist()) == sorted([0, 1] * len(folders))


def test_a_class_that_no_label_names_is_refused_with_its_image(tmp_path: Path) -> None:
    save(tmp_path / "mel/a.png", 0)
    save(tmp_path / "wart/b.png", 1)
    data = open_data(tmp_path).split("all")
    with pytest.raises(InvalidData, match="wart/b.png has label 'wart', expected one of mel, nv"):
        data.truth(SPEC)
    assert open_data(tmp_path, layout="images").split("all").truth(SPEC) == {}


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_table_with_columns_of_its_own(tmp_path: Path, sign: str) -> None:
    table = tmp_path / "labels.csv"
    rows = [
        ["path", "dx", "who"],
        *([f"p/{i}.png", CLASSES[i % 2], f"P{i // 4}"] for i in range(24)),
    ]
    table.write_text("\n".join(sign.join(row) for row in rows), encoding="utf-8")
    for i in range(24):
        save(tmp_path / f"p/{i}.png", i)
    data = open_data(table, label_columns=["dx"], group_column="who")
    assert data.split("all").truth(SPEC)["diagnosis"].tolist() == [0, 1] * 12
    splits: dict[str, set[str]] = {}
    for row in data.splits.rows:
        splits.setdefault(row["who"], set()).add(row["split"])
    assert all(len(where) == 1 for where in splits.values())
    assert "'who', whole in one split" in (data.splits.rule or "")
    by_head = open_data(table, label_columns=["diagnosis=dx"]).split("all")
    assert by_head.truth(SPEC)["diagnosis"].tolist() == [0, 1] * 12
    with pytest.raises(InvalidData, match="has no column 'grade'; it has path, dx, who"):
        open_data(table, label_columns=["grade"])
    with pytest.raises(InvalidData, match="several heads: write --label-column severity=dx"):
        open_data(table, label_columns=["dx"]).split("all").truth(acne_spec())
    with pytest.raises(UnknownName, match="no layout 'heap'"):
        open_data(table, layout="heap")  # type: ignore[arg-type]


def test_names_without_suffix_are_found_below_the_image_folder(tmp_path: Path) -> None:
    save(tmp_path / "photos/part_1/ISIC_7.png", 1)
    (tmp_path / "meta.csv").write_text("image_id,dx\nISIC_7,nv\n")
    data = open_data(tmp_path / "meta.csv", image_dir=tmp_path / "photos").split("all")
    assert data.images[0].name == "part_1/ISIC_7.png"
    assert data.truth(SPEC)["diagnosis"].tolist() == [1]


def test_metadata_beside_images_of_each_split(tmp_path: Path) -> None:
    for split, label in (("train", "mel"), ("test", "nv")):
        save(tmp_path / split / "a.png", 0)
        line = json.dumps({"file_name": "a.png", "diagnosis": label, "boxes": [1, 2]})
        (tmp_path / split / "metadata.jsonl").write_text(line + "\n")
    data = open_data(tmp_path)
    assert data.split("test").truth(SPEC)["diagnosis"].tolist() == [1]
    assert data.split("train").images[0].name == "train/a.png"


def arrow_table(rows: int, first: int = 0) -> pyarrow.Table:
    """Columns and schema as `datasets` writes them."""
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list(CLASSES)},
    }
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    images = [{"bytes": png(first + i), "path": f"{first + i}.png"} for i in range(rows)]
    table = pyarrow.table(
        {"image": pyarrow.array(images, kind), "label": pyarrow.array([i % 2 for i in range(rows)])}
    )
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return table.replace_schema_metadata(metadata)


def save_dataset(folder: Path, table: pyarrow.Table) -> None:
    folder.mkdir(parents=True)
    with pyarrow.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))


def test_a_saved_dataset_with_splits_and_class_names(tmp_path: Path) -> None:
    save_dataset(tmp_path / "train", arrow_table(3))
    save_dataset(tmp_path / "validation", arrow_table(2, first=10))
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation"]}))
    data = open_data(tmp_path)
    assert data.names == ("train", "val")
    val = data.split("val")
    assert val.truth(SPEC)["diagnosis"].tolist() == [0, 1]
    np.testing.assert_array_equal(val.images[1].decode(), picture(11))
    assert val.pixels(SPEC.input).shape == (2, 64, 64, 3)
    assert len(set(val.digests().values())) == 2
    with pytest.raises(InvalidData, match="is no file of its own"):
        assert val.paths


def test_parquet_of_images_is_read_by_groups_of_rows(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = arrow_table(7)
    pyarrow.parquet.write_table(
        table, tmp_path / "data/train-00000-of-00001.parquet", row_group_size=3
    )
    train = open_data(tmp_path).split("train")
    for i, image in enumerate(train.images):
        np.testing.assert_array_equal(image.decode(), picture(i))
    assert train.truth(SPEC)["diagnosis"].tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_parquet_of_paths_is_a_table(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 0)
    table = pyarrow.table({"path": ["a.png"], "grade": ["nv"], "split": ["test"]})
    pyarrow.parquet.write_table(table, tmp_path / "labels.parquet")
    data = open_data(tmp_path / "labels.parquet", label_columns=["grade"])
    assert data.split("test").truth(SPEC)["diagnosis"].tolist() == [1]


def coco(tmp_path: Path, annotations: list[dict[str, object]]) -> Path:
    save(tmp_path / "val2017/a.png", 0)
    save(tmp_path / "val2017/b.png", 1)
    (tmp_path / "annotations").mkdir()
    images = [
        {"id": i, "file_name": f"{name}.png", "height": 70, "width": 60}
        for i, name in enumerate("ab")
    ]
    names = [{"id": 5, "name": "mel"}, {"id": 9, "name": "nv"}]
    document = {"images": images, "annotations": annotations, "categories": names}
    path = tmp_path / "annotations/instances_val2017.json"
    path.write_text(json.dumps(document))
    return tmp_path


SQUARE = [10, 20, 40, 20, 40, 60, 10, 60]  # 30 x 40 pixels


def test_coco_gives_classes_counts_and_masks(tmp_path: Path) -> None:
    runs = {"size": [70, 60], "counts": [70, 70, 70 * 58]}  # the second column
    root = coco(
        tmp_path,
        [
            {"image_id": 0, "category_id": 9, "area": 1200, "segmentation": [SQUARE]},
            {"image_id": 1, "category_id": 5, "area": 70, "segmentation": runs},
            {"image_id": 1, "category_id": 5, "area": 9, "segmentation": []},
            {"image_id": 1, "category_id": 9, "area": 900, "segmentation": []},
        ],
    )
    val = open_data(root).split("val")
    assert val.truth(SPEC)["diagnosis"].tolist() == [1, 0]
    assert [row["count"] for row in val.rows] == ["1", "3"]
    size = {"height": 70, "width": 60, "resize": "squash", "resize_to": None}
    spec = masks_spec("skin", "mel", "nv")
    spec = spec.model_copy(update={"input": spec.input.model_copy(update=size)})
    masks = val.masks(spec)["lesion"]
    inside = np.zeros((70, 60), bool)
    inside[20:60, 10:40] = True
    # The outline itself may be drawn a pixel wide: 30 x 40 pixels have a rim of 142.
    assert np.sum((masks[0] == 2) != inside) <= 142
    assert (masks[0] == 2)[inside].all()
    expected = np.zeros((70, 60), np.int16)
    expected[:, 1] = 1
    np.testing.assert_array_equal(masks[1], expected)
    sigmoid = masks_spec("lesion", activation="sigmoid")
    planes = val.masks(sigmoid)["lesion"]
    assert planes.shape == (2, 64, 64, 1)
    assert set(np.unique(planes)) == {0, 1}
    with pytest.raises(InvalidData, match="category 'nv', which is no label of lesion"):
        val.masks(masks_spec("skin", "mel", "scar"))


def test_packed_runs_are_unpacked() -> None:
    """Packed by the format's own rule: 5 bits a sign, differences from the fourth length on."""
    lengths = [70, 70, 4060, 3, 70, 1000]

    def pack(value: int) -> str:
        signs = ""
        while True:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            signs += chr(48 + (bits | 0x20 if more else bits))
            if not more:
                return signs

    text = "".join(pack(n - (lengths[i - 2] if i > 2 else 0)) for i, n in enumerate(lengths))
    assert _unpacked(text) == lengths


def mask_set(folder: Path, suffix: str) -> NDArray[np.uint8]:
    levels = np.zeros((70, 60), np.uint8)
    levels[10:40, 20:50] = 255
    for split in ("train", "test"):
        save(folder / f"images/{split}/a.png", 3)
        place = folder / f"masks/{split}/a{suffix}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).save(place)
    return levels


@pytest.mark.parametrize("suffix", ["", "_segmentation"])
def test_masks_lie_over_the_input_as_their_images_do(tmp_path: Path, suffix: str) -> None:
    levels = mask_set(tmp_path, suffix)
    data = open_data(tmp_path).split("test")
    spec = masks_spec("skin", "lesion")
    spec = spec.model_copy(
        update={"input": spec.input.model_copy(update={"height": 40, "width": 40, "resize_to": 60})}
    )
    # The shorter edge is 60 already: nothing is scaled, 15 rows and 10 columns go on each side.
    np.testing.assert_array_equal(data.masks(spec)["lesion"][0], levels[15:55, 10:50] == 255)
    box = spec.input.model_copy(
        update={"resize": "letterbox", "resize_to": None, "height": 70, "width": 70}
    )
    boxed = data.masks(spec.model_copy(update={"input": box}))["lesion"][0]
    np.testing.assert_array_equal(boxed[:, 5:65], levels == 255)
    assert (boxed[:, :5] == -1).all()


def test_masks_that_do_not_fit_are_named(tmp_path: Path) -> None:
    mask_set(tmp_path, "")
    path = tmp_path / "masks/test/a.png"
    Image.fromarray(np.full((70, 60), 7, np.uint8)).save(path)
    test = open_data(tmp_path).split("test")
    with pytest.raises(InvalidData, match="images/test/a.png has the level 7; lesion has levels"):
        test.masks(masks_spec("skin", "lesion"))
    Image.fromarray(np.zeros((60, 70), np.uint8)).save(path)
    with pytest.raises(InvalidData, match="is 70 x 60, the image 60 x 70 pixels"):
        test.masks(masks_spec("skin", "lesion"))
    path.unlink()
    with pytest.raises(InvalidData, match="1 of 2 images of .* have no mask"):
        open_data(tmp_path)


def test_one_corrupt_image_is_named_or_skipped(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / f"{i}.png", i)
    (tmp_path / "2.png").write_bytes(png(2)[:200])
    (tmp_path / "4.png").write_text("no image")
    with pytest.raises(InvalidImage, match=r"2 of 6 images .* the first is 2.png: .*--bad-images"):
        load_split(tmp_path, "all")
    data = open_data(tmp_path, bad_images="skip")
    kept = data.split("all")
    assert [row["file"] for row in kept.rows] == ["0.png", "1.png", "3.png", "5.png"]
    assert "left out, for they cannot be read: 2.png, 4.png (2)" in data.remarks
    assert kept.pixels(SPEC.input).shape[0] == 4


def test_header_and_end_are_looked_at_and_pixels_are_not(tmp_path: Path) -> None:
    """Data damaged in the middle pass the first look, and are named by the second."""
    save(tmp_path / "a.png", 0)
    damaged = bytearray(png(0))
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(bytes(damaged))
    data = load_split(tmp_path, "all")
    with pytest.raises(InvalidImage, match=r"a\.png"):
        data.pixels(SPEC.input)
    with pytest.raises(InvalidImage, match="none of the 1 images"):
        open_data(tmp_path, bad_images="skip").split("all")


def test_the_manifest_that_is_written_says_what_is_used(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / f"{CLASSES[i % 2]}/{i}.png", i)
    data = open_data(tmp_path, seed=3)
    assert write_manifest(data, tmp_path / "manifest.csv")
    again = open_data(tmp_path)
    assert again.listing.layout == "table manifest.csv"
    assert [(r["file"], r["split"], r["label"]) for r in again.splits.rows] == [
        (r["file"], r["split"], r["label"]) for r in data.splits.rows
    ]
    assert again.splits.rule is None


def test_the_summary_finds_what_would_make_results_too_good(tmp_path: Path) -> None:
    rows = [("train", "P1", 0), ("train", "P2", 1), ("test", "P2", 2), ("test", "P3", 0)]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "split", "patient", "label"])
        for i, (split, person, seed) in enumerate(rows):
            save(tmp_path / f"{i}.png", seed)
            writer.writerow([f"{i}.png", split, person, CLASSES[i % 2]])
    summary = summarize(open_data(tmp_path))
    assert summary.groups_in_several_splits == ("P2",)
    assert summary.duplicates == (("0.png", "3.png"),)
    assert summary.classes == {"label": {"train": {"mel": 1, "nv": 1}, "test": {"mel": 1, "nv": 1}}}
    assert summary.sizes is not None
    assert summary.sizes.median == 60


def test_the_command_prints_writes_and_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(4):
        save(tmp_path / f"in/{CLASSES[i % 2]}/{i}.png", i)
    out = tmp_path / "manifest.csv"
    assert run(["data", str(tmp_path / "in"), "--out", str(out), "--split-seed", "5"]) == 0
    said = capsys.readouterr()
    assert "a folder a class" in said.out
    assert f"use it as --data {out} --image-dir {tmp_path / 'in'}" in said.err
    again = open_data(out, image_dir=tmp_path / "in")
    assert len(again.split("all")) == 4
    assert run(["data", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert run(["data", str(tmp_path / "in"), "--layout", "heap"]) == 2
    assert "no layout 'heap'" in capsys.readouterr().err


def test_without_pyarrow_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    code = (
        "import sys; sys.modules['pyarrow'] = None; from edgeskin.cli.main import run; "
        f"sys.exit(run(['data', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'edgeskin[data]'" in done.stderr


def test_coco_gives_a_sigmoid_head_every_category_of_an_image(tmp_path: Path) -> None:
    of_images = [(0, 9), (1, 5), (1, 5), (1, 9)]
    root = coco(tmp_path, [{"image_id": i, "category_id": c, "area": 9} for i, c in of_images])
    val = open_data(root).split("val")
    for name in ("signs", "category"):  # whatever the head is called
        head = ClassificationHead(name=name, labels=CLASSES, activation="sigmoid")
        assert val.truth(acne_spec(heads=(head,)))[name].tolist() == [[0, 1], [1, 1]]
    assert val.truth(SPEC)["diagnosis"].tolist() == [1, 0]


def one_hot(folder: Path, *cells: str) -> Path:
    """A table as that of ISIC 2019: a column a label, images by name without suffix."""
    lines = ["image,nv,mel,scar"]
    for i, text in enumerate(cells):
        save(folder / f"ISIC_{i}.png", i)
        lines.append(f"ISIC_{i},{text}")
    table = folder / "truth.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    return table


def test_a_column_of_0_and_1_a_label(tmp_path: Path) -> None:
    data = open_data(one_hot(tmp_path, "1.0,0.0,0.0", "0,1,0", "1,0,0")).split("all")
    assert data.truth(SPEC)["diagnosis"].tolist() == [1, 0, 1]
    assert data.class_names(SPEC) == {"diagnosis": ["nv", "mel", "nv"]}
    assert data.unlabelled(SPEC) is None


def test_columns_of_0_and_1_for_labels_by_themselves(tmp_path: Path) -> None:
    data = open_data(one_hot(tmp_path, "1,1,1", "0,0,1", "0,1,0")).split("all")
    head = ClassificationHead(name="diagnosis", labels=CLASSES, activation="sigmoid")
    truth = data.truth(acne_spec(heads=(head,)))
    assert truth["diagnosis"].tolist() == [[1, 1], [0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        ("1,1,0", r"ISIC_1.png has mel, nv 'mel\|nv', expected one of mel, nv"),
        ("0,0,1", r"ISIC_1.png has mel, nv '', expected one of mel, nv"),
        ("0,maybe,0", r"truth.csv: ISIC_1.png has mel 'maybe', expected 0 or 1"),
    ],
)
def test_columns_of_0_and_1_that_name_no_class(tmp_path: Path, cells: str, line: str) -> None:
    data = open_data(one_hot(tmp_path, "1,0,0", cells)).split("all")
    with pytest.raises(InvalidData, match=line):
        data.truth(SPEC)


def test_columns_that_are_called_like_labels_and_hold_something_else(tmp_path: Path) -> None:
    data = open_data(one_hot(tmp_path, "0.3,0.7,0")).split("all")
    assert data.truth(SPEC) == {}
    assert data.unlabelled(SPEC) is not None
