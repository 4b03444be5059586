"""Networks of our own, quantized, as files of all three formats."""

from __future__ import annotations

from pathlib import Path

import pytest
from our_networks import NETWORKS, program, spec_of

from edgeskin.artifacts import Metadata
from edgeskin.converters.model import Job
from edgeskin.converters.worker import examine
from edgeskin.formats import FORMATS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("name", NETWORKS)
def test_int8_files_pass_their_self_check(name: str, target: str, tmp_path: Path) -> None:
    quantized = program(name)
    job = Job(quantized.module, Metadata(spec_of(name), "app", "int8"))
    path = tmp_path / f"file{FORMATS[target].suffix}"
    made = FORMATS[target].convert(job, path)
    calibration = {**quantized.calibration.to_json(), "scheme": quantized.scheme}
    examine(job, path, calibration, made)  # raises ConversionFailed
