"""`--by`: the groups of `verify`, `drift` and `pack`, their gate, and what is refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeskin.artifacts import read_manifest
from edgeskin.benchmarks import pack as packs
from edgeskin.cli.main import run
from edgeskin.converters.parity.documents import Verification
from edgeskin.data.manifest import load_split
from edgeskin.data.skin_tone import TONE_NAMES
from edgeskin.subgroups import SMALLEST_GROUP

Refused = Callable[..., str]
ALL = ("--split", "all")


@pytest.fixture
def skin_set(spoiled_set: Path) -> Path:
    """The 48 phantoms with masks of skin in place of those of lesions."""
    for path in (spoiled_set / "masks").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path).convert("L"))).save(path)
    return spoiled_set


def severities(data: Path) -> Counter[str]:
    """Images by severity, all of them."""
    return Counter(row["severity"] for row in load_split(data, "all").rows)


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    """Exit code, JSON document and stderr of a command."""
    capsys.readouterr()
    code = run([*map(str, arguments), "--json"])
    stdout, stderr = capsys.readouterr()
    return code, json.loads(stdout), stderr


@pytest.mark.slow
def test_verify_by_a_column_and_by_skin_tone(
    files: Path, lively_run: Path, skin_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = files / "acne-test-fp32.onnx"
    command = ("verify", artifact, "--reference", lively_run, "--data", skin_set, *ALL)
    groups = ("--by", "severity", "--by", "skin_tone", "--skin-mask", "mask")
    code, document, _ = called(capsys, *command, *groups, "--max-group-gap", "0")
    assert code == 0  # a float file decides as its run does
    severity, tone = (document["subgroups"][by] for by in ("severity", "skin_tone"))
    assert {name: g["images"] for name, g in severity["groups"].items()} == severities(skin_set)
    assert list(tone["groups"]) == list(TONE_NAMES)
    assert sum(group["images"] for group in tone["groups"].values()) == 48
    for group in tone["groups"].values():
        assert group["too_few"] == (group["images"] < SMALLEST_GROUP) == ("metrics" not in group)
    gap = severity["gaps"]["severity_accuracy"]
    assert gap["growth"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert gap["verdict"] == "too few to say"  # no change in a dozen images shows little
    name = f"{document['data']}/all"
    kept = read_manifest(files)[artifact.name].verification[name]
    assert kept["subgroups"]["severity"] == severity
    assert Verification.from_json(kept).subgroups["severity"].worst("count_mae") is not None


@pytest.mark.slow
def test_the_tables_have_the_worst_group_beside_the_mean(
    files: Path, lively_run: Path, phantom_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["verify", str(files / "acne-test-fp32.onnx"), "--reference", str(lively_run)]
    bounds = "count:-1,1000"  # nobody is at or below -1, nor over 1000
    options = ["--data", str(phantom_set), *ALL, "--by", "severity", "--by", bounds]
    assert run([*command, *options]) == 0
    stdout = capsys.readouterr().out
    means = next(x for x in stdout.splitlines() if "severity_accuracy" in x)
    worst = re.findall(r"0\.\d{4}, (\S+) \((\d+)\)", means)
    assert len(worst) == 1
    assert severities(phantom_set)[worst[0][0]] == int(worst[0][1])
    assert means.rstrip().endswith("too few to say")  # one group by count: nothing beside it
    for words in (
        "worst by severity",
        "gap, best to worst",
        f"too few to say, by {bounds}: up to -1 (0), over 1000 (0)",
    ):
        assert words in stdout


@pytest.mark.slow
def test_other_weights_miss_the_gate_by_group(
    files: Path, other_run: Path, phantom_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gap of two unrelated models is of one and the other: what it grew by is its numbers."""
    artifact = files / "acne-test-fp32.onnx"
    command = ("verify", artifact, "--reference", other_run, "--data", phantom_set, *ALL)
    _, document, _ = called(capsys, *command, "--by", "severity")
    gaps = document["subgroups"]["severity"]["gaps"]
    growth = {name: 100 * g["growth"]["value"] for name, g in gaps.items() if g["unit"] == "ratio"}
    largest = max(growth, key=growth.__getitem__)
    limit = growth[largest] - 0.01
    _, document, stderr = called(
        capsys, *command, "--by", "severity", "--max-group-gap", str(limit)
    )
    lines = [line for line in document["missed_gates"] if "by severity: the gap" in line]
    assert any(line.startswith(f"{largest} by severity") for line in lines)
    assert all(f"edgeskin: {line}" in stderr for line in lines)
    above = ("--by", "severity", "--max-group-gap", str(limit + 0.02))
    missed = called(capsys, *command, *above)[1]["missed_gates"]
    assert not any("by severity: the gap" in line for line in missed)


@pytest.mark.slow
def test_drift_gives_the_whole_change_by_group(
    files: Path, lively_run: Path, phantom_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = files / "acne-test-fp32.onnx"
    command = ("drift", artifact, "--reference", lively_run, "--data", phantom_set, *ALL)
    code, document, _ = called(capsys, *command, "--by", "severity", "--max-group-gap", "0.5")
    assert (code, document["missed_gates"]) == (0, [])
    group = document["subgroups"]["severity"]["groups"]["2"]
    assert group["images"] == severities(phantom_set)["2"]
    assert group["metrics"]["severity_accuracy"]["change"]["value"] == 0.0
    code, document, stderr = called(capsys, *command, "--by", "ita_deg:90", "--max-group-gap", "1")
    assert code == 1  # one group: a gate that checks nothing is missed
    (line,) = document["missed_gates"]
    assert line.startswith("the gap between groups by ita_deg:90 was not checked")
    assert stderr.splitlines()[-1] == f"edgeskin: {line}"
    assert run([*map(str, command), "--by", "severity"]) == 0
    stdout = capsys.readouterr().out
    assert "worst by severity" in stdout
    assert "gap, best to worst" in stdout


@pytest.mark.slow
def test_a_pack_keeps_its_groups(tiny_run: Path, skin_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    command = ["pack", str(tiny_run), "--data", str(skin_set), "--out", str(out), "--samples", "8"]
    groups = ["--by", "skin_tone", "--skin-mask", "mask", "--by", "count:5,20,50"]
    assert run([*command, *groups]) == 0
    made = packs.read(out).groups
    assert made["skin_tone"].names == TONE_NAMES
    assert made["count:5,20,50"].names == ("up to 5", "over 5 to 20", "over 20 to 50", "over 50")
    assert "it depends on light and camera" in made["skin_tone"].rule
    assert {len(grouping.labels) for grouping in made.values()} == {8}


@pytest.mark.slow
def test_what_cannot_be_grouped_is_refused(
    files: Path, lively_run: Path, phantom_set: Path, tmp_path: Path, refused: Refused
) -> None:
    artifact = files / "acne-test-fp32.onnx"
    command = ("verify", artifact, "--reference", lively_run, "--data", phantom_set)
    line = refused(*command, "--by", "age")
    assert "has no column 'age' to group by; it has file, " in line
    assert "give --skin-model" in refused(*command, "--by", "skin_tone")
    assert "say which by --by" in refused(*command, "--max-group-gap", "1")
    line = refused(*command, "--by", "skin_tone", "--skin-model", lively_run)
    assert "segments no 'skin': its heads are severity (classification), count (distr" in line
    line = refused(*command, "--by", "skin_tone", "--skin-model", tmp_path / "none")
    assert "none is none of .tflite" in line
    out = ("--out", tmp_path / "pack")
    line = refused("pack", lively_run, "--data", phantom_set, *out, "--by", "tone")
    assert "has no column 'tone'" in line
