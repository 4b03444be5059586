"""One target that fails leaves the files of the others, and says what failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import snapshot
from samples import SEVERITY, acne_spec

from edgeskin.artifacts import read_manifest
from edgeskin.cli.main import run as command
from edgeskin.models.architectures import build
from edgeskin.models.run import save_run
from edgeskin.spec import ClassificationHead

pytestmark = pytest.mark.slow
BENT = """
import torch

class Bent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):  # coremltools does not know celu
        x = self.layer(x).mean((2, 3))
        return torch.nn.functional.celu(x)
"""


def test_what_succeeded_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bent.py").write_text(BENT)
    monkeypatch.chdir(tmp_path)
    heads = (ClassificationHead(name="severity", labels=SEVERITY),)
    spec = acne_spec(name="bent", arch="bent:Bent", heads=heads)
    save_run(tmp_path / "run", spec, build(spec))
    out = tmp_path / "out"
    arguments = ["convert", "run", "--out", "out", "--precision", "fp32", "--target", "all"]
    assert command(arguments) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("edgeskin:")]
    assert len(errors) == 1
    assert "bent-fp32.mlpackage" in errors[0]
    assert "celu" in errors[0]
    files = {path for path in snapshot(out) if "/" not in path}
    made = {"bent-fp32.onnx", "bent-fp32.tflite"}
    assert files == made | {"bent-fp32.mlpackage.log", "manifest.json", "bent.card.md"}
    assert set(read_manifest(out)) == made
