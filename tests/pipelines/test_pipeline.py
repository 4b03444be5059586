"""Pipelines made, read, refused and asked for predictions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import refusal
from PIL import Image
from pipeline_networks import (
    BLUE,
    COLOURS,
    RED,
    areas_spec,
    best_squares,
    half_red,
    make_areas,
    painted,
    rules,
    softmax_of,
)

import edgeskin
from edgeskin.cli.main import run
from edgeskin.errors import CannotWrite, InvalidArtifact, InvalidSpec, UnknownName
from edgeskin.files import sha256
from edgeskin.formats import FORMATS
from edgeskin.models.run import save_run
from edgeskin.pipelines.pipeline_folder import (
    built_in_rules,
    make_pipeline,
    read_pipeline,
    read_rules,
)
from edgeskin.pipelines.pipeline_predictor import PipelinePrediction, PipelinePredictor
from edgeskin.spec import SegmentationHead

Make = Callable[..., Path]
MASKED = (np.array(RED) + np.array([0, 102, 0])) / 2 / 255
"""The mean colour of an image whose left half is red, the other filled."""


@pytest.fixture
def spoiled(of_files: Make, tmp_path: Path) -> Path:
    return Path(shutil.copytree(of_files("onnx"), tmp_path / "p.pipeline"))


def probabilities(prediction) -> list[float]:
    return list(prediction["colour"].probabilities.values())


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("io", ["app", "tensor"])
def test_files_of_every_format_answer_as_theory_says(target: str, io: str, of_files: Make) -> None:
    with edgeskin.load(of_files(target, io)) as model:
        assert isinstance(model, PipelinePredictor)
        seen, dark = model.predict([half_red(), painted(64, 96)])
    # Squashing 64 x 96 to 40 x 40 keeps the mean: half of the columns are red, and the edge
    # between the colours falls between two pixels. float16 products of Core ML: 3 digits.
    expected = softmax_of(MASKED)
    assert probabilities(seen) == pytest.approx(expected, abs=1e-3 if target == "coreml" else 1e-5)
    assert seen["colour"].label == COLOURS[0]
    assert (seen.answered, seen.seen.kept_share) == (True, 0.5)
    assert seen.first["area"].area_fraction == {"other": 0.5, "skin": 0.5, "lesion": 0.0}
    assert (dark.answered, dark.status, len(dark)) == (False, "no skin found", 0)
    assert dark.to_json()["heads"] == {}


def test_a_pipeline_of_runs_is_its_float_reference(of_runs: Path) -> None:
    with edgeskin.load(str(of_runs)) as model:
        prediction = model.predict(half_red())
        alone = model.run(np.zeros((40, 40, 3), np.uint8))
    assert probabilities(prediction) == pytest.approx(softmax_of(MASKED), abs=1e-5)
    np.testing.assert_allclose(alone["colour"], 1 / 3, atol=1e-6)  # the last stage by itself


def test_crops_are_classified_one_by_one_and_averaged(run_of: Make, tmp_path: Path) -> None:
    out = tmp_path / "crops.pipeline"
    join = rules("crop")
    stages = {"areas": run_of("areas64"), "colours": run_of("colours")}
    edgeskin.make_pipeline(join, stages, out)
    image = painted(64, 64, (np.s_[:], np.s_[:], RED), (np.s_[4:20], np.s_[6:20], BLUE))
    image[36:56, 30:60] = BLUE
    red, blue = ((image == colour).all(2) for colour in (RED, BLUE))
    places = best_squares(red, blue, 32, 8, join.join.model_dump())
    assert len(places) == 4  # so that there is something to average
    pictures = [image[y : y + 32, x : x + 32] / 255 for x, y in places]
    expected = np.mean([softmax_of(picture.mean((0, 1))) for picture in pictures], axis=0)
    with edgeskin.load(out) as model:
        prediction = model.predict(image)
        nothing = model.predict(half_red(64, 64))
    assert isinstance(prediction, PipelinePrediction)
    # 32 x 32 to 40 x 40 by a bilinear filter, whose weights differ a little from pixel to pixel.
    assert probabilities(prediction) == pytest.approx(expected, abs=0.02)
    assert [(c.left, c.top) for c in prediction.seen.crops] == places
    assert nothing.status == "no usable crop"


def test_what_is_made_is_read_back(of_files: Make, file_of: Make) -> None:
    pipeline = read_pipeline(of_files("onnx"))
    assert pipeline.spec.join == rules("mask").join
    assert pipeline.names == ("areas", "colours")
    assert pipeline.spec.license == "CC0-1.0"
    for stage, path in zip(pipeline.spec.stages, pipeline.paths, strict=True):
        assert stage.sha256 == sha256(path) == sha256(file_of(stage.name))


def test_a_manifest_goes_along(run_of: Make, tmp_path: Path) -> None:
    [made] = edgeskin.convert(run_of("areas"), tmp_path / "files", target="onnx")
    [other] = edgeskin.convert(run_of("colours"), tmp_path / "files", target="onnx")
    stages = {"areas": made.path, "colours": other.path}
    out = tmp_path / "p.pipeline"
    edgeskin.make_pipeline(rules("mask"), stages, out)
    entries = json.loads((out / "manifest.json").read_text())["artifacts"]
    assert entries["areas.onnx"]["sha256"] == sha256(made.path)
    assert entries["areas.onnx"]["source"]["kind"] == "run"


def test_built_in_rules_are_whole() -> None:
    assert sorted(built_in_rules()) == ["acne_presence", "lesion_crops"]
    assert read_rules("acne_presence").join.kind == "mask"
    crops = read_rules("lesion_crops").join
    assert (crops.kind, crops.min_skin, crops.min_lesion) == ("crop", 0.8, 0.1)  # as published


def test_the_command_makes_one_and_predicts(
    file_of: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "rules.toml"
    toml.write_text(
        'name = "mine"\ntask = "t"\nstages = ["areas", "colours"]\nintended_use = "Tests."\n'
        '[join]\nkind = "mask"\nkeep = { labels = ["skin"] }\nfill = [0, 102, 0]\n'
        'min_share = 0\notherwise = "nothing to see"\n'
    )
    stages = [f"--stage={name}={file_of(name)}" for name in ("colours", "areas")]
    out = tmp_path / "mine.pipeline"
    assert run(["pipeline", str(toml), *stages, "--out", str(out)]) == 0
    assert "areas.onnx" in capsys.readouterr().out
    for name, image in (("face", half_red()), ("wall", painted(64, 96))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    assert run(["predict", str(out), str(tmp_path / "face.png"), str(tmp_path / "wall.png")]) == 0
    face, wall = capsys.readouterr().out.splitlines()
    assert face.endswith("colour red (0.70); 50.0 % of the image kept")
    assert wall.endswith("nothing to see; 0.0 % of the image kept")
    assert run(["predict", str(out), str(tmp_path / "wall.png"), "--json"]) == 0
    [document] = json.loads(capsys.readouterr().out).values()
    assert document == {
        "status": "nothing to see",
        "kept_share": 0.0,
        "first": {"area": {"area_fraction": {"other": 1.0, "skin": 0.0, "lesion": 0.0}}},
        "heads": {},
    }


def test_stages_that_do_not_fit_are_refused(run_of: Make, tmp_path: Path) -> None:
    areas, colours = run_of("areas"), run_of("colours")
    out = tmp_path / "p.pipeline"
    for stages, changes, line in (
        ({"areas": colours, "colours": areas}, {}, "'areas', has no segmentation head .* swapped"),
        ({"areas": areas}, {}, "stage 'colours' is missing; red-only joins areas, colours"),
        ({"areas": areas, "colours": colours, "x": areas}, {}, "no stage 'x'"),
        ({"areas": areas, "colours": tmp_path / "none"}, {}, "none is missing"),
        ({"areas": areas, "colours": colours}, {"keep": {"labels": ["hair"]}}, "label 'hair'"),
        (
            {"areas": areas, "colours": colours},
            {"keep": {"head": "x", "labels": ["skin"]}},
            "no segmentation head 'x'",
        ),
    ):
        with pytest.raises((InvalidSpec, UnknownName, InvalidArtifact), match=line):
            make_pipeline(rules("mask", **changes), stages, out)
        assert not out.exists()
    with pytest.raises(InvalidSpec, match="'area', which cannot be averaged over crops"):
        make_pipeline(rules("crop"), {"areas": areas, "colours": areas}, out)


def test_a_mask_needs_a_softmax(run_of: Make, tmp_path: Path) -> None:
    head = SegmentationHead(name="area", labels=("skin", "x", "y"), activation="sigmoid")
    save_run(tmp_path / "run", areas_spec(heads=(head,)), make_areas())
    stages = {"areas": tmp_path / "run", "colours": run_of("colours")}
    with pytest.raises(InvalidSpec, match="3 labels and sigmoid: a mask is drawn from a softmax"):
        make_pipeline(rules("mask"), stages, tmp_path / "p.pipeline")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"min_share": 1.5}, "join.mask.min_share: Input should be less than or equal to 1"),
        ({"fill": [0, 256, 0]}, "fill.1"),
        ({"threshold": 0.5}, "threshold: Extra inputs are not permitted"),
        ({"otherwise": "answered"}, "must say why there is no answer"),
    ],
)
def test_rules_that_do_not_hold_are_refused(changes: dict[str, object], line: str) -> None:
    with pytest.raises(InvalidSpec, match=line):
        rules("mask", **changes)


def test_sides_are_shares_or_pixels() -> None:
    with pytest.raises(InvalidSpec, match="give one of the two"):
        rules("crop", sides=[10])
    with pytest.raises(InvalidSpec, match="give one of the two"):
        rules("crop", side_shares=[])


def test_a_damaged_pipeline_is_one_line_and_exit_code_2(spoiled: Path, tmp_path: Path) -> None:
    image = tmp_path / "face.png"
    Image.fromarray(half_red()).save(image)
    document = spoiled / "pipeline.json"
    whole = document.read_text()

    def line() -> str:
        return refusal("predict", spoiled, image)

    document.write_text(whole[:-20])
    assert "pipeline.json is not JSON" in line()
    document.write_text(whole.replace('"version":', '"versions":').replace(": 1,", ": 2,"))
    assert "versions: Extra inputs are not permitted" in line()
    document.write_text(whole.replace("areas.onnx", "../areas.onnx"))
    assert "stages.0.file" in line()
    document.write_text(whole)
    with (spoiled / "areas.onnx").open("ab") as file:
        file.write(b"x")
    assert "areas.onnx is not the stage that was put in: sha256" in line()
    (spoiled / "areas.onnx").unlink()
    assert "lacks its stage 'areas': areas.onnx is missing" in line()
    document.unlink()
    assert "is no pipeline: pipeline.json is missing" in line()


def test_an_output_is_not_overwritten(run_of: Make, spoiled: Path) -> None:
    stages = [f"--stage={name}={run_of(name)}" for name in ("areas", "colours")]
    line = refusal("pipeline", "acne_presence", *stages, "--out", spoiled)
    assert "has no stage 'areas'" in line
    stages = {name: run_of(name) for name in ("areas", "colours")}
    with pytest.raises(CannotWrite, match="exists already"):
        make_pipeline(rules("mask"), stages, spoiled)
    assert read_pipeline(spoiled).paths[0].suffix == ".onnx"  # as it was
    assert make_pipeline(rules("mask"), stages, spoiled, force=True).paths[0].name == "areas"
