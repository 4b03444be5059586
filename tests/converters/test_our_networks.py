"""Networks of our own, quantized, as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from our_networks import NETWORKS, program, spec_of

from edgeskin.artifacts import Metadata
from edgeskin.converters.model import Job
from edgeskin.converters.worker import examine
from edgeskin.formats import FORMATS

pytestmark = pytest.mark.slow


CASES = {
    "deeplab_mobilenet_v2": ("onnx", "tflite"),
    "acne_fusion": ("onnx", "coreml"),
    "ultrasound_v2": tuple(FORMATS),
    "ultrasound_v2_batch": ("onnx",),
}
"""Each network in formats that have the most to rewrite in it: a conversion takes a minute."""


def test_every_network_is_tried_and_so_is_every_format() -> None:
    assert set(CASES) == set(NETWORKS)
    assert {target for targets in CASES.values() for target in targets} == set(FORMATS)


@pytest.mark.parametrize(("name", "target"), [(n, t) for n, ts in CASES.items() for t in ts])
def test_int8_files_pass_their_self_check(name: str, target: str, tmp_path: Path) -> None:
    quantized = program(name)
    job = Job(quantized.module, Metadata(spec_of(name), "app", "int8"))
    path = tmp_path / f"file{FORMATS[target].suffix}"
    made = FORMATS[target].convert(job, path)
    calibration = {**quantized.calibration.to_json(), "scheme": quantized.scheme}
    examine(job, path, calibration, made)  # raises ConversionFailed
