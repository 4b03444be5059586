"""What a new bundle changes for an app, and how its model answers beside the old one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_files import hostile_spec

from edgeskin.benchmarks.pack import Entry, Subject, write
from edgeskin.bundles.bundle_diff import diff_bundles
from edgeskin.bundles.bundling import bundle
from edgeskin.data.phantom_faces import FACE_SET
from edgeskin.errors import InvalidBundle, InvalidPack
from edgeskin.loading import load
from edgeskin.preprocess import preprocess
from edgeskin.verbs import check_pack
from edgeskin.verbs import diff_bundles as diff_with_pack

Make = Callable[[str, str], Path]
Edit = Callable[[Any], None]
IMAGES = 6


def first_file(document: Any) -> Any:
    return document["models"][0]["files"][0]


def head(which: str, /, **fields: object) -> Edit:
    def edit(document: Any) -> None:
        heads = first_file(document)["spec"]["heads"]
        next(each for each in heads if each["name"] == which).update(fields)

    return edit


def input_of(**fields: object) -> Edit:
    return lambda document: first_file(document)["spec"]["input"].update(fields)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (head("severity", labels=["a", "b", "c"]), "TinyModel: head severity, labels"),
        (head("severity", labels=list(hostile_spec().heads[0].labels[::-1])), "labels"),  # type: ignore[union-attr]
        (head("severity", activation="sigmoid"), "head severity, activation: softmax -> sigmoid"),
        (head("count", unit="spots"), "head count, unit"),
        (head("count", ranges=None), "head count, ranges"),
        (head("count", name="number"), "head count: there -> gone"),
        (lambda d: first_file(d)["spec"]["heads"].reverse(), "heads, order"),
        (input_of(width=64), "input, width: 48 -> 64"),
        (input_of(resize="letterbox"), "input, resize: squash -> letterbox"),
        (lambda d: first_file(d).update(file="other.onnx"), "file: tiny.onnx -> other.onnx"),
        (lambda d: d["models"][0].update(name="Other"), "class TinyModel: there -> gone"),
        (lambda d: d["models"][0].update(result="Other"), "result: TinyResult -> Other"),
        (lambda d: d.update(package="com.other"), "package"),
    ],
)
def test_what_code_is_compiled_against_needs_an_app_update(
    bundled: Path, spoiled: Path, edit: Edit, reason: str
) -> None:
    change(spoiled, edit)
    diff = diff_bundles(bundled, spoiled)
    assert diff.verdict == "needs an app update"
    assert any(reason in line for line in diff.reasons), diff.reasons


@pytest.mark.parametrize(
    ("edit", "area", "line"),
    [
        (input_of(filter="bicubic"), "preprocessing", "input, filter: bilinear -> bicubic"),
        (input_of(mean=[0.1, 0.2, 0.3]), "preprocessing", "-> 0.1, 0.2, 0.3"),
        (input_of(color_order="BGR"), "preprocessing", "color_order: RGB -> BGR"),
        (head("default", scale=2.0), "model", "head default, scale: 10.0 -> 2.0"),
        (lambda d: first_file(d).update(sha256="0" * 64), "model", "-> 0000000000000000"),
        (lambda d: first_file(d).update(precision="int8"), "model", "precision: fp32 -> int8"),
        (lambda d: first_file(d)["spec"].update(license="MIT"), "licence", "-> MIT"),
        (lambda d: d.update(release="1.0.1"), "files", "release: 1.0.0 -> 1.0.1"),
        (lambda d: d["sizes"].update(models=7), "size", "bytes, models: "),
        (lambda d: d["files"].pop("README.md"), "files", "files gone: README.md"),
    ],
)
def test_a_model_may_follow_alone_where_only_it_differs(
    bundled: Path, spoiled: Path, edit: Edit, area: str, line: str
) -> None:
    change(spoiled, edit)
    diff = diff_bundles(bundled, spoiled)
    assert (diff.verdict, diff.reasons) == ("model only", ())
    assert [(each.area, line in each.line) for each in diff.changes] == [(area, True)]


def test_a_hash_that_the_app_compares_needs_an_app_update(bundled: Path, tmp_path: Path) -> None:
    paths = [Path(shutil.copytree(bundled, tmp_path / name)) for name in ("old", "new")]
    change(paths[0], lambda d: d.update(check_at_load=True))
    change(paths[1], lambda d: d.update(check_at_load=True))
    change(paths[1], lambda d: first_file(d).update(sha256="0" * 64))
    (reason,) = diff_bundles(*paths).reasons
    assert "which the app's code compares" in reason


def test_the_thresholds_and_the_words_of_a_pipeline_are_code(
    artifact_of: Make, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    bundle(artifact_of("mask", "onnx"), old, platform="linux", name="PairModel")
    shutil.copytree(old, new)
    assert diff_bundles(old, new).changes == ()
    change(new, lambda d: d["models"][0]["join"].update(min_share=0.3, otherwise="show your face"))
    lines = diff_bundles(old, new).reasons
    assert "PairModel: join, min_share: 0.2 -> 0.3" in lines
    assert "PairModel: join, otherwise: no skin found -> show your face" in lines


def test_bundles_of_two_platforms_are_not_compared(bundled: Path, spoiled: Path) -> None:
    change(spoiled, lambda d: d.update(platform="android"))
    with pytest.raises(InvalidBundle, match="is for linux, .* for android"):
        diff_bundles(bundled, spoiled)


def change(folder: Path, edit: Edit) -> None:
    path = folder / "bundle.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


@pytest.fixture
def pack(artifact_of: Make, tmp_path: Path) -> Path:
    """Phantoms with the tiny network's own answers, and grades that are all the first."""
    folder = tmp_path / "pack"
    folder.mkdir()
    spec = hostile_spec()
    with load(artifact_of("tiny", "onnx")) as tiny:
        images = [FACE_SET.draw(seed, 96).image for seed in range(IMAGES)]
        entries = [
            Entry(image, f"{i:064x}", tiny.run(preprocess(image, spec.input)))
            for i, image in enumerate(images)
        ]
    subject = Subject(
        data="phantoms",
        split="test",
        data_rule=None,
        spec=spec,
        ready=False,
        truth={"severity": np.zeros(IMAGES, np.int64)},
        groups={},
    )
    write(folder, subject, entries)
    return folder


