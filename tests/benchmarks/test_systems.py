"""The systems' rows and pages; what they measure is measured by hand, on sets nobody ships."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.classification import MulticlassF1Score

from edgeskin.benchmarks.systems import measure, sets
from edgeskin.benchmarks.systems.__main__ import main
from edgeskin.benchmarks.systems.page import OVERVIEW, filled, json_path
from edgeskin.benchmarks.systems.rows import PAIRS, ROWS, Row, limit_of
from edgeskin.benchmarks.systems.systems_documents import (
    FileRow,
    StageTimes,
    SystemRecord,
    SystemsResult,
)
from edgeskin.benchmarks.systems.systems_overview import overview
from edgeskin.benchmarks.systems.systems_tables import f1_of, losses, markdown
from edgeskin.benchmarks.systems.two_stages import best_file
from edgeskin.calibration.record import AccuracyControl, PartSensitivity
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidData
from edgeskin.estimate import Estimate
from edgeskin.evaluation import MetricChange
from edgeskin.metrics import per_class
from edgeskin.pipelines.pipeline_folder import read_rules
from edgeskin.tasks.published import PUBLISHED, Published
from edgeskin.training.cross_validation import CrossValidation
from edgeskin.training.recipe import Recipe, find_recipe
from edgeskin.training.train import TrainingRecord, recipe_for

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_pages_show_what_is_in_the_json() -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    for path in (DOCS / "systems").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert filled(text, path.stem, result) == text, path.name


@pytest.mark.parametrize("task", sorted(PUBLISHED))
def test_the_figures_of_others_stand_on_one_page_each(task: str) -> None:
    of_rows = (p for p in (DOCS / "systems").glob("*.md") if p.stem != OVERVIEW)
    pages = [path.read_text(encoding="utf-8") for path in of_rows]
    for row in PUBLISHED[task]:
        (page,) = [page for page in pages if f"| {row.network} " in page]
        assert all(text in page for _, text in row.figures())
        assert row.doi is None or f"https://doi.org/{row.doi}" in page


def test_a_range_that_was_reported_is_shown_as_one() -> None:
    row = Published("net", {"accuracy": (0.5, 0.75), "F1": 0.5}, "photos")
    assert list(row.figures()) == [("accuracy", "0.5 to 0.75"), ("F1", "0.5")]


def set_of_test(row: Row) -> str:
    """The set whose test split a row is measured on."""
    return {"lesions": "lesion_classification"}.get(row.data, row.data)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_has_a_recipe_a_page_and_rows_that_it_needs(name: str) -> None:
    row = ROWS[name]
    recipe = Recipe.load(find_recipe(row.recipe))
    assert (DOCS / "systems" / f"{row.page}.md").is_file()
    assert row.behind is None or row.behind in ROWS
    assert row.beside is None or (set_of_test(row), row.page) == (
        set_of_test(ROWS[row.beside]),
        ROWS[row.beside].page,
    )
    assert recipe.task in (DOCS / "systems" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_a_pipeline_joins_two_rows_by_rules_that_there_are(name: str) -> None:
    pair = PAIRS[name]
    assert {pair.first, pair.last, pair.whole} <= ROWS.keys()
    assert len(read_rules(pair.rules).stages) == 2


@pytest.mark.parametrize(("value", "beyond"), [(-0.0051, 1), (-0.0049, 0), (0.3, 0)])
def test_a_loss_beyond_its_limit_is_a_line(value: float, beyond: int) -> None:
    change = MetricChange(
        unit="ratio",
        higher_is_better=True,
        reference=0.9,
        candidate=0.9 + value,
        change=Estimate(value=value, low=value, high=value),
    )
    file = FileRow(
        name="a.onnx", target="onnx", kind="fp16", size_bytes=1, sqnr_db=40.0, equal_decisions={},
        metrics={"label_accuracy": change, "label_f1": change},
    )  # fmt: skip
    assert len(list(losses(file.title, file.metrics))) == beyond
    assert file.title == "ONNX fp16"
    assert limit_of("label_f1") is None


def test_f1_of_a_class_is_that_of_its_counts() -> None:
    truth, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    table = per_class(truth, predicted, 4)
    scores = [f1_of(*pair) for pair in zip(table["precision"], table["SE"], strict=True)]
    ours = MulticlassF1Score(3, average=None)(torch.tensor(predicted), torch.tensor(truth))
    assert scores[:3] == pytest.approx(ours.tolist())
    assert np.isnan(scores[3])  # of which there is no image


def test_the_worst_group_stands_with_its_value() -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    (row,) = (row for row in result.rows if row.name == "age_transfer")
    (file,) = (file for file in row.files if file.title == "ONNX fp16")
    worst, group = file.groups["skin_tone"].worst("age_mae")
    text = filled((DOCS / "systems" / "perceived-age.md").read_text("utf-8"), row.page, result)
    (line,) = (line for line in text.splitlines() if "ONNX fp16 " in line and worst in line)
    assert f"| {group.metrics['age_mae'].candidate:.4f} " in line


def line_of(row: SystemRecord, metric: str) -> str:
    """Of the table of systems."""
    text = overview(SystemsResult(tools={}, rows=(row,)))
    table, _, _ = text.partition("### Every network")
    (line,) = (line for line in table.splitlines() if f"| {metric} " in line)
    return line


def test_a_system_stands_beside_what_others_published_of_the_same_metric() -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    (row,) = (row for row in result.rows if row.name == "ultrasound")
    (others,) = PUBLISHED["ultrasound_grading"]
    assert f"{others.network} {others.metrics['accuracy']} " in line_of(row, "label_accuracy")
    balanced = line_of(row, "label_balanced_accuracy")  # which nobody published
    assert others.network not in balanced
    found = row.trained.test.metrics["label_balanced_accuracy"]
    assert f"| {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] " in balanced


@pytest.mark.parametrize("lost", [0.25, float("nan")])
def test_of_the_formats_the_one_that_loses_most_stands_in_the_table(lost: float) -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    (row,) = (row for row in result.rows if row.name == "ultrasound")
    files = list(row.files)
    place = next(i for i, file in enumerate(files) if file.title == "ONNX fp16")
    change = files[place].metrics["label_accuracy"]
    worse = change.model_copy(
        update={
            "candidate": change.reference - lost,
            "change": Estimate(value=-lost, low=-lost, high=-lost),
        }
    )
    metrics = files[place].metrics | {"label_accuracy": worse}
    files[place] = files[place].model_copy(update={"metrics": metrics})
    line = line_of(row.model_copy(update={"files": tuple(files)}), "label_accuracy")
    assert f"{-100 * lost:+.2f} " in line


def test_a_pipeline_shows_its_times_by_stage_where_there_are_any() -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    pair = result.pipelines[0]
    row = next(row for row in result.rows if row.page == pair.page)
    plain = tuple(file.model_copy(update={"times": None}) for file in pair.files)
    assert "join, p50 ms" not in markdown([row], [pair.model_copy(update={"files": plain})])
    times = StageTimes(
        stages_p50_ms={"areas": 55.04, "lesion": 15.5}, join_p50_ms=7.26, whole_p50_ms=91.0
    )
    timed = (plain[0].model_copy(update={"times": times}), *plain[1:])
    text = markdown([row], [pair.model_copy(update={"files": timed})])
    assert "| areas 55.0, lesion 15.5 | 7.3 " in text
    assert "| 91.0 " in text


def test_rows_are_shown_beside_the_one_that_they_are_compared_with() -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    (row,) = (row for row in result.rows if row.name == "acne_128_l2")
    assert row.beside == "acne_128"
    (base,) = (other for other in result.rows if other.name == row.beside)
    for name, change in row.changes.items():
        assert change.reference == pytest.approx(base.trained.test.metrics[name].value)
        assert change.candidate == pytest.approx(row.trained.test.metrics[name].value)
    text = filled((DOCS / "systems" / "acne.md").read_text("utf-8"), "acne", result)
    mae = row.changes["count_mae"].change
    assert "Change from `acne_128` on the same test images:" in text
    assert f"{mae.value:+.2f} [{mae.low:+.2f}, {mae.high:+.2f}]" in text


def test_what_a_pipeline_of_files_loses_beyond_its_limits_is_said() -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    (pair,) = (pair for pair in result.pipelines if pair.name == "lesion_crops")
    file = next(file for file in pair.files if file.title == "ONNX INT8 QAT, INT8 PTQ")
    change = file.metrics["label_accuracy"]
    for value, words in ((-0.0051, "ONNX INT8 QAT, INT8 PTQ loses"), (-0.0049, "nothing.")):
        lost = change.model_copy(update={"candidate": change.reference + value})
        lossy = file.model_copy(update={"metrics": {"label_accuracy": lost}})
        shown = pair.model_copy(update={"files": (lossy,)})
        text = filled(
            (DOCS / "systems" / "skin-lesions.md").read_text("utf-8"),
            "skin-lesions",
            result.model_copy(update={"pipelines": (shown,)}),
        )
        assert f"beside the float pipeline. Beyond the limits: {words}" in text


def test_a_stage_is_the_file_trained_for_int8_where_that_was_better(tmp_path: Path) -> None:
    assert best_file(tmp_path, "int8", "onnx") is None
    for kind in ("fp16", "ptq", "qat"):
        (tmp_path / f"files-{kind}").mkdir()
        file = tmp_path / f"files-{kind}" / "net.onnx"
        file.touch()
        precision = "fp16" if kind == "fp16" else "int8"
        assert best_file(tmp_path, precision, "onnx") == (kind, file)
    assert best_file(tmp_path, "int8", "tflite") is None
    assert best_file(tmp_path, "fp32", "onnx") is None


def test_a_pipeline_of_another_training_than_its_rows_says_so() -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    (pair,) = (pair for pair in result.pipelines if pair.name == "lesion_crops")
    (row,) = (row for row in result.rows if row.name == "lesion_classes")
    row = row.model_copy(update={"weights": "ab12"})
    for weights, said in (("ab12", False), ("cd34", True)):
        measured = pair.model_copy(update={"stages": {"lesion_classes": weights}})
        text = markdown([row], [measured])
        assert ("another training of lesion_classes than that below" in text) == said


def test_parts_in_float_are_a_line_of_their_row() -> None:
    result = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes()))
    row = next(row for row in result.rows if row.name == "ultrasound")
    parts = tuple(
        PartSensitivity(part=name, alone_db=db, multiply_adds=0.1, weights=0.02, kept=db < 35)
        for name, db in (("stem", 28.4), ("blocks.0", 31.0), ("head", 45.5))
    )
    control = AccuracyControl(
        images=46, split="train", min_sqnr_db=32, int8_sqnr_db=26.5, sqnr_db=32.8, metrics={},
        parts=parts,
    )  # fmt: skip
    controlled = row.model_copy(update={"accuracy_control": control})
    shown = result.model_copy(update={"rows": (controlled,)})
    text = filled((DOCS / "systems" / "ultrasound.md").read_text("utf-8"), "ultrasound", shown)
    assert "`blocks.0` (31.0 dB alone in INT8); 20.0% of the multiply-adds, 4.0% of" in text
    assert "26.5 to 32.8 dB" in text
    assert SystemsResult.from_json(shown.to_json()).rows == shown.rows


@pytest.mark.parametrize(("seconds", "all_of_them"), [((60.0, 90.0), 150.0), ((60.0, None), None)])
def test_the_time_of_folds_is_that_of_all(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: tuple[float | None, ...],
    all_of_them: float | None,
) -> None:
    found = SystemsResult.from_json(json.loads(json_path(DOCS).read_bytes())).rows[0].trained.test
    recipe = recipe_for("acne_128")
    folds = tuple(
        TrainingRecord(
            edgeskin_version="0", recipe=recipe, train_images=9, seconds=part, test=found
        )
        for part in seconds
    )
    of_folds = CrossValidation(data="set", recipe=recipe, folds=folds, spread={}, pooled=found)
    monkeypatch.setattr(measure, "cross_validate", lambda *_, **__: of_folds)
    (tmp_path / "acne_severity").mkdir()
    (tmp_path / "acne_severity" / "manifest.csv").touch()
    row, workspace = ROWS["acne_128_folds"], measure.Workspace(tmp_path, tmp_path / "rows")
    made = measure.trained(row, workspace)
    assert (made.seconds, made.test) == (all_of_them, found)
    assert measure.trained(row, workspace) == made  # read back


def test_what_a_row_is_measured_with_is_trained_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    monkeypatch.setattr(measure, "trained", lambda row, _: names.append(row.name))
    with pytest.raises(InvalidData, match="has no set 'acne_severity'"):
        measure.measure(ROWS["acne_128_vit"], measure.Workspace(tmp_path, tmp_path / "rows"))
    assert names == ["acne_128_vit", "acne_128", "face_skin"]


def test_pictures_behind_a_mask_are_in_the_groups_of_the_images_under_it(tmp_path: Path) -> None:
    workspace = measure.Workspace(tmp_path, tmp_path)
    row = dataclasses.replace(ROWS["presence_skin"], data="photos", by=("tone",))
    photos, pictures = tmp_path / "photos", tmp_path / "pictures"
    for folder, header, rows in (
        (
            photos,
            "file,split,affected,tone",
            ["a.png,test,affected,tan", "b.png,test,affected,dark"],
        ),
        (pictures, "file,split,affected,tone,picture_of", ["1.png,test,affected,light,b.png"]),
    ):
        folder.mkdir()
        (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
        for line in rows:
            Image.new("RGB", (2, 2)).save(folder / line.split(",")[0])
    (grouping,) = measure.groups_of(row, load_split(pictures, "test"), workspace).values()
    assert grouping.labels == ("dark",)


@pytest.mark.slow
def test_a_composite_has_its_lesion_where_the_mask_says(tmp_path: Path) -> None:
    folder = tmp_path / "lesion_segmentation"
    folder.mkdir()
    y, x = np.mgrid[:224, :224]
    mask = np.hypot(x - 112, y - 112) < 40
    image = np.where(mask[..., None], (90, 40, 30), (225, 180, 160)).astype(np.uint8)
    Image.fromarray(image).save(folder / "a.png")
    Image.fromarray(mask).save(folder / "m.png")
    (folder / "manifest.csv").write_text(
        "file,mask,split,label,lesion_id,license\na.png,m.png,train,nv,L1,CC0\n"
    )
    pixels, levels, row = next(sets.composites(tmp_path))
    assert (row["label"], row["kind"], row["group"]) == ("nv", "composite", "L1")
    assert set(np.unique(levels)) == {sets.OTHER, sets.SKIN, sets.LESION}
    dark = [pixels[levels == level].mean() for level in (sets.SKIN, sets.LESION)]
    assert dark[1] < dark[0] - 20


def test_more_lesions_are_those_to_train_on_that_nobody_has_seen(tmp_path: Path) -> None:
    held = {
        "lesion_classification": [("a", "train", "L1"), ("b", "test", "L2")],
        "lesion_segmentation": [
            ("a", "train", "L1"),  # the same image
            ("c", "train", "L2"),  # another of a lesion that is tested on
            ("d", "train", "L3"),
            ("e", "test", "L4"),
        ],
    }
    for name, rows in held.items():
        folder = tmp_path / name
        folder.mkdir()
        masked = name == "lesion_segmentation"
        head = "file,split,label,lesion_id,license" + masked * ",mask"
        lines = [
            f"{f}.jpg,{split},nv,{lesion},CC0" + masked * ",m.png" for f, split, lesion in rows
        ]
        (folder / "manifest.csv").write_text("\n".join([head, *lines]) + "\n")
        for file, _, _ in rows:
            (folder / f"{file}.jpg").write_text(file)
    out = sets.made("lesions", tmp_path, tmp_path / "out")
    with (out / "manifest.csv").open(newline="") as file:
        made = list(csv.DictReader(file))
    assert [(out / row["file"]).read_text() for row in made] == ["a", "b", "d"]
    assert [(row["split"], row["group"]) for row in made] == [
        ("train", "L1"),
        ("test", "L2"),
        ("train", "L3"),
    ]
    assert not any(row.get("mask") for row in made)


def test_a_set_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="has no set 'moles'"):
        sets.made("moles", tmp_path, tmp_path)


@pytest.mark.parametrize("name", sets.SETS)
def test_a_set_made_of_sets_that_are_nowhere_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--sets", name])
    assert (code, capsys.readouterr().err.count("\n")) == (2, 1)
    assert not any((tmp_path / "out").rglob("*.csv"))


def test_a_set_with_an_image_that_is_not_there_is_not_half_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acne_severity").mkdir()
    (tmp_path / "acne_severity" / "manifest.csv").write_text("file,severity\nnone.png,0\n")
    out = tmp_path / "out"
    code = main(["--data", str(tmp_path), "--out", str(out), "--sets", "grades"])
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1)
    assert "none.png" in error
    assert not (out / "sets" / "grades").exists()
