"""Parity against figures computed here, from raw outputs, with numpy alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from tiny_network import LABELS, network, tiny_spec
from tiny_network import float_run as reference

from edgeskin.converters.parity import Verification, agree, compare_outputs, verify, worst_drop
from edgeskin.data.manifest import load_split
from edgeskin.errors import ShapeMismatch
from edgeskin.estimate import Estimate
from edgeskin.evaluation import COVERAGE, MetricChange
from edgeskin.formats.onnx.saturation import open_precise
from edgeskin.models.run import Run
from edgeskin.predictor import Predictor, load
from edgeskin.runtimes.pytorch import TorchSession, run_all

Convert = Callable[..., Path]
pytestmark = pytest.mark.slow


def raw_pixels(data: Path) -> np.ndarray:
    return np.stack([np.array(Image.open(path)) for path in load_split(data, "test").paths])


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def onnx_session(path: Path, entries: dict[str, str]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(str(path), options)


def test_the_report_agrees_with_numpy_on_raw_outputs(converted: Convert, data: Path) -> None:
    """`tensor` files give raw heads: decode, compare and score them here, by hand."""
    path = converted("onnx", "int8", "tensor")
    verification = verify(path, reference(), load_split(data, "test"))

    spec = tiny_spec().input
    x = (raw_pixels(data) / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)
    session, _ = open_precise(lambda entries: onnx_session(path, entries))
    name = session.get_inputs()[0].name
    outputs = [session.run(["severity", "count"], {name: image[None]}) for image in x]
    severity, count = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    with torch.inference_mode():
        raw = reference().network(torch.from_numpy(x))
    ours = {"severity": softmax(raw[0].numpy()), "count_distribution": softmax(raw[1].numpy())}
    theirs = {"severity": softmax(severity), "count_distribution": softmax(count)}
    values = np.arange(1, 10)
    ours["count"] = ours["count_distribution"] @ values[:, None]
    theirs["count"] = theirs["count_distribution"] @ values[:, None]

    for name, expected in ours.items():
        noise = expected - theirs[name]
        sqnr = 10 * np.log10((expected**2).sum() / (noise**2).sum())
        found = verification.agreement[name]
        # Both sides work in float32 where numpy here has float64: 1e-6 of values, 0.1 dB of
        # a noise that is 1e-2 of them.
        assert found.sqnr_db == pytest.approx(sqnr, abs=0.1)
        assert found.max_difference == pytest.approx(np.abs(noise).max(), rel=1e-2)
        norms = np.linalg.norm(expected) * np.linalg.norm(theirs[name])
        assert found.cosine == pytest.approx((expected * theirs[name]).sum() / norms, abs=1e-6)
    assert verification.sqnr_db == min(a.sqnr_db for a in verification.agreement.values())

    decided = ours["severity"].argmax(1), theirs["severity"].argmax(1)
    assert verification.equal_decisions["severity"] == pytest.approx(
        (decided[0] == decided[1]).mean()
    )
    rows = load_split(data, "test").rows
    truth = np.array([LABELS.index(row["severity"]) for row in rows])
    accuracy = verification.metrics["severity_accuracy"]
    assert accuracy.reference == pytest.approx((decided[0] == truth).mean())
    assert accuracy.candidate == pytest.approx((decided[1] == truth).mean())
    lesions = np.array([[float(row["count"])] for row in rows])
    mae = verification.metrics["count_mae"]
    assert mae.reference == pytest.approx(np.abs(ours["count"] - lesions).mean(), abs=1e-4)
    assert mae.candidate == pytest.approx(np.abs(theirs["count"] - lesions).mean(), abs=1e-4)
    assert mae.change.value == pytest.approx(mae.candidate - mae.reference, abs=1e-9)


def test_a_verification_comes_back_from_its_json(converted: Convert, data: Path) -> None:
    verification = verify(converted("onnx", "int8"), reference(-1.0), load_split(data, "test"))
    document = json.loads(json.dumps(verification.to_json()))
    assert Verification.from_json(document) == verification
    assert document["version"] == 1
    assert document["rounding_db"] is None  # plays no part for INT8
    assert "layers" not in document  # nobody asked


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_precisions_are_in_their_order(target: str, converted: Convert, data: Path) -> None:
    found = {
        precision: verify(converted(target, precision), reference(), load_split(data, "test"))
        for precision in ("fp32", "int8")
    }
    assert found["fp32"].sqnr_db > 90.0  # float32 rounding alone: 24 bits are 144 dB
    assert 10.0 < found["int8"].sqnr_db < 60.0  # eight bits are at most 50 dB
    assert found["fp32"].images == 20


def test_other_weights_in_one_head_show_in_that_head_alone(converted: Convert, data: Path) -> None:
    verification = verify(converted("onnx", "fp32"), reference(-1.0), load_split(data, "test"))
    assert verification.agreement["severity"].sqnr_db < 15.0
    assert verification.agreement["count"].sqnr_db > 90.0
    assert verification.sqnr_db == verification.agreement["severity"].sqnr_db
    assert verification.equal_decisions["severity"] < 1.0


def test_swapped_images_are_found_out(converted: Convert, data: Path) -> None:
    """A reference in another order: each answer is right, but for another image."""
    dataset, run = load_split(data, "test"), reference()
    pixels = dataset.pixels(run.spec.input)
    expected = run_all(TorchSession(run.spec, run.network), pixels[::-1].copy())
    with load(converted("onnx", "fp32")) as predictor:
        outputs = predictor.run_all(pixels)
    verification = compare_outputs(
        run.spec, "onnxruntime", expected, outputs, dataset.truth(run.spec)
    )
    assert verification.sqnr_db < 30.0
    assert verification.agreement["mask"].max_difference > 0.01


class Broken:
    """A predictor whose last output is not a number."""

    def __init__(self, predictor: Predictor):
        self.spec, self.session, self.predictor = predictor.spec, predictor.session, predictor

    def run_all(self, pixels: np.ndarray, progress: object = None) -> dict[str, np.ndarray]:
        found = self.predictor.run_all(pixels)
        return found | {"mask": np.full_like(found["mask"], np.nan)}


def test_nan_in_any_output_is_nan_in_the_summary(converted: Convert, data: Path) -> None:
    dataset, run = load_split(data, "test"), reference()
    pixels = dataset.pixels(run.spec.input)
    expected = run_all(TorchSession(run.spec, run.network), pixels)
    with load(converted("onnx", "fp32")) as predictor:
        broken = Broken(predictor).run_all(pixels)
    verification = compare_outputs(
        run.spec, "onnxruntime", expected, broken, dataset.truth(run.spec)
    )
    assert np.isnan(verification.sqnr_db)
    assert verification.agreement["severity"].sqnr_db > 90.0


def test_progress_counts_the_images(converted: Convert, data: Path) -> None:
    seen: list[tuple[int, int]] = []
    verify(
        converted("onnx", "fp32"),
        reference(),
        load_split(data, "test"),
        progress=lambda what, done, total: seen.append((done, total)),
    )
    assert seen == [(i + 1, 20) for i in range(20)]


def test_another_model_is_refused(converted: Convert, data: Path) -> None:
    spec = tiny_spec(input=tiny_spec().input.model_copy(update={"mean": (0.0, 0.0, 0.0)}))
    with pytest.raises(ShapeMismatch, match=r"preprocess differently \(mean .* against "):
        verify(converted("onnx", "fp32"), Run(spec, network("fp32")), load_split(data, "test"))
    spec = tiny_spec(heads=tiny_spec().heads[:3])
    with pytest.raises(ShapeMismatch, match="they are not the same model"):
        verify(converted("onnx", "fp32"), Run(spec, network("fp32")), load_split(data, "test"))


def test_agreement_of_shapes_that_differ() -> None:
    with pytest.raises(ShapeMismatch, match=r"reference is \(1, 3\), candidate is \(1, 4\)"):
        agree(np.zeros((1, 3)), np.zeros((1, 4)))


def test_worst_drop_takes_losses_of_ratios_alone() -> None:
    def metric(unit: str, higher: bool, change: float) -> MetricChange:
        estimate = Estimate(value=change, low=change, high=change)
        return MetricChange(
            unit=unit, higher_is_better=higher, reference=0.0, candidate=change, change=estimate
        )

    metrics = {
        "accuracy": metric("ratio", True, -0.02),
        "balanced": metric("ratio", True, 0.5),
        "mae": metric("lesions", False, 3.0),
    }
    assert worst_drop(metrics) == pytest.approx(2.0)
    assert worst_drop({"balanced": metrics["balanced"]}) == 0.0


def test_worst_drop_of_coverage_is_what_it_is_further_from_its_level() -> None:
    same = Estimate(value=0.0, low=0.0, high=0.0)

    def covered(before: float, after: float) -> dict[str, MetricChange]:
        change = MetricChange(**dict(COVERAGE), reference=before, candidate=after, change=same)
        return {"age_coverage_80": change}

    assert worst_drop(covered(0.96, 0.80)) == 0.0  # fewer, and better
    assert worst_drop(covered(0.80, 0.96)) == pytest.approx(16.0)