def test_a_model_agrees_with_itself_on_a_pack(bundled: Path, spoiled: Path, pack: Path) -> None:
    (drift,) = diff_with_pack(bundled, spoiled, pack).drift or ()
    assert (drift.model, drift.images) == ("TinyModel", IMAGES)
    assert drift.equal_statuses is None
    assert set(drift.equal_decisions.values()) == {1.0}
    assert set(drift.sqnr_db.values()) == {float("inf")}
    accuracy = drift.metrics["severity_accuracy"]
    assert accuracy.reference == accuracy.candidate
    assert (accuracy.change.low, accuracy.change.high) == (0.0, 0.0)


def test_another_preprocessing_moves_the_answers(bundled: Path, spoiled: Path, pack: Path) -> None:
    """A file carries its spec, by which its images are prepared."""
    import onnx

    path = spoiled / "models/tiny.onnx"
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "edgeskin.spec":
            spec = json.loads(entry.value)
            spec["input"] |= {"resize": "letterbox"}
            entry.value = json.dumps(spec)
    onnx.save(model, path)
    (drift,) = diff_with_pack(bundled, spoiled, pack).drift or ()
    assert all(0 < decibels < 60 for decibels in drift.sqnr_db.values()), drift.sqnr_db


def test_a_pipeline_agrees_with_itself_by_status_too(artifact_of: Make, tmp_path: Path) -> None:
    from edgeskin.bundles.bundle_drift import Images, drift_of
    from edgeskin.pipelines.pipeline_predictor import load_pipeline

    old, new = tmp_path / "old", tmp_path / "new"
    bundle(artifact_of("crop", "onnx"), old, platform="linux")
    shutil.copytree(old, new)
    faces = [FACE_SET.draw(seed, 96).image for seed in range(3)]
    images = [*faces, np.full((60, 80, 3), (0, 0, 255), np.uint8)]
    with load_pipeline(artifact_of("crop", "onnx")) as pipeline:
        spec = pipeline.spec
        answered = [pipeline.predict(image).answered for image in images]
    assert 0 < sum(answered) < len(images)  # both statuses are compared
    truth = {"colour": np.zeros(len(images), np.int64)}
    (drift,) = drift_of(old, new, Images(spec, len(images), images.__getitem__, False, truth))
    assert drift.images == sum(answered)
    assert drift.equal_statuses == 1.0
    assert set(drift.equal_decisions.values()) == {1.0}


def test_a_pack_of_another_model_is_refused(artifact_of: Make, tmp_path: Path, pack: Path) -> None:
    out = tmp_path / "many"
    bundle(artifact_of("many", "onnx"), out, platform="linux")
    for look in (lambda: diff_with_pack(out, out, pack), lambda: check_pack(out, pack)):
        with pytest.raises(InvalidPack, match="the pack is of tiny, which answers count, default"):
            look()
