"""A pipeline of runs becomes one of INT8 files, each stage calibrated on what it gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import edgeskin
from edgeskin.artifacts import read_manifest
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.converters import from_source
from edgeskin.converters.options import ConversionOptions
from edgeskin.data.manifest import EVERY
from edgeskin.errors import InvalidRun, InvalidSpec
from edgeskin.pipelines.pipeline_folder import read_pipeline
from edgeskin.sources.spec_answers import SpecAnswers

pytestmark = pytest.mark.slow
Make = Callable[..., Path]


def test_each_stage_is_calibrated_on_the_images_it_really_gets(
    of_runs: Path, halves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[str]] = {}
    convert = from_source.convert

    def recorded(source, out, **options):
        if (data := options.get("data")) is not None:
            seen[Path(source).name] = [
                row.get("picture_of", row["file"])
                for row in edgeskin.open_data(data).split(EVERY).rows
            ]
        return convert(source, out, **options)

    monkeypatch.setattr(from_source, "convert", recorded)
    options = ConversionOptions(
        timing=False, calibration=CalibrationOptions(samples=12, method="minmax")
    )
    artifacts = edgeskin.convert(
        of_runs, tmp_path, target="onnx", precision="int8", data=halves, options=options
    )
    made = read_pipeline(tmp_path / "red-only-int8-onnx.pipeline")
    assert [artifact.path for artifact in artifacts] == list(made.paths)
    assert made.spec.join == read_pipeline(of_runs).spec.join
    assert read_manifest(made.folder)["areas.onnx"].precision == "int8"
    every = [row["file"] for row in edgeskin.open_data(halves).split(EVERY).rows]
    assert seen["areas"] == every
    assert seen["colours"] == [name for i, name in enumerate(every) if (i % 16) % 4]
    report = edgeskin.verify(made.folder, of_runs, halves)
    assert report.precision == "int8"
    assert report.faults == ()
    # 8 bits: about 40 dB of the probabilities, and 20 dB is a difference of a tenth.
    assert report.sqnr_db > 20


def test_files_and_answers_are_refused(of_files: Make, of_runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRun, match="stage 'areas' of .* is a file already"):
        edgeskin.convert(of_files("onnx"), tmp_path, target="onnx")
    with pytest.raises(InvalidSpec, match="its stages have their specs already"):
        edgeskin.convert(of_runs, tmp_path, answers=SpecAnswers(normalization="imagenet"))
    with pytest.raises(InvalidRun, match="has no scales for int8"):
        edgeskin.convert(of_runs, tmp_path, target="onnx", precision="int8")
    assert list(tmp_path.iterdir()) == []
