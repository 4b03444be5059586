"""Pipelines verified and taken apart: by stage, at the end, and what they do not answer."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import refusal
from PIL import Image
from pipeline_networks import (
    COLOURS,
    STEEPNESS,
    areas_spec,
    colours_spec,
    half_red,
    make_areas,
    make_colours,
    painted,
    rules,
    softmax_of,
)

import edgeskin
from edgeskin.artifacts import Metadata
from edgeskin.cli.main import run
from edgeskin.converters.model import Job
from edgeskin.converters.parity.pipeline_documents import PipelineDrift, PipelineVerification
from edgeskin.errors import InvalidArtifact, InvalidData, InvalidRun, ShapeMismatch
from edgeskin.formats import FORMATS
from edgeskin.pipelines.pipeline_folder import make_pipeline

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def narrow(file_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline with a first stage that has drifted: red must be above 0.85, not 0.5."""
    folder = tmp_path_factory.mktemp("narrow")
    network = make_areas()
    with torch.no_grad():
        network.pixels.bias[0] = 0.85 * STEEPNESS
    FORMATS["onnx"].convert(
        Job(network, Metadata(areas_spec(), "app", "fp32")), folder / "areas.onnx"
    )
    stages = {"areas": folder / "areas.onnx", "colours": file_of("colours")}
    return make_pipeline(rules("mask"), stages, folder / "narrow.pipeline").folder


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six test images: two bright red on the left, three half as red again, one dark.

    Their reds are 255 and 204 (0.8): the pipeline sees both, the narrow one the bright ones only.
    """
    folder = tmp_path_factory.mktemp("shades")
    lines = ["file,split,colour"]
    for i, red in enumerate((255, 255, 204, 204, 204, 0)):
        image = half_red()
        image[..., 0] = image[..., 0] // 255 * red
        image[..., 2] = i  # no two are the same
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(f"{i}.png,test,{COLOURS[0]}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("target", FORMATS)
def test_files_agree_with_their_runs_by_stage_and_at_the_end(
    target: str, of_files: Make, of_runs: Path, halves: Path
) -> None:
    report = edgeskin.verify(of_files(target), of_runs, halves)
    assert isinstance(report, PipelineVerification)
    assert report.faults == ()
    assert (report.images, report.looked_at, report.equal_statuses) == (9, 12, 1.0)
    assert report.statuses["artifact"] == {"answered": 9, "no skin found": 3}
    areas, colours = report.stages["areas"], report.stages["colours"]
    assert (areas.images, colours.images) == (12, 9)
    for part in (areas, colours, report):
        assert part.sqnr_db > 90  # float files; Core ML is evaluated in float32 here
        assert set(part.equal_decisions.values()) == {1.0}
    assert report.metrics["colour_accuracy"].change.value == 0.0
    # The end is the last stage on what the reference hands over, where all masks are equal.
    assert report.metrics == colours.metrics
    read = PipelineVerification.from_json(json.dumps(report.to_json()))
    assert read.to_json() == report.to_json()


def test_a_first_stage_that_drifted_shows_at_its_stage_and_at_the_end(
    narrow: Path, of_runs: Path, shades: Path
) -> None:
    report = edgeskin.verify(narrow, of_runs, shades)
    # Of six images, two are answered by both and the dark one by neither.
    assert (report.images, report.looked_at) == (2, 6)
    assert report.statuses == {
        "reference": {"answered": 5, "no skin found": 1},
        "artifact": {"answered": 2, "no skin found": 4},
    }
    assert report.equal_statuses == pytest.approx(3 / 6)
    # Half of the pixels of three of six images are called otherwise.
    assert report.stages["areas"].equal_decisions["area"] == pytest.approx(1 - 3 / 6 / 2)
    assert report.stages["colours"].sqnr_db > 90  # is not at fault
    assert report.stages["colours"].images == 5
    # The network's column 23 mixes 7 parts of red with 1 of black: skin at 0.875 to both. Towards
    # column 24 the drifted one's skin falls from sigmoid(20 * 0.025) = 0.62 to 0, and is below
    # one half from a fifth of a column on: 47 of the image's columns are kept, not 48.
    reference, artifact = (softmax_of([n / 96, 0.4 * (96 - n) / 96, 0.0]) for n in (48, 47))
    noise = np.sum((reference - artifact) ** 2)
    assert report.sqnr_db == pytest.approx(
        10 * math.log10(np.sum(reference**2) / noise),
        abs=0.5,  # blue is up to 1 / 255, not 0
    )
    assert len(report.faults) == 1
    assert report.faults[0].startswith("stage 'areas': SQNR is ")


def test_an_artifact_that_answers_nothing_fails(
    narrow: Path, of_runs: Path, shades: Path, tmp_path: Path
) -> None:
    data = tmp_path / "pale"
    shutil.copytree(shades, data)
    rows = (shades / "manifest.csv").read_text().splitlines()
    (data / "manifest.csv").write_text("\n".join([rows[0], *rows[3:6]]) + "\n")
    report = edgeskin.verify(narrow, of_runs, data)
    assert (report.images, report.metrics) == (0, {})
    assert math.isnan(report.sqnr_db)
    assert "no image is answered by both: the artifact says 0 answered, 3 no skin found" in (
        report.faults
    )
    with pytest.raises(InvalidData, match="answers none of the images that the trained"):
        edgeskin.drift(narrow, of_runs, data)


def test_drift_is_taken_apart_by_stage(of_files: Make, of_runs: Path, halves: Path) -> None:
    report = edgeskin.drift(of_files("onnx"), of_runs, halves)
    assert isinstance(report, PipelineDrift)
    assert [stage.stage for stage in report.stages] == [
        "trained",
        "areas converted",
        "colours converted",
    ]
    assert (report.images, report.looked_at) == (9, 12)
    for metric in report.metrics.values():
        changes = [step.change.value for step in metric.steps]
        assert len(changes) == 2
        assert metric.start + sum(changes) == pytest.approx(metric.end)
        assert metric.total.value == pytest.approx(sum(changes))


def test_the_step_that_changes_the_answer_is_the_one_whose_stage_did(
    of_runs: Path, file_of: Make, tmp_path: Path
) -> None:
    """Only the first stage differs, so that the second step changes nothing.

    Left of the middle red is 1.0, right of it 0.8: the run keeps both, the artifact the left
    half, and fills the other with green of 0.4, which lowers the red. Theory, by softmax: red
    stays ahead, so that accuracy is kept, and the last stage's probabilities move.
    """
    network = make_areas()
    with torch.no_grad():
        network.pixels.bias[0] = 0.9 * STEEPNESS
    FORMATS["onnx"].convert(
        Job(network, Metadata(areas_spec(), "app", "fp32")), tmp_path / "areas.onnx"
    )
    stages = {"areas": tmp_path / "areas.onnx", "colours": file_of("colours")}
    made = make_pipeline(rules("mask"), stages, tmp_path / "p.pipeline").folder
    data = tmp_path / "data"
    data.mkdir()
    image = half_red()
    image[:, 48:, 0] = 204
    Image.fromarray(image).save(data / "a.png")
    (data / "manifest.csv").write_text("file,split,colour\na.png,test,red\n")
    report = edgeskin.drift(made, of_runs, data)
    before, after = softmax_of([0.9, 0.0, 0.0]), softmax_of([0.5, 0.2, 0.0])
    power, noise = np.sum(before**2), np.sum((before - after) ** 2)
    assert report.stages[1].sqnr_db == pytest.approx(10 * math.log10(power / noise), abs=0.01)
    assert report.stages[2].sqnr_db > 90


def test_the_commands_print_gates_and_documents(
    of_files: Make,
    of_runs: Path,
    narrow: Path,
    halves: Path,
    shades: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["verify", str(of_files("onnx")), "--reference", str(of_runs), "--data", str(halves)]
    assert run([*words, "--min-sqnr-db", "60", "--max-drop", "0.5"]) == 0
    text = capsys.readouterr().out
    assert "stage 'areas', by itself" in text
    assert "12 images by status" in text
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["stages"]) == ["areas", "colours"]
    assert document["missed_gates"] == []
    assert run(["drift", *words[1:]]) == 0
    assert "colours converted" in capsys.readouterr().out
    words = ["verify", str(narrow), "--reference", str(of_runs), "--data", str(shades)]
    assert run(words) == 1
    assert "edgeskin: stage 'areas': SQNR is" in capsys.readouterr().err


@pytest.fixture(scope="module")
def greener(file_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline with a last stage that has drifted: green counts for 1.2 of itself."""
    folder = tmp_path_factory.mktemp("greener")
    network = make_colours()
    with torch.no_grad():
        network.pixels.weight[1] *= 1.2
    FORMATS["onnx"].convert(
        Job(network, Metadata(colours_spec(), "app", "fp32")), folder / "colours.onnx"
    )
    stages = {"areas": file_of("areas"), "colours": folder / "colours.onnx"}
    return make_pipeline(rules("mask"), stages, folder / "greener.pipeline").folder


