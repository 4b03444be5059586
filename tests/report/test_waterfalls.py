"""Where a change comes from: steps that add up, on the same images, with what is missing joined."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_results import make_pack, make_result, outputs_with

import edgeskin
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.budget import NO_LIMITS
from edgeskin.benchmarks.report.collect import collect
from edgeskin.benchmarks.report.report_rows import report_on
from edgeskin.benchmarks.report.shown import Shown, shown_by_model
from edgeskin.benchmarks.report.waterfalls import Step, chains_of, measure_steps
from edgeskin.metrics import accuracy
from edgeskin.statistics import paired_change

PHONE = "emulated:cortex-a76"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack")


def shown_of(folder: Path, pack: Pack) -> list[Shown]:
    found = collect([folder])
    return shown_by_model(report_on(found, NO_LIMITS), found, {pack.sha256: pack})["skin"]


def chain_to(folder: Path, pack: Pack, device: str = PHONE) -> list[Step]:
    chains = [list(chain) for chain in chains_of(shown_of(folder, pack))]
    return next(chain for chain in chains if chain[-1].to.row.device == device)


def three_results(folder: Path, pack: Pack) -> None:
    """1 of 400 images is lost by conversion, 4 more by precision, 3 more by the device."""
    make_result(folder, pack, file="skin-fp32.tflite", flips=1, run_ms=None)
    make_result(folder, pack, flips=5, run_ms=None)
    make_result(folder, pack, device=PHONE, flips=8, run_ms=None)


def test_steps_add_up_to_the_whole_change(images: Pack, tmp_path: Path) -> None:
    three_results(tmp_path, images)
    chain = chain_to(tmp_path, images)
    last = chain[-1].to
    last = replace(last, row=last.row.model_copy(update={"metric": ACCURACY}))
    found = measure_steps([*chain[:-1], replace(chain[-1], to=last)])
    assert found is not None
    assert [step.name for step in found.steps] == ["conversion", "precision", "device"]
    changes = [change.change.value for change in found.changes]
    assert changes == pytest.approx([-1 / 400, -4 / 400, -3 / 400])
    whole = last.result.accuracy.metrics[ACCURACY]
    assert sum(changes) == pytest.approx(whole.change.value, abs=1e-15)
    assert found.changes[0].reference == whole.reference
    assert found.changes[-1].candidate == whole.candidate
    # The interval of a step is that of its two results, paired, without the others.
    old, new = (outputs_with(images, flips)["severity"].argmax(axis=1) for flips in (1, 5))
    expected = paired_change(accuracy, images.truth["severity"], old, new)
    assert found.changes[1].change == expected


ACCURACY = "severity_accuracy"


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        ("host--skin-fp32.tflite", ["conversion and precision", "device"]),
        ("host--skin-int8.tflite", ["conversion", "precision and device"]),
    ],
)
def test_a_step_without_its_result_is_joined_with_the_next(
    images: Pack, tmp_path: Path, missing: str, names: list[str]
) -> None:
    three_results(tmp_path / "r", images)
    for part in ("npz", "json"):  # without its outputs alone, and without it
        (tmp_path / "r" / f"{missing}.{part}").unlink()
        assert [step.name for step in chain_to(tmp_path / "r", images)] == names
    edgeskin.report(tmp_path / "r", tmp_path / "r.html", packs=[images.folder])
    text = (tmp_path / "r.html").read_text()
    (joined,) = (name for name in names if " and " in name)
    assert f"No result is there that tells apart: {joined}." in text
    assert joined.replace(" and ", " + ") in text


def test_which_of_two_float_files_is_meant_is_not_guessed(images: Pack, tmp_path: Path) -> None:
    three_results(tmp_path, images)
    path = tmp_path / "host--skin-fp32.tflite.json"
    document = json.loads(path.read_text())
    document["artifact"]["sha256"] = "ab" * 32
    (tmp_path / "other.json").write_text(json.dumps(document))
    (tmp_path / "other.npz").write_bytes(path.with_suffix(".npz").read_bytes())
    names = [step.name for step in chain_to(tmp_path, images)]
    assert names == ["conversion and precision", "device"]


def test_the_page_draws_the_longest_way_once(images: Pack, tmp_path: Path) -> None:
    """The results on the way are steps of it, and have no waterfall of their own."""
    three_results(tmp_path / "r", images)
    edgeskin.report(tmp_path / "r", tmp_path / "r.html", packs=[images.folder])
    text = (tmp_path / "r.html").read_text()
    drawn = re.findall(r"<h4>Where the change of (.*?)</h4>", text)
    assert len(drawn) == 1
    table = text[text.index("<caption>Where the change of") :].partition("</table>")[0]
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in table.split("<tr>")[2:]]
    changes = [float(row[5]) for row in cells]
    assert [row[0] for row in cells] == ["conversion", "precision", "device", "all steps"]
    assert sum(changes[:3]) == pytest.approx(changes[3], abs=0.015)  # of two digits each
    edgeskin.report(tmp_path / "r", tmp_path / "no_pack.html")
    assert "Where the change of" not in (tmp_path / "no_pack.html").read_text()


def test_outputs_of_other_images_are_refused(images: Pack, tmp_path: Path) -> None:
    three_results(tmp_path, images)
    path = tmp_path / "host--skin-int8.tflite.npz"
    np.savez(path, severity=np.zeros((400, 4), np.float32))
    with pytest.raises(edgeskin.EdgeskinError, match="are not those of its pack's model"):
        edgeskin.report(tmp_path, tmp_path / "r.html", packs=[images.folder])
    assert not (tmp_path / "r.html").exists()
