"""Bad input: exit code 2, one line that says what, why and what to do, and nothing on disk."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import COMMAND, refusal, the_line
from safetensors.torch import load_file, save_file

from edgeskin.cli.main import run

Refused = Callable[..., str]


@pytest.fixture
def train(spoiled_set: Path, recipe: Path, tmp_path: Path) -> list[object]:
    """A command line that would train, if its data were good."""
    return [
        *("train", "--task", "acne", "--arch", "mobilenet_v3_small", "--recipe", recipe),
        *("--data", spoiled_set, "--out", tmp_path / "new" / "out"),
    ]


@pytest.fixture
def calibrate(lively_run: Path, spoiled_set: Path, tmp_path: Path) -> list[object]:
    """A command line that would calibrate, if its data were good."""
    out = tmp_path / "new" / "p.pt2"
    return ["calibrate", lively_run, "--data", spoiled_set, "--out", out, "--method", "minmax"]


def edit(data: Path, change: Callable[[dict[str, str]], dict[str, str] | None]) -> None:
    """Change every row of a manifest; None drops it."""
    path = data / "manifest.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(change(dict(rows[0])) or rows[0])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(row for row in map(change, rows) if row is not None)


# The command line itself


def test_what_is_no_command_line(refused: Refused) -> None:
    assert refused("frobnicate") == "No such command 'frobnicate'. See --help."
    assert "--jsn" in refused("predict", "a.tflite", "b.png", "--jsn")
    assert refused("predict", "a.tflite") == "Missing argument 'images'. See --help."
    assert "--data" in refused("calibrate", "run", "--out", "p.pt2")
    assert "unable to parse string as an integer. See --help" in refused(
        *("calibrate", "run", "--data", "d", "--out", "p", "--samples", "many")
    )


def test_without_arguments_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    stdout, stderr = capsys.readouterr()
    assert "verify" in stdout
    assert stderr == ""


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback_and_then_the_line(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(tmp_path / "no.onnx"), "face.png"]
    assert run(["--debug", *command] if place == "before" else [*command, "--debug"]) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("Traceback (most recent call last)")
    assert "InvalidArtifact" in stderr
    assert stderr.splitlines()[-1] == f"edgeskin: {tmp_path / 'no.onnx'} is missing"


def test_the_real_command_refuses_as_run_does(refused: Refused, tmp_path: Path) -> None:
    arguments = ["calibrate", tmp_path, "--data", tmp_path, "--out", "p.pt2", "--scheme", "w4"]
    assert refusal(*arguments, cwd=tmp_path) == refused(*arguments)
    assert COMMAND[-1] == "edgeskin.cli.main"


# Names


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--task", "no task 'bogus'; there are acne"),
        ("--arch", "no network 'bogus'; there are acne_fusion"),
    ],
)
def test_unknown_names_in_train(
    option: str, line: str, train: list[object], refused: Refused
) -> None:
    assert line in refused(*train, option, "bogus")


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--scheme", "no scheme 'bogus'; there are w8a8, w8a8_symmetric, w8a16, w8"),
        ("--method", "no calibration method 'bogus'; there are mse, percentile, minmax, nncf"),
    ],
)
def test_unknown_names_in_calibrate(
    option: str, line: str, calibrate: list[object], refused: Refused
) -> None:
    assert refused(*calibrate, option, "bogus") == line


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--target", "no target 'bogus'; there are tflite, coreml, onnx, and all"),
        ("--precision", "no precision 'bogus'; there are fp32, fp16, int8"),
        ("--io", "no io 'bogus'; there are app and tensor"),
    ],
)
@pytest.mark.parametrize("with_data", [False, True])
def test_unknown_names_in_convert(
    option: str, line: str, with_data: bool, lively_run: Path, phantom_set: Path, refused: Refused
) -> None:
    data = ["--data", phantom_set] * with_data
    assert refused("convert", lively_run, "--out", "out", *data, option, "bogus") == line


def test_a_name_is_refused_before_anything_is_calibrated(
    lively_run: Path, phantom_set: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeskin.calibration import from_run

    monkeypatch.setattr(from_run, "load_run", lambda path, trust: pytest.fail("it went to work"))
    convert = ["convert", lively_run, "--out", "o", "--data", phantom_set, "--precision", "all"]
    assert "no target 'bogus'" in refused(*convert, "--target", "bogus")
    Path("o").mkdir()
    Path("o/acne-test-int8.onnx").touch()
    assert "o/acne-test-int8.onnx exists already. Pass --force" in refused(*convert)


def test_unknown_split(
    converted: Path, lively_run: Path, phantom_set: Path, refused: Refused
) -> None:
    artifact = converted / "acne-test-fp32.onnx"
    verify = ["verify", artifact, "--reference", lively_run, "--data", phantom_set]
    line = refused(*verify, "--split", "bogus")
    has = "it has train, val, test"
    assert line == f"{phantom_set / 'manifest.csv'} lists no image with split 'bogus'; {has}"


# Runs


COMMANDS_ON_A_RUN = {
    "calibrate": ["--data", "{data}", "--out", "new.pt2"],
    "convert": ["--out", "new", "--target", "onnx"],
    "predict": ["{image}"],
}


@pytest.fixture(params=COMMANDS_ON_A_RUN)
def on_the_run(
    request: pytest.FixtureRequest, spoiled_run: Path, phantom_set: Path
) -> list[object]:
    """Each command that starts from a run."""
    image = next(phantom_set.rglob("*.png"))
    rest = [a.format(data=phantom_set, image=image) for a in COMMANDS_ON_A_RUN[request.param]]
    return [request.param, spoiled_run, *rest]


def test_a_run_without_weights(
    on_the_run: list[object], spoiled_run: Path, refused: Refused
) -> None:
    (spoiled_run / "weights.safetensors").unlink()
    line = refused(*on_the_run)
    assert line == f"{spoiled_run} has a spec but no weights.safetensors. Train or import it."


def test_weights_that_do_not_fit(
    on_the_run: list[object], spoiled_run: Path, refused: Refused
) -> None:
    weights = spoiled_run / "weights.safetensors"
    bias = "network.heads.0.bias"
    save_file({k: v for k, v in load_file(weights).items() if k != bias}, weights)
    line = refused(*on_the_run)
    assert f"does not fit its network: 1 tensors are missing, the first is {bias}" in line
    os.truncate(weights, 1000)
    assert "weights.safetensors is damaged" in refused(*on_the_run)


def test_a_run_of_a_newer_version(
    on_the_run: list[object], spoiled_run: Path, refused: Refused
) -> None:
    spec = spoiled_run / "spec.json"
    spec.write_text(json.dumps(json.loads(spec.read_text()) | {"version": 2}))
    line = refused(*on_the_run)
    assert "has version 2; this edgeskin reads up to 1. Upgrade edgeskin." in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "spec.json is not JSON"),
        ("[]", "spec.json: document:"),
        ('{"version": 1}', "spec.json: name: Field required (and "),
    ],
)
def test_a_broken_spec(
    text: str, line: str, on_the_run: list[object], spoiled_run: Path, refused: Refused
) -> None:
    (spoiled_run / "spec.json").write_text(text)
    assert line in refused(*on_the_run)


def test_a_reference_that_is_no_run(
    converted: Path, phantom_set: Path, tmp_path: Path, refused: Refused
) -> None:
    artifact = converted / "acne-test-fp32.onnx"
    line = refused("verify", artifact, "--reference", tmp_path, "--data", phantom_set)
    assert line.startswith(f"{tmp_path} is neither a run folder nor a program (.pt2), and")


# Data


@pytest.fixture(params=["train", "calibrate"])
def on_the_set(request: pytest.FixtureRequest) -> list[object]:
    """Each command that reads the train split of `spoiled_set`."""
    arguments: list[object] = request.getfixturevalue(request.param)
    return arguments


NO_ROWS = "one an image, below a line of column names"


def test_zero_images(on_the_set: list[object], spoiled_set: Path, refused: Refused) -> None:
    manifest = spoiled_set / "manifest.csv"
    manifest.write_text(manifest.read_text().splitlines()[0] + "\n")
    assert refused(*on_the_set) == f"{manifest} has no rows: {NO_ROWS}"
    manifest.write_text("")
    assert refused(*on_the_set) == f"{manifest} has no rows: {NO_ROWS}"
    shutil.rmtree(spoiled_set)
    spoiled_set.mkdir()
    assert refused(*on_the_set) == f"{spoiled_set} has no images"
    spoiled_set.rmdir()
    assert refused(*on_the_set) == f"{spoiled_set} is not a folder, and no file"


def test_an_image_that_is_listed_but_missing(
    on_the_set: list[object], spoiled_set: Path, refused: Refused
) -> None:
    with (spoiled_set / "manifest.csv").open() as file:
        name = next(row["file"] for row in csv.DictReader(file) if row["split"] == "train")
    (spoiled_set / name).unlink()
    line = refused(*on_the_set)
    place = f"there is no such file in {spoiled_set}"
    assert line == f"{spoiled_set / 'manifest.csv'} lists {name}, but {place}"


@pytest.mark.parametrize("size", [0, 500])
def test_an_image_that_is_not_whole(
    size: int, on_the_set: list[object], spoiled_set: Path, refused: Refused
) -> None:
    with (spoiled_set / "manifest.csv").open() as file:
        name = next(row["file"] for row in csv.DictReader(file) if row["split"] == "train")
    os.truncate(spoiled_set / name, size)
    assert Path(name).name in refused(*on_the_set)


def test_labels_that_are_missing(train: list[object], spoiled_set: Path, refused: Refused) -> None:
    edit(spoiled_set, lambda row: {k: v for k, v in row.items() if k != "count"})
    assert "manifest.csv has no labels for 'count', which acne trains on" in refused(*train)
    edit(spoiled_set, lambda row: row | {"count": ""})
    assert "has count '', expected a number" in refused(*train)
    edit(spoiled_set, lambda row: {k: row[k] for k in ("file", "split")})
    line = refused(*train)
    assert "has no labels for '" in line
    assert line.endswith("which acne trains on; its columns are file, split")


def test_one_class_only(train: list[object], spoiled_set: Path, refused: Refused) -> None:
    edit(spoiled_set, lambda row: row | {"severity": "mild"})
    assert "one class only, there is nothing to learn" in refused(*train)


def test_test_images_in_the_calibration_set(
    calibrate: list[object], spoiled_set: Path, tmp_path: Path, lively_run: Path, refused: Refused
) -> None:
    with (spoiled_set / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = {s: next(r["file"] for r in rows if r["split"] == s) for s in ("train", "test")}
    shutil.copy(spoiled_set / first["test"], spoiled_set / first["train"])  # under another name
    line = f"1 train images are test images too, the first is {first['train']}"
    assert line in refused(*calibrate)
    convert = ["convert", lively_run, "--precision", "int8", "--out", tmp_path / "new"]
    assert line in refused(*convert, "--data", spoiled_set)


@pytest.mark.parametrize("samples", [1, 0, -3])
def test_calibration_on_too_few_images(
    samples: int, calibrate: list[object], refused: Refused
) -> None:
    line = refused(*calibrate, "--samples", samples)
    assert line == f"cannot calibrate on {samples} images; pass --samples of at least 2"


# Recipes


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("epochs = ", "is not TOML"),
        ("epoch = 3", "recipe: epoch: Extra inputs are not permitted"),
        ("epochs = 0", "recipe: epochs: Input should be greater than or equal to 1"),
        ("learning_rate = 1e38", "recipe: learning_rate: Input should be less than or equal to 10"),
        ("weight_decay = inf", "recipe: weight_decay: Input should be a finite number"),
    ],
)
def test_recipes_that_are_wrong(
    text: str, line: str, train: list[object], recipe: Path, refused: Refused
) -> None:
    recipe.write_text(text)
    assert line in refused(*train)


def test_a_recipe_that_is_no_file(train: list[object], tmp_path: Path, refused: Refused) -> None:
    assert "none.toml is missing" in refused(*train, "--recipe", tmp_path / "none.toml")
    (tmp_path / "folder").mkdir()
    assert "folder: Is a directory" in refused(*train, "--recipe", tmp_path / "folder")


def test_a_bad_line_is_recognised() -> None:
    """The helper that all tests here lean on can fail."""
    with pytest.raises(AssertionError, match="Traceback"):
        the_line("Traceback (most recent call last):\nedgeskin: x")
    assert the_line("reading: 3/8\nedgeskin: x") == "x"
