"""The page and what is written beside it: whole, escaped, asking nothing of any host."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import xml.etree.ElementTree as Xml
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_results import make_latency, make_pack, make_result
from markdown_it import MarkdownIt

import edgeskin
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import PROTOCOLS
from edgeskin.benchmarks.report import report_page
from edgeskin.benchmarks.report.decision_charts import wilson
from edgeskin.benchmarks.report.gate.compare_markdown import compare_markdown
from edgeskin.benchmarks.result import Harness, Latency, SensorReading
from edgeskin.cli.main import run
from edgeskin.errors import CannotWrite, InvalidPack

HOSTILE = (
    "<script>alert('x')</script>\"'><img src=//host/x onerror=y>{{ 7*7 }}$x_1$&amp;\x1b[2J\u202e"
)
"""A name as nobody should give one; what is not printable is shown escaped."""
SHOWN = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
VOID = {"meta", "link", "img", "br", "input", "wbr"}
LIMITS = "[budget]\nmax_drop = 2.0\nmax_size_mb = 10\nmax_latency_ms = 15\nmax_group_gap = 5\n"


class Page(HTMLParser):
    """Everything of a page that can do harm, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.levels: list[int] = []
        self.scopes: list[str | None] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        if tag == "th":
            self.scopes.append(dict(attrs).get("scope"))
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "srcset", "xlink:href", "action", "data", "poster"):
                self.targets.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack", images=40)


