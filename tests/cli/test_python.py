"""The same from Python, as the README uses it: paths may be strings."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeskin


@pytest.mark.slow
def test_training(phantom_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeskin.training.recipe import Recipe

    monkeypatch.chdir(tmp_path)
    recipe = Recipe(size=64, resize_to=72, pretrained=False, batch_size=8, epochs=1)
    record = edgeskin.train("acne", "mobilenet_v3_small", str(phantom_set), "run", recipe=recipe)
    assert record.train_images == 24
    assert edgeskin.load_run("run").spec.name == "acne-mobilenet_v3_small"


@pytest.mark.slow
def test_a_file_predicts_and_is_verified(int8: Path, lively_run: Path, phantom_set: Path) -> None:
    run = edgeskin.load_run(str(lively_run))
    document = edgeskin.verify(int8, run, edgeskin.load_split(str(phantom_set), "test"))
    assert document.images == 16
    image = next(phantom_set.rglob("*.png"))
    with edgeskin.load(str(int8)) as predictor:
        assert predictor.predict(str(image))["severity"].label in predictor.spec.heads[0].labels


def test_calibration_is_refused_with_strings_too(phantom_set: Path, tmp_path: Path) -> None:
    with pytest.raises(edgeskin.EdgeskinError, match="no scheme 'w4'"):
        edgeskin.calibrate(
            "run",
            str(phantom_set),
            str(tmp_path / "p.pt2"),
            edgeskin.CalibrationOptions(scheme="w4"),
        )  # type: ignore[arg-type]


def test_everything_refused_has_one_base(tmp_path: Path) -> None:
    with pytest.raises(edgeskin.EdgeskinError, match="is missing"):
        edgeskin.convert(tmp_path / "no", tmp_path / "out")
    with pytest.raises(edgeskin.EdgeskinError, match="is none of"):
        edgeskin.load(tmp_path / "model")
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        _ = edgeskin.quantise


def test_calibration_says_what_it_found(
    phantom_set: Path, lively_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "p.pt2"
    program = edgeskin.calibrate(
        str(lively_run),
        str(phantom_set),
        str(out),
        edgeskin.CalibrationOptions(samples=4, exclude=["network.heads.0"]),
    )
    record = program.calibration
    assert (record.method, record.images, record.exclude) == ("mse", 4, ("network.heads.0",))
    assert sum(record.coverage.tones.values()) == 4
    assert sum(record.coverage.train_tones.values()) == 24
    assert record.float_operators == {"linear": 1}
    assert out.is_file()
