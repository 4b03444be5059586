"""Drift by steps: they add up, each is what numpy says it is, and nothing else is switched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import acne_spec

from edgeskin.artifacts import Metadata
from edgeskin.converters.parity.documents import DriftReport, DriftStage, LayerReport, LayerRow
from edgeskin.converters.parity.drift import StageOutputs, check_origin, split
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.converters.parity.plots import plot_drift, plot_layers
from edgeskin.converters.parity.reference import Model
from edgeskin.converters.parity.resizes import RESIZES, find_resize
from edgeskin.errors import CannotWrite, InvalidRun, UnknownName
from edgeskin.estimate import Estimate
from edgeskin.preprocess import preprocess
from edgeskin.spec import InputSpec
from edgeskin.statistics import RESAMPLES

N = 60
NAMES = ("trained", "preprocessing", "quantization", "conversion", "kernels")


def outputs(rng: np.random.Generator, truth: np.ndarray, right: float) -> dict[str, np.ndarray]:
    """Decoded heads of which the share `right` of the decisions is right."""
    called = np.where(rng.random(N) < right, truth, (truth + 1) % 4)
    severity = np.full((N, 4), 0.1, np.float32)
    severity[np.arange(N), called] = 0.7
    count = rng.random((N, 65)).astype(np.float32)
    count /= count.sum(axis=1, keepdims=True)
    return {
        "severity": severity,
        "count": count @ np.arange(1, 66, dtype=np.float32)[:, None],
        "count_distribution": count,
    }


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"severity": rng.integers(0, 4, N), "count": rng.integers(1, 66, N).astype(np.float64)}


@pytest.fixture(scope="module")
def stages(truth: dict[str, np.ndarray]) -> list[StageOutputs]:
    rng = np.random.default_rng(1)
    shares = (0.9, 0.9, 0.7, 0.7, 0.6)
    made = [
        StageOutputs(name, name.upper(), outputs(rng, truth["severity"], share))
        for name, share in zip(NAMES, shares, strict=True)
    ]
    made[1] = StageOutputs("preprocessing", "the same bytes", made[0].outputs)
    return made


@pytest.fixture(scope="module")
def report(stages: list[StageOutputs], truth: dict[str, np.ndarray]) -> DriftReport:
    drift = split(
        acne_spec(), stages, truth, [StageOutputs("an older processor", "", stages[2].outputs)]
    )
    return DriftReport(
        artifact="a.onnx",
        data="d",
        split="test",
        images=N,
        pixels_sha256="0",
        reference_sha256="1",
        **dict(drift),
    )


def test_a_report_comes_back_from_its_json(report: DriftReport) -> None:
    document = json.loads(json.dumps(report.to_json()))
    assert DriftReport.from_json(document) == report
    assert document["version"] == 1
    assert "sqnr_db" not in document["stages"][0]  # there is none before
    (other,) = document["metrics"]["severity_accuracy"]["elsewhere"]
    assert other.keys() == {"stage", "what", "value", "change", "total"}


def test_the_steps_add_up_to_the_whole_change(report: DriftReport) -> None:
    assert len(report.metrics) == 6
    for metric in report.metrics.values():
        steps = metric.steps
        assert [step.stage for step in steps] == list(NAMES[1:])
        total = sum(step.change.value for step in steps)
        assert total == pytest.approx(metric.total.value, abs=1e-12)
        assert metric.start + total == pytest.approx(metric.end, abs=1e-12)
        assert steps[-1].value == metric.end


NO_CHANGE = Estimate(value=0.0, low=0.0, high=0.0)


def test_other_kernels_are_each_held_against_those_here(
    stages: list[StageOutputs], truth: dict[str, np.ndarray], report: DriftReport
) -> None:
    worse, same = (
        StageOutputs("worse", "W", stages[2].outputs),
        StageOutputs("same", "S", stages[-1].outputs),
    )
    drift = split(acne_spec(), stages, truth, [worse, same])
    assert drift.stages == report.stages
    assert [stage.stage for stage in drift.elsewhere] == ["worse", "same"]
    assert drift.elsewhere[1].sqnr_db == np.inf
    for name, metric in drift.metrics.items():
        bad, equal = metric.elsewhere
        alone = {"elsewhere": ()}
        before = report.metrics[name].model_copy(update=alone)
        assert metric.model_copy(update=alone) == before  # the steps are as without them
        assert bad.total is not None
        assert bad.value == metric.steps[1].value
        assert bad.change.value == pytest.approx(bad.value - metric.end, abs=1e-12)
        assert bad.total.value == pytest.approx(bad.value - metric.start, abs=1e-12)
        assert equal.change == NO_CHANGE
        assert equal.total == metric.total


def test_what_is_switched_to_the_same_changes_nothing(report: DriftReport) -> None:
    for metric in report.metrics.values():
        assert metric.steps[0].change == NO_CHANGE
    same = DriftStage(stage="preprocessing", what="the same bytes", sqnr_db=np.inf)
    assert report.stages[1] == same


def test_a_step_is_the_paired_change_that_numpy_says(
    report: DriftReport, stages: list[StageOutputs], truth: dict[str, np.ndarray]
) -> None:
    right = [stage.outputs["severity"].argmax(1) == truth["severity"] for stage in stages]
    change = report.metrics["severity_accuracy"].steps[1].change
    gain = right[2].astype(float) - right[1].astype(float)
    assert change.value == pytest.approx(gain.mean(), abs=1e-12)
    # The interval of a mean of N independent values is about +-1.96 standard errors of it; a
    # bootstrap of 2000 knows its percentiles to a tenth of that, and values are 1/60 apart.
    error = 1.96 * gain.std() / np.sqrt(N)
    assert RESAMPLES == 2000
    assert change.low == pytest.approx(gain.mean() - error, abs=0.15 * error + 1 / N)
    assert change.high == pytest.approx(gain.mean() + error, abs=0.15 * error + 1 / N)


def test_run_program_and_artifact_are_of_each_other_or_refused() -> None:
    spec = acne_spec()

    def model(name: str, weights: str) -> Model:
        return Model(name, spec, "", dict, weights_sha256=weights)  # type: ignore[arg-type]

    def of(artifact: str, run: str, program: str) -> None:
        file = OpenedFile(Path("a.onnx"))
        file.metadata = Metadata(spec, "app", "int8", weights_sha256=artifact)
        check_origin(file, model("run", run), model("p.pt2", program))

    ours, theirs = "a" * 64, "b" * 64
    of(ours, ours, ours)
    of("", ours, ours)  # an older file does not say
    with pytest.raises(InvalidRun, match=r"^p\.pt2: it was made from the weights bbbb"):
        of("", ours, theirs)
    with pytest.raises(InvalidRun, match=r"^a\.onnx: it was made from the weights bbbb"):
        of(theirs, ours, ours)


@pytest.mark.parametrize(
    "rule",
    [
        {"resize": "squash"},
        {"resize": "letterbox", "pad_value": 7},
        {"resize": "shortest_edge", "resize_to": 48},
        {"resize": "shortest_edge", "resize_to": 40, "filter": "bicubic"},
    ],
)
@pytest.mark.parametrize("shape", [(90, 130), (131, 87), (40, 40)])
def test_the_rule_on_pillow_is_the_cores_byte_for_byte(
    rule: dict[str, Any], shape: tuple[int, int]
) -> None:
    spec = InputSpec(height=40, width=40, mean=(0.5,) * 3, std=(0.5,) * 3, **rule)
    image = np.random.default_rng(5).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(find_resize("pillow")(image, spec), preprocess(image, spec))
    for name in RESIZES:
        found = find_resize(name)(image, spec)
        assert (found.shape, found.dtype) == ((40, 40, 3), np.uint8)


def test_a_resize_without_antialias_is_another_picture() -> None:
    spec = InputSpec(height=16, width=16, resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(find_resize("core")(stripes, spec)[:, 2:-2]) <= 1  # grey
    # Bilinear without antialias looks at two of each four columns.
    nearest = find_resize("nearest")(stripes, spec)
    assert set(np.unique(nearest)) <= {0, 255}


def test_an_unknown_resize_is_refused() -> None:
    with pytest.raises(UnknownName, match="no resize 'lanczos3'; there are core, pillow"):
        find_resize("lanczos3")


@pytest.fixture
def layers() -> LayerReport:
    rows = tuple(
        LayerRow(
            name=f"l{i}",
            kind="multiply",
            tensor=f"t{i}",
            by="name",
            sqnr_db=40.0 - i,
            own_sqnr_db=own,
            rounding_db=None,
            floor_db=10.0,
        )
        for i, own in enumerate((45.0, np.inf, 3.0, np.nan, 44.0, 43.0))
    )
    return LayerReport(
        artifact="a.onnx",
        sha256="0" * 64,
        reference="run",
        images=1,
        precision="int8",
        runtime="none",
        matched_products="6 of 6",
        unmatched=(),
        missing_additions=(),
        first_bad=None,
        bad=(),
        worst=(),
        layers=rows,
    )


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_are_written_whole_and_not_over_others(
    suffix: str, report: DriftReport, layers: LayerReport, tmp_path: Path
) -> None:
    for name, draw in pictures(report, layers).items():
        path = tmp_path / f"{name}{suffix}"
        draw(path)
        if suffix == ".png":
            with Image.open(path) as image:
                assert min(image.size) > 400
                assert len(np.unique(np.asarray(image.convert("L")))) > 20  # something is drawn
        else:
            assert path.read_text().rstrip().endswith("</svg>")
        with pytest.raises(CannotWrite, match="exists already"):
            draw(path)


def pictures(report: DriftReport, layers: LayerReport) -> dict[str, Callable[[Path], None]]:
    return {
        "layers": lambda path: plot_layers(layers, path),
        "drift": lambda path: plot_drift(report, "severity_accuracy", path),
    }
