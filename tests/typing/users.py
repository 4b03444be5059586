"""What users write, for the type checker alone: `make types` runs mypy over this file."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np
import torch
from PIL import Image
from torch import nn

import edgeskin
from edgeskin.artifacts import Artifact
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.result import BenchResult
from edgeskin.calibration.program import Program
from edgeskin.converters.parity.documents import DriftReport, Verification
from edgeskin.evaluation import MetricChange
from edgeskin.formats.model_audit import Audit
from edgeskin.postprocess import Prediction
from edgeskin.sources.importing import ImportReport
from edgeskin.walkthrough.demo_report import DemoReport


def predictions() -> None:
    with edgeskin.load("model.tflite") as model:
        assert_type(model, edgeskin.Predictor)
        assert_type(model.predict("face.jpg"), Prediction)
        assert_type(model.predict(Path("face.jpg")), Prediction)
        assert_type(model.predict(Image.new("RGB", (8, 8))), Prediction)
        assert_type(model.predict(np.zeros((8, 8, 3), np.uint8)), Prediction)
        assert_type(model.predict(["a.jpg", "b.jpg"]), list[Prediction])


def the_way() -> None:
    edgeskin.import_run("torchvision.models:resnet18", "spec.json", "run", weights="w.pth")
    answers = edgeskin.SpecAnswers(normalization="imagenet", labels={"": ("mild", "severe")})
    made = edgeskin.import_run(nn.Identity(), None, "run", answers=answers, input_size=(8, 8))
    assert_type(made, ImportReport)
    example = torch.zeros(1, 3, 8, 8)
    assert_type(edgeskin.convert(nn.Identity(), target="tflite", example=example), list[Artifact])
    options = edgeskin.CalibrationOptions(scheme="w8a8", method="mse", samples=64)
    assert_type(edgeskin.calibrate("run", "data", "p.pt2", options), Program)
    assert_type(edgeskin.qat("run", "data", "p.pt2", options), Program)
    portable = edgeskin.ConversionOptions(destinations=("gpu",))
    files = edgeskin.convert("p.pt2", "app", target="tflite", precision="int8", options=portable)
    assert_type(files, list[Artifact])
    assert_type(edgeskin.inspect(files[0].path), Audit)
    assert_type(edgeskin.inspect("a.onnx").multiply_adds.int8_share, float | None)
    groups = edgeskin.GroupOptions(by=["severity", "age:30,50"])
    report = edgeskin.verify(files[0].path, "run", "data", groups)
    assert_type(report, Verification)
    assert_type(report.metrics["count_mae"], MetricChange)
    assert_type(report.metrics["count_mae"].change.low, float)
    drift = edgeskin.drift("a.tflite", "run", "data", edgeskin.DriftOptions(program="p.pt2"))
    assert_type(drift, DriftReport)


def devices() -> None:
    assert_type(edgeskin.pack("run", "data", "pack", samples=64), Pack)
    for outcome in edgeskin.bench(["a.tflite"], "pack", "results", devices=["host"]).values():
        if not isinstance(outcome, edgeskin.EdgeskinError):
            assert_type(outcome, list[BenchResult])
    for facts in edgeskin.devices().values():
        if isinstance(facts, Facts):
            assert_type(facts.emulated, bool)
    assert_type(edgeskin.demo("demo"), DemoReport)


def mistakes() -> None:
    """mypy's `warn_unused_ignores` fails where one of these is no error any more."""
    edgeskin.convert("run", "app", target="tensorflow")  # type: ignore[arg-type]
    edgeskin.CalibrationOptions(scheme="w4")  # type: ignore[arg-type]
    _ = edgeskin.quantise  # type: ignore[attr-defined]
    _ = edgeskin.inspect("a.onnx").multiply_ads  # type: ignore[attr-defined]
