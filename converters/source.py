"""What a conversion starts from: a run (float) or a program (INT8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeskin.calibration.archive import read_header
from edgeskin.errors import InvalidRun
from edgeskin.files import sha256
from edgeskin.spec import Spec

if TYPE_CHECKING:
    from torch import nn

FLOAT = ("fp32", "fp16")
# What a manifest says of a program's calibration.
_OF_CALIBRATION = ("run", "method", "images", "exclude", "float_operators", "warnings")

    def describe(self) -> dict[str, str]:
        """For the manifest; the place on this machine is nobody's business."""
        file = self.path / "weights.safetensors" if self.kind == "run" else self.path
        return {"kind": self.kind, "name": self.path.name, "sha256": sha256(file)}


def find_source(path: Path) -> Source:
    """
    Raises:
        InvalidRun: Neither a run folder nor a `.pt2` file.
    """
    path = Path(path)
    if (path / "spec.json").is_file():
        if not (path / "weights.safetensors").is_file():
            raise InvalidRun(f"{path} has a spec but no weights.safetensors. Train or import it.")
        return Source(path, "run")
    if path.suffix == ".pt2" and path.is_file():
        return Source(path, "program")
    why = "is missing" if not path.exists() else "is neither a run folder nor a program (.pt2)"
    raise InvalidRun(f"{path} {why}. Give what edgeskin train, import, calibrate or qat wrote.")
