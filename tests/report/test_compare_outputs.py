"""The command, and what it writes: Markdown for a pull request, JUnit, SARIF."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from commands import the_line
from made_results import make_pack, make_result
from markdown_it import MarkdownIt

from edgeskin.benchmarks.report.gate.release_gates import RULES
from edgeskin.benchmarks.report.junit import Case, junit_xml
from edgeskin.cli.main import run

HOSTILE = "x|<img src=a onerror=b>`@octocat`\n**[go](https://example.com)** \x1b[31m-int8.tflite"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pack`, `old`, and `new`, which is slower, larger and wrong more often."""
    folder = tmp_path_factory.mktemp("made")
    pack = make_pack(folder / "pack")
    make_result(folder / "old", pack, seed=1)
    make_result(folder / "new", pack, seed=2, run_ms=11.0, flips=16, size=4_400_000)
    make_result(folder / "old", pack, file="gone-fp32.tflite")
    return folder


def renamed(path: Path, name: str, device: str) -> None:
    """The result, of a file and on a device that are called otherwise."""
    document = json.loads(path.read_text())
    document["artifact"]["name"], document["device"]["name"] = name, device
    path.write_text(json.dumps(document))


GATES = ("--max-slowdown", "5%", "--max-drop", "0.5", "--max-growth", "20%")


def test_a_missed_gate_ends_with_1_and_its_lines(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, pack = (str(made / name) for name in ("old", "new", "pack"))
    files = [str(tmp_path / name) for name in ("c.md", "c.xml", "c.sarif")]
    options = ["--markdown", files[0], "--junit", files[1], "--sarif", files[2], "--json"]
    assert run(["compare", old, new, "--pack", pack, *GATES, *options]) == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert (document["version"], document["verdict"]) == (1, "missed")
    lines = said.err.splitlines()
    slower = "edgeskin: missed: skin-int8.tflite on host, xnnpack: p50_ms worse by 10.00%"
    assert any(line.startswith(slower) for line in lines)
    assert any(line.startswith("edgeskin: unsure: gone-fp32.tflite on host: ") for line in lines)
    assert all(Path(file).is_file() for file in files)

    assert run(["compare", old, new, "--junit", files[1]]) == 2
    assert "exists already. Pass --force" in the_line(capsys.readouterr().err)
    assert run(["compare", old, new, "--max-slowdown", "fast"]) == 2
    assert the_line(capsys.readouterr().err).startswith("--max-slowdown 'fast': write a number")
    assert run(["compare", old, str(tmp_path / "none")]) == 2
    assert "cannot be read" in the_line(capsys.readouterr().err)


def test_without_gates_it_is_a_table(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(made / "old"), str(made / "new")]) == 0
    out = capsys.readouterr().out
    assert re.search(r"p50_ms +10\.000 ms +11\.000 ms +\+10\.00% +\[.+\] +< 0\.001", out)
    assert re.search(r"size_mb +4\.00 MB +4\.40 MB +\+10\.00% +exact", out)
    assert re.search(r"severity_accuracy +0\.9000 +0\.8600 +-4\.00 points +\[.+\] unpaired", out)
    assert "without a partner, nothing new is skin tflite fp32 on host (xnnpack)" in out
    assert out.rstrip().endswith("no gates were set")