@pytest.fixture(scope="module")
def lights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 plain red halves and 12 warm ones, all of label red, and 3 plain images without skin.

    A masked picture is 0.5 red; with the fill, plain ones are 0.2 green and warm ones 0.47,
    which 1.2 times is more than their red.
    """
    folder = tmp_path_factory.mktemp("lights")
    lines = ["file,split,colour,light"]
    for i in range(27):
        light = ("plain", "warm")[i % 2] if i < 24 else "plain"
        image = half_red() if i < 24 else painted(64, 96)
        image[..., 1] = image[..., 0] // 255 * 140 * (light == "warm")
        image[..., 2] = i  # no two are the same
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(f"{i}.png,test,red,{light}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_groups_are_of_the_end_in_verify_and_in_drift(
    greener: Path,
    of_runs: Path,
    run_of: Make,
    lights: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Plain pictures stay red and warm ones become green: one group loses all, the other nothing.

    Red alone has an ITA of 3 degrees, (255, 140, 0) of 15: brown and tan, so that the tones are
    the same two groups.
    """
    words = [str(greener), "--reference", str(of_runs), "--data", str(lights), "--json"]
    words += ["--by", "light", "--by", "skin_tone", "--skin-model", str(run_of("areas"))]
    documents = {}
    for command in ("verify", "drift"):
        assert run([command, *words, "--max-group-gap", "5"]) == 1
        stdout, stderr = capsys.readouterr()
        documents[command] = json.loads(stdout)
        assert "colour_accuracy by light: the gap between groups grew by 100.00 points" in stderr
        assert "colour_accuracy by skin_tone: the gap between groups grew by 100.00" in stderr
    parts = documents["drift"]["subgroups"]
    assert parts == documents["verify"]["subgroups"]
    for by, held, lost in (("light", "plain", "warm"), ("skin_tone", "brown", "tan")):
        groups = parts[by]["groups"]
        assert (groups[held]["images"], groups[lost]["images"]) == (12, 12)  # answered by both
        changes = [groups[name]["metrics"]["colour_accuracy"]["change"] for name in (held, lost)]
        assert [change["value"] for change in changes] == [0.0, -1.0]
        assert parts[by]["gaps"]["colour_accuracy"]["verdict"] == "grew"
    assert run(["drift", *words[:5], "--by", "light"]) == 0
    assert "worst by light" in capsys.readouterr().out