@pytest.fixture(scope="module")
def results(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three precisions on two devices; one is emulated, one throttles, one is unverified."""
    folder = tmp_path_factory.mktemp("results")
    make_result(folder, pack, file="skin-fp32.tflite", run_ms=12.0, size=16_000_000)
    make_result(folder, pack, device="emulated:cortex-a76", run_ms=None)
    make_result(
        folder, pack, device="adb:ONE", flips=2, latency=heating(),
        protocol=PROTOCOLS["sustained"], doubts=("throttled: the last tenth took 1.40 times",),
        unverified="its outputs are the CPU's, bit by bit: it probably ran there",
    )  # fmt: skip
    return folder


def heating() -> Latency:
    """40 s in which the device warms from 40 to 69 degrees and gets slower."""
    latency = make_latency(10.0, 400, 40, seed=1)
    ramp = np.linspace(1.0, 1.4, 400)
    sensors = tuple(
        SensorReading(
            at_ns=i * 10**9, realtime_ns=i * 10**9, own_cpu_ns=0, cpu_ticks="cpu 0", load="0",
            thermal_mc={"cpu": 40_000 + 1_000 * i, "skin": 30_000}, clock_khz={}, governor={},
            power={},
        )
        for i in range(30)
    )  # fmt: skip
    samples = latency.samples
    run_ms = tuple(float(x) for x in ramp * samples.run_ms)
    return latency.model_copy(
        update={"samples": samples.model_copy(update={"run_ms": run_ms}), "sensors": sensors}
    )


@pytest.fixture(scope="module")
def written(results: Path, pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "limits.toml").write_text(LIMITS)
    edgeskin.report(
        results, folder / "report.html", budget=folder / "limits.toml", packs=[pack.folder],
        csv=True, junit=True, markdown=True,
    )  # fmt: skip
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def test_every_element_is_closed_and_named_once(page: Page) -> None:
    assert page.open == []
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []
    assert None not in page.scopes
    assert page.levels[0] == 1
    assert max(np.diff(page.levels)) == 1  # no level of headings is left out


def test_nothing_is_asked_of_any_host(written: Path, page: Page) -> None:
    links = [target for target in page.targets if not target.startswith("data:")]
    assert {target[0] for target in links} == {"#"}
    assert {target[1:] for target in links} <= set(page.ids)
    text = written.read_text(encoding="utf-8")
    assert re.findall(r"url\((?!#)", text) == []
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert page.handlers == []
    assert page.tags["script"] == 1


def test_charts_are_xml_with_title_description_and_data(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    drawings = [Xml.fromstring(part) for part in re.findall(r"<svg .*?</svg>", text, re.DOTALL)]
    # Latency, over time, trade-off, two metrics, one grouping, one waterfall (a float file changes
    # nothing); of each of three results two matrices and a reliability.
    assert len(drawings) == 7 + 3 * 3
    svg = "{http://www.w3.org/2000/svg}"
    for drawing in drawings:
        ids = {part.get("id") for part in drawing.iter()} - {None}
        assert drawing[0].tag == f"{svg}title"
        assert drawing[1].tag == f"{svg}desc"
        assert drawing[0].text
        assert drawing[1].text
        assert set(str(drawing.get("aria-labelledby")).split()) <= ids
        used = re.findall(r"url\(#([^)]+)\)", Xml.tostring(drawing, encoding="unicode"))
        used += [str(part.get("href"))[1:] for part in drawing.iter() if part.get("href")]
        assert set(used) <= ids
        colours = re.findall(r"#[0-9a-f]{6}", Xml.tostring(drawing, encoding="unicode"))
        assert colours == []  # the page's variables, or a chart is not dark where the page is
    assert text.count("<details>") == len(drawings)


def test_doubts_stand_where_the_figures_stand(page: Page) -> None:
    text = " ".join(" ".join(page.text).split())
    assert "emulated: no speed" in text
    assert "unverified: its outputs are the CPU's, bit by bit: it probably ran there" in text
    assert "! throttled" in text
    assert "too few images: 40" in text
    for word in ("held", "unsure", "missed", "not measured"):
        assert f"{word}, limit" in text


def test_the_same_results_give_the_same_page(
    written: Path, results: Path, pack: Pack, tmp_path: Path
) -> None:
    limits = written.parent / "limits.toml"
    edgeskin.report(results, tmp_path / "again.html", budget=limits, packs=[pack.folder])
    assert (tmp_path / "again.html").read_bytes() == written.read_bytes()


def test_images_are_there_only_where_a_pack_is_named_and_they_may_be(
    results: Path, pack: Pack, written: Path, tmp_path: Path
) -> None:
    # Four worst images of each of three results; a classification has no masks.
    assert written.read_text().count("data:image/webp") == 12
    edgeskin.report(results, tmp_path / "no_pack.html")
    edgeskin.report(results, tmp_path / "no_images.html", packs=[pack.folder], images=False)
    for name in ("no_pack.html", "no_images.html"):
        text = (tmp_path / name).read_text()
        assert "data:image" not in text
        assert "<img" not in text
    assert "where --pack names the pack" in (tmp_path / "no_pack.html").read_text()
    assert "Reliability of severity" in (tmp_path / "no_images.html").read_text()


def test_images_that_are_answered_alike_are_not_shown(
    results: Path, pack: Pack, tmp_path: Path
) -> None:
    """Of 40 images one output is off by 1 %, and the others by a millionth."""
    path = next(results.glob("adb*.json"))
    document = json.loads(path.read_text())
    document["accuracy"]["changed"] = []
    (tmp_path / path.name).write_text(json.dumps(document))
    for off, shown in ((0.01, 1), (0.0, 0)):
        outputs = pack.reference["severity"] * np.float32(1 + 1e-6)
        outputs[7] *= 1 + off
        np.savez((tmp_path / path.name).with_suffix(".npz"), severity=outputs)
        edgeskin.report(tmp_path, tmp_path / "r.html", packs=[pack.folder], force=True)
        text = (tmp_path / "r.html").read_text()
        assert text.count("data:image/webp") == shown
        assert ("No image is shown: all are decided as by the float model" in text) == (not shown)


def test_no_doubt_is_said_twice_in_a_cell(results: Path, tmp_path: Path) -> None:
    path = next(results.glob("adb*.json"))
    document = json.loads(path.read_text())
    document["doubts"] = [
        "stage 'one': load 3.66 on 2 cores: something else runs there",
        "stage 'two': load 3.61 on 2 cores: something else runs there",
        "stage 'one': unstable: the halves", "stage 'two': unstable: warm-up", "hot: 61 degrees",
        "unverified: " + document["unverified"], "unstable: the halves",
    ]  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps(document))
    edgeskin.report(tmp_path, tmp_path / "r.html")
    row = re.search(r"<tbody>\s*<tr>(.*?)</tr>", (tmp_path / "r.html").read_text(), re.DOTALL)
    assert row is not None
    found = [re.findall(r"!</span>&nbsp;(.*?)</span>", cell) for cell in row[1].split("</td>")]
    assert ["load 3.66 on 2 cores", "unstable", "hot"] in found
    assert ["load 3.66 on 2 cores", "hot"] in found  # one load, which no two halves speak against
    assert max(len(words) - len(set(words)) for words in found) == 0


def test_names_in_a_summary_become_no_links(results: Path, tmp_path: Path) -> None:
    """GitHub links these in what Markdown makes, wherever they stand and however escaped."""
    document = json.loads(next(results.glob("adb*.json")).read_text())
    document["artifact"]["name"] = "www.evil.example #123 gh-7 @all a@b.example"
    document["device"]["name"] = "adb:https://evil.example/x"
    (tmp_path / "r.json").write_text(json.dumps(document))
    edgeskin.report(tmp_path, tmp_path / "r.html", markdown=True)
    limits = tmp_path / "limits.toml"
    limits.write_text("[budget.max_mae_rise]\n'www.evil.example #5 @all' = 1\n")
    compared = edgeskin.compare(tmp_path / "r.json", tmp_path / "r.json", budget=limits)
    for text in ((tmp_path / "r.md").read_text(encoding="utf-8"), compare_markdown(compared)):
        page = MarkdownIt("gfm-like", {"linkify": False}).render(text)
        page = re.sub("<code>.*?</code>", "", page)  # where GitHub links nothing
        assert "evil.example" in page
        assert re.search(r"www\.|https?://|#\d|gh-\d|@\w", page) is None


def hostile_results(results: Path, folder: Path) -> None:
    for i, path in enumerate(sorted(results.glob("*.json"))):
        document = json.loads(path.read_text())
        document["artifact"] |= {"name": f"{HOSTILE}{i}", "model": HOSTILE}
        document["device"] |= {"name": f"adb:{HOSTILE}", "board": HOSTILE}
        document["engine"]["version"] = HOSTILE
        document["doubts"] = [f"{HOSTILE}: {HOSTILE}"]
        groups = document["accuracy"]["groups"]
        groups[HOSTILE] = groups.pop("tone")
        metrics = document["accuracy"]["metrics"]
        metrics[HOSTILE] = metrics.pop("severity_accuracy") | {"unit": HOSTILE}
        (folder / path.name).write_text(json.dumps(document))


def test_hostile_names_are_text(results: Path, tmp_path: Path) -> None:
    hostile_results(results, tmp_path)
    out = tmp_path / "page" / "report.html"
    edgeskin.report(tmp_path, out, csv=True, junit=True, markdown=True)
    page = Page(out.read_text(encoding="utf-8"))
    assert page.open == []
    assert page.tags["script"] == 1
    assert page.tags["img"] == 0
    assert page.handlers == []
    assert {target[:1] for target in page.targets if target != "data:,"} == {"#"}
    assert sum(SHOWN in text for text in page.text) > 20  # read back as it was written
    assert "49" not in {text.strip() for text in page.text}
    cases = Xml.parse(out.with_suffix(".xml")).getroot().iter("testcase")
    assert all(SHOWN in str(case.get("classname")) for case in cases)
    with out.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == {SHOWN}
    summary = out.with_suffix(".md").read_text(encoding="utf-8")
    assert re.search(r"(?<!\\)<|(?<!\\)&", summary) is None


def test_labels_and_cells_that_a_spreadsheet_would_compute(tmp_path: Path) -> None:
    labels = ("<b>mild</b>", "$\\frac{1}{0}$", "=cmd|' /C calc'!A0")
    pack = make_pack(tmp_path / "pack", images=30, labels=labels)
    make_result(tmp_path / "r", pack, file="=1+1-int8.tflite", run_ms=None)
    edgeskin.report(tmp_path / "r", tmp_path / "r.html", packs=[pack.folder], csv=True)
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.tags["b"] == 0
    assert {"float model decides", *labels} <= {text.strip() for text in page.text}
    with (tmp_path / "r.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["file"] == "'=1+1-int8.tflite"


def test_the_page_says_when_a_result_was_measured(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", images=30)
    at = datetime(2026, 3, 1, 7, 5, 9, tzinfo=UTC)
    dated = Harness(machine="x86_64", system="Linux", at=at)
    make_result(tmp_path / "r", pack, file="a-int8.tflite", run_ms=None, harness=dated)
    make_result(tmp_path / "r", pack, file="b-int8.tflite", run_ms=None)  # of an earlier version
    edgeskin.report(tmp_path / "r", tmp_path / "r.html", csv=True)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("30 images, 2026-03-01 07:05 UTC<") == 1
    assert page.count("30 images<") == 1
    with (tmp_path / "r.csv").open(newline="") as file:
        dates = [row["measured_at"] for row in csv.DictReader(file)]
    assert dates == ["2026-03-01T07:05:09+00:00", ""]


def test_what_stands_beside_the_page(written: Path) -> None:
    with written.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["stop", "look", "stop"]
    by = {row["device"]: row for row in rows}
    assert by["host"]["max_size_mb"] == "missed"  # 16 MB of 10
    assert float(by["host"]["p50_ms"]) == pytest.approx(12.0, abs=1e-3)
    assert by["emulated:cortex-a76"]["p50_ms"] == ""
    suites = Xml.parse(written.with_suffix(".xml")).getroot()
    assert suites.get("tests") == "15"  # four limits and the verdict, of three results
    states = Counter(row[limit] for row in rows for limit in LIMITS_NAMED)
    assert states["not measured"] == 1  # no time of an emulated device
    assert suites.get("failures") == str(states["missed"] + 2)
    assert suites.get("skipped") == str(states["not measured"] + states["unsure"] + 1)
    assert "lost" in str(next(suites.iter("failure")).get("message"))
    summary = written.with_suffix(".md").read_text(encoding="utf-8")
    assert summary.startswith("## ✕ stop: 3 results\n")
    assert len(summary.splitlines()) == 11


LIMITS_NAMED = ("max_drop", "max_group_gap", "max_latency_ms", "max_size_mb")


def test_sizes(
    written: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert written.stat().st_size < 1_000_000
    monkeypatch.setattr(report_page, "MOST_MODELS", 1)  # of six, which are drawn alike
    many = tmp_path / "many"
    many.mkdir()
    documents = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    for i in range(60):
        document = documents[i % 3]
        document["artifact"]["model"] = f"model {i // 6}"
        (many / f"{i:02d}.json").write_text(json.dumps(document))
    edgeskin.report(many, tmp_path / "many.html")
    text = (tmp_path / "many.html").read_text()
    assert "No pictures of 9 more models" in text
    drawings = re.findall(r'<figure class="chart">.*?</figure>', text, re.DOTALL)
    assert len(drawings) == 7  # two runs that were long
    assert len(text) + 5 * sum(map(len, drawings)) < 3_000_000


def test_the_command(
    results: Path, pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "report.html"
    (tmp_path / "limits.toml").write_text(LIMITS)
    arguments = ["report", str(results), "-o", str(out), "--budget", str(tmp_path / "limits.toml")]
    assert run([*arguments, "--json", "--no-images", "--pack", str(pack.folder)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["models"][0]["verdict"] == "stop"
    assert run(arguments) == 2
    assert "exists already. Pass --force" in capsys.readouterr().err
    (tmp_path / "limits.toml").write_text("[budget]\nmax_size_mb = 20\n")
    assert run([*arguments, "--force"]) == 0
    assert capsys.readouterr().out.startswith("look  skin: ")
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.html"]


def test_refusals(results: Path, pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="is the name of no page: write --out report.html"):
        edgeskin.report(results, tmp_path / "report.csv", csv=True)
    other = make_pack(tmp_path / "other", images=20, seed=5)
    with pytest.raises(InvalidPack, match="no result was measured on the pack"):
        edgeskin.report(results, tmp_path / "r.html", packs=[other.folder])
    (tmp_path / "r.xml").write_text("mine")
    with pytest.raises(CannotWrite, match="r.xml exists already"):
        edgeskin.report(results, tmp_path / "r.html", junit=True)
    assert not (tmp_path / "r.html").exists()


def test_a_page_without_its_table_is_not_left_there(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is renamed, and then the disk is full: what was there before is there again."""
    (tmp_path / "r.html").write_text("old")
    whole = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / "r.csv":
            raise OSError(errno.ENOSPC, "full")
        whole(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CannotWrite, match=r"r\.csv: no space left"):
        edgeskin.report(results, tmp_path / "r.html", csv=True, markdown=True, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "old"


def test_outputs_that_are_no_numbers_are_shown_as_they_are(pack: Pack, tmp_path: Path) -> None:
    path = make_result(tmp_path / "r", pack, run_ms=None)
    document = json.loads(path.read_text())
    document["accuracy"]["agreement"]["severity"]["sqnr_db"] = float("nan")
    for metric in document["accuracy"]["metrics"].values():
        metric["candidate"] = metric["change"]["value"] = float("nan")
        metric["change"]["low"] = metric["change"]["high"] = float("nan")
    path.write_text(json.dumps(document))
    made = edgeskin.report(tmp_path / "r", tmp_path / "r.html", junit=True, markdown=True)
    assert made.verdict == "stop"
    text = (tmp_path / "r.html").read_text()
    assert "NaN dB" in text
    assert "severity_accuracy is no number, a loss of 1 points allowed" in text
    assert "nan points" not in text
    failures = [f.get("message") for f in Xml.parse(tmp_path / "r.xml").getroot().iter("failure")]
    assert "an output is no number" in failures


def test_results_that_lack_what_others_of_the_model_have(
    pack: Pack, results: Path, tmp_path: Path
) -> None:
    """Timed ones without labels, and one whose groups are too small and many."""
    for i, path in enumerate(sorted(results.glob("*.json"))):
        document = json.loads(path.read_text())
        accuracy = document["accuracy"]
        if document["device"]["name"].startswith("emulated"):
            tone = accuracy["groups"]["tone"]
            tone["groups"] = {f"g{n:02d}": tone["groups"]["dark"] for n in range(20)}
            tone["gaps"] = {}
        else:
            accuracy["metrics"] = {}
            for group in accuracy["groups"]["tone"]["groups"].values():
                group["metrics"] = None
            accuracy["groups"]["tone"]["gaps"] = {}
        (tmp_path / f"{i}.json").write_text(json.dumps(document))
    edgeskin.report(tmp_path, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "against time" not in text
    assert "4 of 20 groups are left out here." in text


def test_wilson_interval() -> None:
    # 8 of 10: 0.4902 to 0.9433 (Newcombe, Statistics in Medicine 17, 1998, method 3).
    low, high = wilson(np.array([0.8]), np.array([10]))
    assert low[0] == pytest.approx(0.4902, abs=1e-4)
    assert high[0] == pytest.approx(0.9433, abs=1e-4)