@pytest.fixture(scope="module")
def written(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three files of a comparison with the pack."""
    folder = tmp_path_factory.mktemp("written")
    options = [f"--{kind}={folder / f'c.{kind}'}" for kind in ("markdown", "junit", "sarif")]
    sides = [str(made / name) for name in ("old", "new")]
    run(["compare", *sides, "--pack", str(made / "pack"), *GATES, *options])
    return folder


def test_the_comment_begins_with_the_verdict_and_folds_what_did_not_change(written: Path) -> None:
    text = (written / "c.markdown").read_text()
    assert text.startswith("## edgeskin: Missed")
    shown, _, folded = text.partition("<details>")
    assert "| `p50_ms` | 10.000 ms | 11.000 ms | +10.00% |" in shown
    assert "missed, 0.5 allowed" in shown
    assert "load" not in shown  # one value, and the same
    assert "`load_ms`" in folded
    assert "corrected for" in folded
    assert folded.rstrip().endswith("</details>")


def test_junit_has_a_case_a_gate(written: Path) -> None:
    suite = ElementTree.parse(written / "c.junit").getroot()[0]
    cases = {(c.get("classname"), c.get("name")): c for c in suite}
    of = "skin-int8.tflite on host, xnnpack"
    assert cases[of, "max_slowdown: p50_ms"].find("failure") is not None
    assert cases[of, "max_growth: size_mb"].find("system-out") is not None
    assert cases["gone-fp32.tflite on host", "no_partner"].find("skipped") is not None
    counts = [sum(c.find(tag) is not None for c in suite) for tag in ("failure", "skipped")]
    assert [suite.get("tests"), suite.get("failures"), suite.get("skipped")] == [
        str(n) for n in (len(suite), *counts)
    ]


def test_junit_holds_what_xml_cannot() -> None:
    text = junit_xml("a<b", [Case("\x00", "g", failure="\x1b]<&\ud800\nline", output="]]>")])
    case = ElementTree.fromstring(text)[0][0]
    assert case.get("name") == "\\x00"
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "\\x1b]<&\\ud800\nline"
    assert case.findtext("system-out") == "]]>"


_TEXT = {
    "type": "object", "required": ["text"], "additionalProperties": False,
    "properties": {"text": {"type": "string"}},
}  # fmt: skip
_NAME = {"type": "string", "minLength": 1}
# What SARIF 2.1.0 says of the properties that we write (its sections 3.13, 3.14, 3.18, 3.19, 3.27,
# 3.29, 3.4), and no others; the whole schema of OASIS takes the same files.
SARIF: dict[str, Any] = {
    "type": "object", "required": ["version", "runs"], "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"}, "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "items": {
            "type": "object", "required": ["tool"], "additionalProperties": False,
            "properties": {
                "tool": {"type": "object", "required": ["driver"], "properties": {"driver": {
                    "type": "object", "required": ["name"], "additionalProperties": False,
                    "properties": {
                        "name": _NAME, "version": _NAME,
                        "rules": {"type": "array", "uniqueItems": True, "items": {
                            "type": "object", "required": ["id"], "additionalProperties": False,
                            "properties": {"id": _NAME, "shortDescription": _TEXT},
                        }},
                    },
                }}},
                "automationDetails": {"type": "object", "properties": {"id": _NAME}},
                "results": {"type": "array", "items": {
                    "type": "object", "required": ["message"], "additionalProperties": False,
                    "properties": {
                        "ruleId": {"enum": list(RULES)},
                        "ruleIndex": {"type": "integer", "minimum": 0},
                        "level": {"enum": ["none", "note", "warning", "error"]},
                        "message": _TEXT,
                        "locations": {"type": "array", "minItems": 1, "items": {
                            "type": "object", "additionalProperties": False,
                            "properties": {"physicalLocation": {
                                "type": "object", "required": ["artifactLocation"],
                                "properties": {"artifactLocation": {
                                    "type": "object", "required": ["uri"],
                                    "properties": {"uri": {
                                        "type": "string", "pattern": "^[A-Za-z0-9%._~/+-]+$",
                                    }},
                                }},
                            }},
                        }},
                        "partialFingerprints": {
                            "type": "object", "additionalProperties": {"type": "string"},
                        },
                    },
                }},
            },
        }},
    },
}  # fmt: skip


def test_sarif_has_a_rule_a_gate_and_a_result_a_miss(written: Path) -> None:
    document = json.loads((written / "c.sarif").read_text())
    jsonschema.validate(document, SARIF)
    (one,) = document["runs"]
    rules = [rule["id"] for rule in one["tool"]["driver"]["rules"]]
    found = [(r["ruleId"], r["level"]) for r in one["results"]]
    assert found == [
        *[("max_drop", "error")] * 2,  # accuracy and balanced accuracy
        *[("max_slowdown", "error")] * 2,  # p50 and p90
        ("no_partner", "note"),
    ]
    for result in one["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
    prints = [r["partialFingerprints"]["edgeskinGate/v1"] for r in one["results"]]
    assert len(set(prints)) == len(prints)


def test_sarif_points_to_files_as_the_repository_has_them(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    target = tmp_path / "c.sarif"
    run(["compare", "old", "new", "--max-slowdown", "5%", "--sarif", str(target)])
    results = json.loads(target.read_text())["runs"][0]["results"]
    places = [r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results]
    assert places[0] == "new/host--skin-int8.tflite.json"
    assert places[-1] == "new"  # of what is not there


def test_hostile_names_stay_names(
    tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("old", "new"):
        folder = tmp_path / side
        folder.mkdir()
        source = made / side / "host--skin-int8.tflite.json"
        path = folder / "host--x.json"
        path.write_bytes(source.read_bytes())
        path.with_suffix(".npz").write_bytes(source.with_suffix(".npz").read_bytes())
        renamed(path, HOSTILE, "adb:<script>@all")
    outputs = [f"--{kind}={tmp_path / f'c.{kind}'}" for kind in ("markdown", "junit", "sarif")]
    sides = [str(tmp_path / side) for side in ("old", "new")]
    assert run(["compare", *sides, *GATES, *outputs]) == 1
    said = capsys.readouterr()
    assert "\x1b[31m" not in said.out + said.err
    text = (tmp_path / "c.markdown").read_text()
    for piece in ("<img", "<script", "@", "**x", "](", "https:"):
        assert piece not in text.replace("**<code>", "").replace("</code>**", "")
    page = MarkdownIt("commonmark").enable("table").render(text)
    assert set(re.findall(r"<(\w+)", page)) <= {
        "h2", "p", "strong", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td",
        "details", "summary",
    }  # fmt: skip
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    assert {len(re.findall("<t[hd]", row)) for row in rows} == {7}  # no name ended a cell
    document = json.loads((tmp_path / "c.sarif").read_text())
    jsonschema.validate(document, SARIF)
    assert "](" not in document["runs"][0]["results"][0]["message"]["text"]
    names = [c.get("classname") or "" for c in ElementTree.parse(tmp_path / "c.junit").iter()]
    assert any("<img src=a onerror=b>" in name for name in names)


def test_nothing_is_left_of_a_file_that_cannot_be_written(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of three files fails while it is written: it is not there, and no part of it."""

    def fails(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgeskin.benchmarks.report.gate.sarif.sarif", fails)
    options = ["--markdown", str(tmp_path / "c.md"), "--sarif", str(tmp_path / "c.sarif")]
    assert run(["compare", str(made / "old"), str(made / "new"), *options]) == 2
    assert list(tmp_path.iterdir()) == []  # every text is made before the first is written
