"""Cards on demand: what stands in them, as a page, for the Hub, and with results of devices."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import model_files
import onnx
import pytest
import yaml
from huggingface_hub import ModelCard, metadata_load
from made_results import SPEC, make_pack, make_result
from markdown_it import MarkdownIt

from edgeskin.artifacts import ManifestEntry, Metadata, read_manifest, write_manifest
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.cards import card
from edgeskin.benchmarks.result import ArtifactIdentity, read_result
from edgeskin.card_page import page
from edgeskin.cli.main import run
from edgeskin.conversion import SourceRecord
from edgeskin.errors import CannotWrite, InvalidArtifact, InvalidResult, UnknownName
from edgeskin.files import sha256
from edgeskin.hub_card import LICENSES, hub_metric
from edgeskin.spec import Spec

HOSTILE = "<script>alert(1)</script><img src=https://evil.example/x.png onerror=alert(2)>"
LINKS = (
    "[here](javascript:alert(3)) ![pixel](https://evil.example/p.png) <https://evil.example> "
    "![by name][it] \\\\![again][it]\n\n[it]: https://evil.example/q.png"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack")


def files_of(folder: Path, of: Pack, **changes: object) -> Path:
    """A folder as `convert` and `verify` leave it: a file that was verified on faces, by tone."""
    spec = Spec(**{**dict(SPEC), **changes})
    folder.mkdir(parents=True, exist_ok=True)
    path = model_files.onnx_qdq(folder / f"{spec.name}-int8.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, Metadata(spec, "app", "int8").entries())
    onnx.save(model, path)
    found = read_result(make_result(folder / "scratch", of, flips=8)).accuracy
    verified = {
        "sqnr_db": 31.25,
        "images": len(of),
        "metrics": {name: metric.to_json() for name, metric in found.metrics.items()},
        "subgroups": {by: parts.to_json() for by, parts in found.groups.items()},
    }
    entry = ManifestEntry(
        sha256=sha256(path),
        target="onnx",
        precision="int8",
        io="app",
        size_bytes=path.stat().st_size,
        source=SourceRecord(kind="program", name="skin.pt2", sha256="ab" * 32),
        scales={"scheme": "w8a8", "method": "mse", "images": 256},
        tools={"edgeskin": "0.1.0", "onnx": "1.20.0"},
        destinations=("cpu", "snapdragon"),
        verification={"faces/test": verified},
    )
    write_manifest(folder, {**read_manifest(folder), path.name: entry})
    return folder


def measured(folder: Path, of: Pack, **changes: Any) -> Path:
    """A result of the file in `folder`."""
    [path] = folder.glob("*.onnx")
    one = ArtifactIdentity(
        name=path.name, sha256=sha256(path), bytes=path.stat().st_size, precision="int8",
        io="app", model="skin",
    )  # fmt: skip
    return make_result(folder / "results", of, file=path.name, artifact=one, **changes)


def test_a_card_has_all_that_a_reader_asks_for(images: Pack, tmp_path: Path) -> None:
    folder = files_of(
        tmp_path, images, training_data="90 images of faces", limits="Not for children."
    )
    text = card(folder)
    [entry] = read_manifest(folder).values()
    for words in (
        f"# skin\n{SPEC.intended_use}",
        "| training data | 90 images of faces |",
        f"| licence | {SPEC.license} |",
        "## Limits\nNot for children.",
        "by the bilinear filter. A value v of 0 to 255 becomes (v / 255 - mean) / std",
        f"| skin-int8.onnx | int8 | {entry.size_bytes / 1000:.0f} | `{entry.sha256}` |",
        f"| made from | program skin.pt2, SHA-256 `{'ab' * 32}` |",
        "| skin-int8.onnx | edgeskin 0.1.0, onnx 1.20.0 |",
        "## Drift from the trained model",
        "### skin-int8.onnx on faces/test",
        # The float model is right on 9 of 10 images, and 8 of 400 are lost.
        "| severity_accuracy | 0.9000 | 0.8800 | -0.0200 |",
        "edgeskin calibrate RUN --data DATA --out skin.pt2 --scheme w8a8 --method mse "
        "--samples 256\nedgeskin convert skin.pt2 --for snapdragon --out FOLDER\n"
        "edgeskin verify skin-int8.onnx --reference RUN --data DATA\n",
    ):
        assert words in text
    by_tone = text.partition("| tone | images | metric |")[2]
    assert "| light | 200 | severity_accuracy | " in by_tone
    assert "| dark | 200 | severity_accuracy | " in by_tone


def test_results_of_devices_are_added_with_their_doubts(images: Pack, tmp_path: Path) -> None:
    folder = files_of(tmp_path, images)
    results = [measured(folder, images, flips=4), make_result(tmp_path / "others", images)]
    measured(folder, images, device="emulated:cortex-a76", run_ms=None)
    text = card(folder, results=[folder / "results", *results])
    before, _, behind = text.partition("## On devices")
    assert "emulated" not in before
    assert "| skin-int8.onnx | host (Board One) | LiteRT, API of 2.3, xnnpack | 10.00 |" in behind
    assert "| emulated: no speed |" in behind
    assert "| severity_accuracy | 0.9000 | 0.8900 | -0.0100 |" in behind
    assert behind.count("| tone | images |") == 2  # of each device
    assert "skin-int8.tflite" not in text  # another file's result
    assert behind.rstrip().endswith("```")  # the commands come last


def test_results_of_other_files_alone_are_refused(images: Pack, tmp_path: Path) -> None:
    folder, result = files_of(tmp_path / "files", images), make_result(tmp_path, images)
    with pytest.raises(InvalidResult, match="no result is of a file of .*skin-int8.tflite"):
        card(folder, results=[result], html=tmp_path / "card.html")
    assert not (tmp_path / "card.html").exists()


# The Hub


def test_the_hub_s_own_parser_reads_the_front_matter(images: Pack, tmp_path: Path) -> None:
    folder = files_of(tmp_path, images, license="Apache-2.0", task="acne")
    result, out = measured(folder, images, flips=4), tmp_path / "README.md"
    card(folder, results=[result], hugging_face=out, datasets=["someone/faces"])
    content = out.read_text(encoding="utf-8")
    made = ModelCard(content)
    assert made.data.license == "apache-2.0"
    assert made.data.license_name is None
    assert made.data.pipeline_tag == "image-classification"
    assert made.data.tags == ["edgeskin", "acne", "onnx", "int8"]
    assert made.data.datasets == ["someone/faces"]
    assert made.data.metrics == ["accuracy", "balanced_accuracy"]
    assert made.data.model_name == "skin"
    found = {(r.dataset_name, r.dataset_split, r.metric_name): r for r in made.data.eval_results}
    of_file = found["faces", "test", "severity_accuracy, skin-int8.onnx"]
    assert (of_file.metric_type, of_file.metric_value) == ("accuracy", pytest.approx(0.88))
    pack = f"test pack {images.sha256[:16]}"
    of_device = found[pack, None, "severity_accuracy, skin-int8.onnx on host"]
    assert of_device.metric_value == pytest.approx(0.89)
    assert metadata_load(out) == made.data.to_dict()
    assert made.text.strip() == card(folder, results=[result]).strip()


def test_words_of_a_licence_are_not_taken_for_an_identifier(images: Pack, tmp_path: Path) -> None:
    words = "Weights follow their images: CC BY 4.0; they started from Apache-2.0"
    folder = files_of(tmp_path, images, license=words)
    card(folder, hugging_face=tmp_path / "README.md")
    found = metadata_load(tmp_path / "README.md")
    assert (found["license"], found["license_name"]) == ("other", "as-stated-in-the-card")
    assert "datasets" not in found
    assert words in (tmp_path / "README.md").read_text()
    assert list(LICENSES) == sorted(LICENSES)


def test_values_that_are_no_number_are_left_out(images: Pack, tmp_path: Path) -> None:
    folder = files_of(tmp_path, images)
    [name] = (entries := read_manifest(folder))
    document = json.loads(json.dumps(entries[name].verification))
    document["faces/test"]["metrics"]["severity_accuracy"]["candidate"] = float("nan")
    entry = entries[name].model_copy(update={"verification": document})
    write_manifest(folder, {name: entry})
    card(folder, hugging_face=tmp_path / "README.md")
    front = (tmp_path / "README.md").read_text().split("---")[1]
    [index] = yaml.safe_load(front)["model-index"]
    types = [metric["type"] for result in index["results"] for metric in result["metrics"]]
    assert types == ["balanced_accuracy"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("severity_balanced_accuracy", "balanced_accuracy"),
        ("severity_accuracy", "accuracy"),
        ("count_mae", "mae"),
        ("affected_auroc", "roc_auc"),
        ("skin_face_iou", "iou"),
        ("age_coverage_80", "age_coverage_80"),
    ],
)
def test_metrics_by_the_hub_s_words(ours: str, theirs: str) -> None:
    assert hub_metric(ours) == theirs


def test_a_card_without_huggingface_hub_names_the_extra(images: Pack, tmp_path: Path) -> None:
    folder = files_of(tmp_path, images)
    code = (
        "import sys; sys.modules['huggingface_hub'] = None; from edgeskin.cli.main import run; "
        f"sys.exit(run(['card', {str(folder)!r}, *sys.argv[1:]]))"
    )

    def done(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)

    assert "# skin" in done().stdout  # the card itself needs none
    assert done("--html", str(tmp_path / "card.html")).returncode == 0
    refused = done("--hugging-face", str(tmp_path / "README.md"))
    assert refused.returncode == 2
    assert "pip install 'edgeskin[report]'" in refused.stderr
    assert not (tmp_path / "README.md").exists()


# The page


class Tags(HTMLParser):
    """The elements of a page, and what is wrong with how they are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "hr"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_what_a_person_wrote_is_text_on_the_page(images: Pack, tmp_path: Path) -> None:
    folder = files_of(
        tmp_path, images, intended_use=HOSTILE, limits=LINKS, training_data=f"a|{HOSTILE}",
        license=HOSTILE,
    )  # fmt: skip
    text = card(folder, html=tmp_path / "card.html", hugging_face=tmp_path / "README.md")
    content = (tmp_path / "card.html").read_text(encoding="utf-8")
    tags = Tags(content)
    names = {tag for tag, _ in tags.found}
    assert names.isdisjoint({"script", "img", "a", "iframe", "link", "object", "form"})
    assert not [name for _, attrs in tags.found for name in attrs if name.startswith("on")]
    assert not [name for _, attrs in tags.found for name in attrs if name in ("href", "src")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in content
    assert "![pixel](https://evil.example/p.png)" in content
    assert "<script" not in text  # nor is it HTML where others render the Markdown
    readme = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    assert "<img" not in readme
    assert "<img" not in MarkdownIt("gfm-like", {"linkify": False}).render(readme)


def test_the_page_can_be_read_by_everybody(images: Pack, tmp_path: Path) -> None:
    folder = files_of(tmp_path, images)
    result = measured(folder, images)
    card(folder, results=[result], html=tmp_path / "card.html")
    tags = Tags((tmp_path / "card.html").read_text(encoding="utf-8")).found
    heads = [attrs.get("scope") for tag, attrs in tags if tag == "th"]
    assert set(heads) == {"col", "row"}
    levels = [int(tag[1]) for tag, _ in tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    frames = [attrs for tag, attrs in tags if attrs.get("class") == "table"]
    assert len(frames) == sum(tag == "table" for tag, _ in tags)
    assert ("html", {"lang": "en"}) in tags


def test_a_table_keeps_its_cells() -> None:
    found = page("x", "| a | b |\n|---|---|\n| 1 \\| 2 | `c` |\n\n| | |\n|---|---|\n| k | v |\n")
    assert '<th scope="col">a</th>' in found
    assert "<td>1 | 2</td>" in found
    assert '<th scope="row">k</th>\n<td>v</td>' in found
    assert found.count("<thead>") == 1


# The folder


def test_folders_of_none_or_several_models(images: Pack, tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match="has no file that a manifest.json names"):
        card(tmp_path)
    folder = files_of(tmp_path / "files", images)
    files_of(folder, images, name="other")
    with pytest.raises(UnknownName, match=r"has files of other, skin: give --model"):
        card(folder)
    with pytest.raises(UnknownName, match="has no model 'third', only other, skin"):
        card(folder, model="third")
    assert card(folder, model="other").startswith("# other\n")
    (tmp_path / "card.html").write_text("mine")
    with pytest.raises(CannotWrite, match="exists already"):
        card(folder, model="skin", html=tmp_path / "card.html")


def test_the_command_prints_or_writes(
    images: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = files_of(tmp_path, images)
    assert run(["card", str(folder)]) == 0
    assert capsys.readouterr().out == card(folder)
    html = tmp_path / "card.html"
    assert run(["card", str(folder), "--html", str(html), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"written": [str(html)], "markdown": card(folder)}
