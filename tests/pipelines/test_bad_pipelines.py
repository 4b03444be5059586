"""Bad input to pipelines: one clear line, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from pipeline_networks import areas_spec, half_red, make_areas, painted, rules

import edgeskin
from edgeskin.artifacts import Metadata
from edgeskin.cli.main import run
from edgeskin.converters.model import Job
from edgeskin.formats import FORMATS
from edgeskin.pipelines.pipeline_folder import make_pipeline

pytestmark = pytest.mark.slow
Make = Callable[..., Path]
Refused = Callable[..., str]
RULES = (
    'name = "mine"\ntask = "t"\nstages = ["areas", "colours"]\nintended_use = "Tests."\n[join]\n'
    'kind = "mask"\nkeep = { head = "HEAD", labels = ["skin"] }\nfill = [0, 102, 0]\n'
    'min_share = 0.2\notherwise = "no skin found"\n'
)


@pytest.fixture
def mask_rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES.replace("HEAD", "area"))
    return path


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images, train and test, in which nothing is skin."""
    folder = tmp_path_factory.mktemp("dark")
    lines = ["file,split,colour"]
    for i in range(24):
        image = painted(64, 96)
        image[..., 1] = i  # no two are the same
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{'test' if i % 2 else 'train'},red")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_an_empty_folder(
    refused: Refused,
    of_files: Make,
    of_runs: Path,
    halves: Path,
    run_of: Make,
    mask_rules: Path,
    tmp_path: Path,
) -> None:
    image, empty = tmp_path / "face.png", tmp_path / "empty.pipeline"
    Image.fromarray(half_red()).save(image)
    empty.mkdir()
    files, out = of_files("onnx"), tmp_path / "out.pipeline"
    missing = "empty.pipeline is no pipeline: pipeline.json is missing"
    data = ("--data", halves)
    for words in (
        ("predict", empty, image),
        ("verify", empty, "--reference", of_runs, *data),
        ("verify", files, "--reference", empty, *data),
        ("drift", files, "--reference", empty, *data),
        ("convert", empty, "--out", out),
        ("pack", empty, *data, "--out", out),
        ("stage-data", empty, *data, "--out", out),
    ):
        assert missing in refused(*words), words
    stages = (f"--stage=areas={empty}", f"--stage=colours={run_of('colours')}")
    assert "is no artifact and no run" in refused("pipeline", mask_rules, *stages, "--out", out)
    for words in (
        ("verify", files, "--reference", of_runs),
        ("drift", files, "--reference", of_runs),
        ("convert", of_runs, "--precision", "int8", "--out", out),
        ("pack", of_runs, "--out", out),
        ("stage-data", of_runs, "--out", out),
    ):
        assert "has no images" in refused(*words, "--data", empty), words