def test_a_group_that_is_answered_less_often_misses_the_gate(
    narrow: Path, of_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve bright reds, which both see, and twelve of 0.8, which the narrow pipeline does not."""
    lines = ["file,split,colour,light"]
    for i in range(24):
        image, light = half_red(), ("bright", "dim")[i % 2]
        image[..., 0] = image[..., 0] // 255 * (255 if light == "bright" else 204)
        image[..., 2] = i  # no two are the same
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,test,{COLOURS[0]},{light}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    words = ["--reference", str(of_runs), "--data", str(tmp_path), "--by", "light"]
    for command in ("verify", "drift"):
        assert run([command, str(narrow), *words, "--max-group-gap", "5", "--json"]) == 1
        stdout, stderr = capsys.readouterr()
        assert "answered by light: the gap between groups grew by 100.00 points" in stderr
        assert "worst is 'dim' (12 images), 1.0000 to 0.0000" in stderr
        answered = json.loads(stdout)["answered"]["light"]
        changes = [answered["groups"][g]["metrics"]["answered"] for g in ("bright", "dim")]
        assert [change["candidate"] for change in changes] == [1.0, 0.0]


def test_groups_of_nothing_miss_their_gate(
    narrow: Path, of_runs: Path, shades: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--reference", str(of_runs), "--data", str(shades), "--by", "colour"]
    for command in ("verify", "drift"):
        assert run([command, str(narrow), *words, "--max-group-gap", "5"]) == 1
        assert "the gap between groups by colour was not checked" in capsys.readouterr().err
        line = refusal(command, narrow, *words[:4], "--by", "age")
        assert "has no column 'age' to group by" in line


def refusals(of_files: Path, of_runs: Path, data: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    reference = ("--reference", of_runs, "--data", data)
    yield "layers are of one stage", ("verify", of_files, *reference, "--layers")
    yield "is a run, which is a reference", ("verify", of_runs, *reference)
    files = ("--reference", of_files / "areas.onnx", "--data", data)
    yield "areas.onnx is no pipeline: pipeline.json is missing", ("verify", of_files, *files)
    yield "are of one stage", ("drift", of_files, *reference, "--preprocess", "pillow")
    files = ("--reference", of_files, "--data", data)
    yield "is a model file: pass the run", ("drift", of_files, *files)


def test_what_does_not_go_together_is_refused(of_files: Make, of_runs: Path, halves: Path) -> None:
    for line, words in refusals(of_files("onnx"), of_runs, halves):
        assert line in refusal(*words)


def test_other_pipelines_and_other_weights_are_refused(
    of_files: Make, run_of: Make, narrow: Path, halves: Path, tmp_path: Path
) -> None:
    stages = {name: run_of(name) for name in ("areas", "colours")}
    other = make_pipeline(rules("mask", min_share=0.3), stages, tmp_path / "a.pipeline").folder
    with pytest.raises(ShapeMismatch, match=r"min_share is 0.3 in the reference, 0.2 in the art"):
        edgeskin.verify(of_files("onnx"), other, halves)
    stages["areas"] = run_of("areas64")
    other = make_pipeline(rules("mask"), stages, tmp_path / "b.pipeline").folder
    with pytest.raises(ShapeMismatch, match="stage 'areas': .*preprocess differently"):
        edgeskin.verify(of_files("onnx"), other, halves)
    with pytest.raises(InvalidArtifact, match="its reference is the folder"):
        edgeskin.verify(of_files("onnx"), edgeskin.load_run(run_of("areas")), halves)
    [made] = edgeskin.convert(run_of("areas"), tmp_path, target="onnx")
    twin = save_other(tmp_path / "twin")
    stages = {"areas": made.path, "colours": of_files("onnx") / "colours.onnx"}
    files = make_pipeline(rules("mask"), stages, tmp_path / "files.pipeline").folder
    reference = make_pipeline(
        rules("mask"), {"areas": twin, "colours": run_of("colours")}, tmp_path / "c.pipeline"
    ).folder
    with pytest.raises(InvalidRun, match="areas.onnx: it was made from the weights"):
        edgeskin.drift(files, reference, halves)


def save_other(folder: Path) -> Path:
    """The first stage with other weights, as a run."""
    from edgeskin.models.exported import ExportedNetwork, load_graph, save_graph
    from edgeskin.models.run import save_run

    network = make_areas()
    with torch.no_grad():
        network.pixels.bias[0] += 1.0
    spec = areas_spec()
    save_run(
        folder, spec, ExportedNetwork(load_graph(save_graph(network, torch.zeros(1, 3, 32, 48))))
    )
    return folder


def test_a_reference_without_an_answer_is_one_line(
    of_files: Make, of_runs: Path, tmp_path: Path
) -> None:
    Image.fromarray(painted(64, 96)).save(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text("file,split\na.png,test\n")
    words = (of_files("onnx"), "--reference", of_runs, "--data", tmp_path)
    for command in ("verify", "drift"):
        assert "answers none of the 1 images" in refusal(command, *words)
