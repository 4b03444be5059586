"""SQNR by layer on the page, from what `verify --layers --json` prints."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from made_results import make_pack, make_result

import edgeskin
from edgeskin.benchmarks.pack import Pack
from edgeskin.cli.main import run
from edgeskin.converters.parity.documents import LayerReport, LayerRow
from edgeskin.errors import InvalidResult

FILE = "skin-int8.tflite"
SHA256 = hashlib.sha256(FILE.encode()).hexdigest()  # as `make_result` gives it


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack", images=40)


@pytest.fixture(scope="module")
def results(images: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    make_result(folder, images, file="skin-fp32.tflite", run_ms=None)
    make_result(folder, images, run_ms=None)
    return folder


def layers(path: Path, **changes: Any) -> Path:
    """Twelve layers, as `verify` writes them; the third and the eighth lose most by themselves."""
    own = [40.0, 39.0, 12.0, 38.0, 41.0, 42.0, 43.0, 20.0, 44.0, 45.0, 46.0, math.inf]
    rows = tuple(
        LayerRow(
            name=f"block.{i}", kind="output" if i == 12 else "multiply", tensor=f"t<{i}>",
            by="values", sqnr_db=50.0 - i, own_sqnr_db=db, rounding_db=None, floor_db=15.0,
        )
        for i, db in enumerate(own, 1)
    )  # fmt: skip
    report = LayerReport(
        artifact=FILE, sha256=SHA256, reference="run", images=8, precision="int8",
        runtime="LiteRT 2.3.0", matched_products="12 of 12", unmatched=(), missing_additions=(),
        first_bad="block.3", bad=("block.3",), worst=("block.3", "block.8"), layers=rows,
    )  # fmt: skip
    document = report.to_json() | changes
    document = {name: value for name, value in document.items() if value is not None}
    path.write_text(json.dumps({"sqnr_db": 30.0, "layers": document}))
    return path


def test_the_page_has_the_layers_and_their_data(results: Path, tmp_path: Path) -> None:
    document = layers(tmp_path / "layers.json")
    edgeskin.report(results, tmp_path / "r.html", layers=[document])
    text = (tmp_path / "r.html").read_text()
    assert text.count(f"<h4>SQNR by layer: {FILE}</h4>") == 1
    assert "1 layers are below their floors" not in text
    assert "One layer is below its floor." in text
    named = re.search(r"Lowest by themselves: (.*?)\.<", text)
    assert named is not None
    # Five of eleven: the output is none of them.
    assert re.findall(r"(\d+): block\.\d+, ([\d.]+) dB", named[1]) == [
        ("1", "40.0"), ("2", "39.0"), ("3", "12.0"), ("4", "38.0"), ("8", "20.0"),
    ]  # fmt: skip
    table = text[text.index(f"<caption>SQNR by layer: {FILE}") :].partition("</table>")[0]
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in table.split("<tr>")[2:]]
    assert len(rows) == 12
    assert rows[2] == [
        "3", "block.3", "multiply", "t&lt;3&gt;", "47.0", "12.0", "15.0", "below its floor"
    ]  # fmt: skip
    assert rows[11][5] == "∞"


def test_an_accelerator_that_runs_no_part_alone(results: Path, tmp_path: Path) -> None:
    """Nothing is known of layers by themselves: one line is drawn, and none is called lowest."""
    whole = json.loads(layers(tmp_path / "l.json").read_text())
    for row in whole["layers"]["layers"]:
        row |= {"own_sqnr_db": "NaN", "refused": "the compiler takes no part"}
    (tmp_path / "l.json").write_text(json.dumps(whole))
    edgeskin.report(results, tmp_path / "r.html", layers=[tmp_path / "l.json"])
    text = (tmp_path / "r.html").read_text()
    assert "Lowest by themselves: not known." in text
    assert "of the layer by itself" not in text


def test_layers_of_other_files_are_refused(
    results: Path, images: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    for changes, why in (
        ({"artifact": "x.tflite"}, "has layers of x.tflite, the results are of skin-fp32.tflite, "),
        (
            {"sha256": "ab" * 32},
            f"sha256 abababababababab..., the results are of {SHA256[:16]}",
        ),
        ({"layers": []}, "has no layers: make it with edgeskin verify --layers"),
    ):
        document = layers(tmp_path / "l.json", **changes)
        with pytest.raises(InvalidResult, match=re.escape(why)):
            edgeskin.report(results, out, layers=[document])
        assert run(["report", str(results), "-o", str(out), "--layers", str(document)]) == 2
        said = capsys.readouterr().err
        assert why in said
        assert said.count("\n") == 1
    assert not out.exists()


def test_documents_of_before_are_told_by_their_name(
    results: Path, images: Pack, tmp_path: Path
) -> None:
    document = layers(tmp_path / "l.json", sha256=None)
    edgeskin.report(results, tmp_path / "r.html", layers=[document])
    assert "SQNR by layer" in (tmp_path / "r.html").read_text()
    again = json.loads((results / f"host--{FILE}.json").read_text())
    again["artifact"]["sha256"] = "cd" * 32
    (tmp_path / "again.json").write_text(json.dumps(again))
    with pytest.raises(InvalidResult, match="does not say which of 2 that are called so"):
        edgeskin.report([results, tmp_path / "again.json"], tmp_path / "s.html", layers=[document])