def cut(path: Path) -> None:
    """The first half of a file; of a folder, of its largest file."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    largest = max(files, key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


@pytest.mark.parametrize("target", [*FORMATS, "run"])
def test_a_truncated_stage_in_a_pipeline(
    refused: Refused, target: str, of_files: Make, of_runs: Path, halves: Path, tmp_path: Path
) -> None:
    whole = of_runs if target == "run" else of_files(target)
    broken = Path(shutil.copytree(whole, tmp_path / "p.pipeline"))
    [last] = [path for path in broken.iterdir() if path.stem == "colours"]
    cut(last)
    out = tmp_path / "out"
    image = tmp_path / "face.png"
    Image.fromarray(half_red()).save(image)
    line = f"{last.name} is not the stage that was put in: sha256"
    reference = of_runs if target != "run" else broken
    files = broken if target != "run" else of_files("onnx")
    for words in (
        ("predict", broken, image),
        ("verify", files, "--reference", reference, "--data", halves),
        ("drift", files, "--reference", reference, "--data", halves),
        ("stage-data", broken, "--data", halves, "--out", out),
        ("convert", broken, "--out", out),
        ("pack", broken, "--data", halves, "--out", out),
    ):
        assert line in refused(*words), words


@pytest.mark.parametrize("target", [*FORMATS, "run"])
def test_a_truncated_file_becomes_no_stage(
    refused: Refused, target: str, file_of: Make, run_of: Make, mask_rules: Path, tmp_path: Path
) -> None:
    whole = run_of("colours") if target == "run" else file_of("colours", target)
    broken, out = tmp_path / whole.name, tmp_path / "p.pipeline"
    (shutil.copytree if whole.is_dir() else shutil.copyfile)(whole, broken)
    cut(broken)
    stages = (f"--stage=areas={run_of('areas')}", f"--stage=colours={broken}")
    assert broken.name in refused("pipeline", mask_rules, *stages, "--out", out)


def test_a_join_that_names_no_head(
    refused: Refused,
    of_files: Make,
    of_runs: Path,
    run_of: Make,
    halves: Path,
    mask_rules: Path,
    tmp_path: Path,
) -> None:
    mask_rules.write_text(RULES.replace("HEAD", "face"))
    line, out = "the first stage, 'areas', has no segmentation head 'face'; it has area", "out"
    stages = [f"--stage={name}={run_of(name)}" for name in ("areas", "colours")]
    assert line in refused("pipeline", mask_rules, *stages, "--out", "out.pipeline")
    words = ("stage-data", run_of("areas"), "--rules", mask_rules, "--data", halves, "--out", out)
    assert line in refused(*words)
    broken = Path(shutil.copytree(of_files("onnx"), tmp_path / "p.pipeline"))
    document = json.loads((broken / "pipeline.json").read_text())
    document["join"]["keep"]["head"] = "face"
    (broken / "pipeline.json").write_text(json.dumps(document))
    image = tmp_path / "face.png"
    Image.fromarray(half_red()).save(image)
    for words in (
        ("predict", broken, image),
        ("verify", broken, "--reference", of_runs, "--data", halves),
        ("stage-data", broken, "--data", halves, "--out", out),
    ):
        assert f"pipeline.json: {line}" in refused(*words), words


def test_no_skin_in_any_image(
    refused: Refused,
    of_files: Make,
    of_runs: Path,
    dark: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files, out = of_files("onnx"), tmp_path / "out"
    for words in (
        ("verify", files, "--reference", of_runs, "--data", dark),
        ("drift", files, "--reference", of_runs, "--data", dark),
        ("pack", of_runs, "--data", dark, "--out", out),
    ):
        line = refused(*words)
        assert "answers none of the 12 images of" in line, words
        assert "'no skin found'" in line
    for words in (
        ("stage-data", of_runs, "--data", dark, "--out", out),
        ("convert", of_runs, "--precision", "int8", "--data", dark, "--out", out),
    ):
        line = refused(*words)
        assert "nothing is to be seen in any of the 24 images of" in line, words
    assert run(["predict", str(files), *map(str, sorted(dark.glob("*.png")))]) == 0
    assert capsys.readouterr().out.count("no skin found; 0.0 % of the image kept") == 24


def test_a_first_stage_that_finds_no_skin_in_a_pack(
    refused: Refused, of_runs: Path, file_of: Make, halves: Path, tmp_path: Path
) -> None:
    """The pack has answers and the device has none: one line, and no result, whole or in parts."""
    network = make_areas()
    with torch.no_grad():
        network.pixels.bias[0] = 1000.0  # all is "other"
    FORMATS["onnx"].convert(
        Job(network, Metadata(areas_spec(), "app", "fp32")), tmp_path / "areas.onnx"
    )
    stages = {"areas": tmp_path / "areas.onnx", "colours": file_of("colours")}
    made = make_pipeline(rules("mask"), stages, tmp_path / "p.pipeline").folder
    pack, out = edgeskin.pack(of_runs, halves, tmp_path / "pack").folder, tmp_path / "out"
    line = refused("bench", made, "--pack", pack, "--out", out, "--protocol", "none")
    assert "answers none of the images that the float pipeline answers" in line
    assert "'no skin found'" in line
