"""Model cards: of files, whatever they were made from, and of pipelines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_networks import rules

import edgeskin
from edgeskin.artifacts import read_manifest
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.cli.main import run
from edgeskin.converters.options import ConversionOptions
from edgeskin.pipelines.pipeline_folder import make_pipeline

pytestmark = pytest.mark.slow
Make = Callable[..., Path]
ACCURACY = {"unit": "ratio", "value": 0.75, "low": 0.5, "high": 0.9}
FIGURES = "| colour_accuracy | 0.7500 | 0.5000 to 0.9000 | ratio |"
UNTIMED = ConversionOptions(timing=False)


def with_figures(source: Path, folder: Path, started_from: str = "random weights") -> Path:
    """A run as training leaves it: with `metrics.json`."""
    run_folder = Path(shutil.copytree(source, folder))
    record = {"recipe": {}, "started_from": started_from, "val": None}
    record |= {"test": {"images": 12, "colour_accuracy": ACCURACY}}
    (run_folder / "metrics.json").write_text(json.dumps(record))
    return run_folder


def verify(*words: object) -> None:
    assert run(["verify", *map(str, words)]) == 0


def test_a_card_has_what_training_and_verification_gave(
    run_of: Make, halves: Path, tmp_path: Path
) -> None:
    trained, out = with_figures(run_of("colours"), tmp_path / "run"), tmp_path / "files"
    [made] = edgeskin.convert(trained, out, target="onnx")
    card = out / "colours.card.md"
    before = card.read_text()
    for words in ("| started from | random weights |", FIGURES, "12 images", "Not verified"):
        assert words in before
    verify(made.path, "--reference", trained, "--data", halves, "--by", "colour")
    after = card.read_text()
    assert FIGURES in after
    assert "### colours-fp32.onnx on set/test" in after
    assert "| colour_accuracy | " in after.partition("### colours-fp32")[2]
    assert "By colour: too few images in two groups to say." in after  # 12 images
    assert "Not verified" not in after


def test_the_card_of_an_imported_run_is_kept_up_too(
    run_of: Make, halves: Path, tmp_path: Path
) -> None:
    [made] = edgeskin.convert(run_of("colours"), tmp_path, target="onnx")
    card = tmp_path / "colours.card.md"
    assert "None are known here" in card.read_text()
    verify(made.path, "--reference", run_of("colours"), "--data", halves)
    assert "### colours-fp32.onnx on set/test" in card.read_text()


def test_a_program_brings_the_figures_of_its_run(
    run_of: Make, halves: Path, tmp_path: Path
) -> None:
    trained = with_figures(run_of("colours"), tmp_path / "run")
    program, out = tmp_path / "colours.pt2", tmp_path / "files"
    edgeskin.calibrate(trained, halves, program, CalibrationOptions(samples=12, method="minmax"))
    [made] = edgeskin.convert(program, out, target="onnx", options=UNTIMED)
    card = out / "colours.card.md"
    assert FIGURES in card.read_text()
    calibrated = (
        "edgeskin calibrate RUN --data DATA --out colours.pt2 --scheme w8a8 --method minmax"
    )
    assert f"{calibrated} --samples 12\n" in card.read_text()
    verify(made.path, "--reference", program, "--data", halves)
    assert FIGURES in card.read_text()
    assert "### colours-int8.onnx on set/test" in card.read_text()


def test_figures_of_two_trainings_are_told_apart(run_of: Make, tmp_path: Path) -> None:
    for precision, began in (("fp32", "random weights"), ("fp16", "ImageNet")):
        trained = with_figures(run_of("colours"), tmp_path / began, began)
        edgeskin.convert(trained, tmp_path / "out", target="onnx", precision=precision)
    card = (tmp_path / "out" / "colours.card.md").read_text()
    assert "| started from | ImageNet; random weights |" in card
    assert "Of the float network of colours-fp16.onnx on 12 images" in card


def test_what_a_person_wrote_does_not_break_a_table(run_of: Make, tmp_path: Path) -> None:
    source = Path(shutil.copytree(run_of("colours"), tmp_path / "run"))
    document = json.loads((source / "spec.json").read_text())
    (source / "spec.json").write_text(json.dumps(document | {"training_data": "a|b\nc"}))
    edgeskin.convert(source, tmp_path / "out", target="onnx")
    assert "| training data | a\\|b c |" in (tmp_path / "out" / "colours.card.md").read_text()


def test_a_pipeline_has_one_card_of_both_stages_and_the_end(
    run_of: Make, halves: Path, tmp_path: Path
) -> None:
    runs = {
        "areas": run_of("areas"),
        "colours": with_figures(run_of("colours"), tmp_path / "colours"),
    }
    reference = make_pipeline(rules("mask"), runs, tmp_path / "runs.pipeline").folder
    stages = {
        name: edgeskin.convert(source, tmp_path / "files", target="onnx")[0].path
        for name, source in runs.items()
    }
    folder = make_pipeline(rules("mask"), stages, tmp_path / "files.pipeline").folder
    card = folder / "red-only.card.md"
    before = card.read_text()
    for words in (
        "# red-only\nTests.",
        "painted over in RGB (0, 102, 0) where `areas` does not see skin (head `area`)",
        "Of the image's pixels 20 % must be kept.",
        "Where less is kept, its `status` is `no skin found`, and there are no heads.",
        "- `colour`: probabilities of one of red, green, blue",
        "| licence | CC0-1.0 |",
        "## Stage `areas`: areas",
        "## Stage `colours`: colours",
        FIGURES,
        "Not verified yet: `edgeskin verify files.pipeline --reference RUNS.pipeline",
    ):
        assert words in before
    of_runs = (reference / "red-only.card.md").read_text()
    assert FIGURES in of_runs
    assert "this is the float reference" in of_runs
    data = ("--data", halves, "--split", "all", "--by", "colour")
    verify(folder, "--reference", reference, *data)
    end, _, of_stages = card.read_text().partition("## Stage ")
    assert "### At the end on set/all" in end
    assert "on the 21 of 28 images that both answer (reference 21 answered, 7 no skin found" in end
    assert "By colour: too few images in two groups to say." in end  # 7 red ones
    assert "The share of images that each answers, by colour:\n\n| colour | images |" in end
    for name in ("areas.onnx", "colours.onnx"):
        assert f"### {name} on set/all" in of_stages
    assert "Not verified" not in card.read_text()
    assert edgeskin.card(folder) == card.read_text()
    entry = read_manifest(folder)["pipeline.json"]
    assert entry.verification["set/all"]["looked_at"] == 28
    # A stage verified by itself, where it lies, is in the pipeline's card too.
    verify(folder / "areas.onnx", "--reference", runs["areas"], "--data", halves)
    assert "### areas.onnx on set/test" in card.read_text()
    assert not (folder / "areas.card.md").exists()


def test_a_card_of_crops_says_their_rule(run_of: Make, tmp_path: Path) -> None:
    """And a pipeline of files that no manifest names has a card as well."""
    stages = {"areas": run_of("areas64"), "colours": run_of("colours")}
    folder = make_pipeline(rules("crop"), stages, tmp_path / "crops.pipeline").folder
    card = (folder / "blue-crops.card.md").read_text()
    for words in (
        "Of a square, `areas` calls more than 80 % skin (head `area`) or lesion (head `area`)",
        "and more than 10 % lesion (head `area`)",
        "Sides of 50 % of the shorter edge are tried",
        "Where there is no such square, its `status` is `no usable crop`",
    ):
        assert words in card


def test_files_without_a_manifest_have_a_card_in_their_pipeline(of_files: Make) -> None:
    card = (of_files("tflite") / "red-only.card.md").read_text()
    assert "| areas.tflite | fp32 |" in card
    assert "None are known here" in card
