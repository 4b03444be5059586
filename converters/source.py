"""What a conversion starts from: a run (float) or a program (INT8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeskin.calibration.header import is_program, read_header
from edgeskin.conversion import SourceRecord
from edgeskin.errors import InvalidRun
from edgeskin.files import sha256
from edgeskin.models.run_files import network_file, read_trained
from edgeskin.sources.recognize import kind_of
from edgeskin.spec import Spec

if TYPE_CHECKING:
    from torch import nn

FLOAT = ("fp32", "fp16")
# What a manifest says of a program's calibration.
_OF_CALIBRATION = ("run", "method", "images", "exclude", "float_operators", "warnings")


@dataclass(frozen=True)
class Loaded:
    """A spec and its network, float32 (1, 3, H, W) to a tuple of raw heads.

    `calibration` says in short where the scales of a program come from;
    `weights_sha256` is that of the trained weights, where it is known.
    """

    spec: Spec
    network: nn.Module
    calibration: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""


@dataclass(frozen=True)
class Source:
    """A run folder or a `.pt2` file, recognised but not loaded."""

    path: Path
    kind: Literal["run", "program"]

    @property
    def precisions(self) -> tuple[str, ...]:
        return FLOAT if self.kind == "run" else ("int8",)

    def cannot_give(self, precision: str) -> InvalidRun:
        """Why, and what to do: a program has no float weights, a run no scales."""
        if self.kind == "program":
            return InvalidRun(
                f"{self.path} is a quantized program and gives int8 only. "
                f"Convert the run it was calibrated from to {precision}."
            )
        return InvalidRun(
            f"{self.path} is a float run and has no scales for {precision}. "
            "Calibrate it first, or pass --data to calibrate on the way."
        )

    def spec(self) -> Spec:
        return Spec.load(self.path) if self.kind == "run" else read_header(self.path).spec

    def scheme(self) -> str | None:
        """The scheme of a program; a run has none."""
        return None if self.kind == "run" else read_header(self.path).scheme

    def load(self, *, trust: bool = False) -> Loaded:
        if self.kind == "run":
            from edgeskin.models.run import load_run

            run = load_run(self.path, trust=trust)
            return Loaded(run.spec, run.network, weights_sha256=run.sha256)
        from edgeskin.calibration.program import load_program

        program = load_program(self.path)
        calibration = program.calibration.to_json()
        facts = {key: calibration[key] for key in _OF_CALIBRATION if key in calibration}
        if (control := program.calibration.accuracy_control) is not None:
            kept = control.model_copy(update={"parts": control.kept})
            facts["kept_in_float"] = kept.to_json()
        return Loaded(
            program.spec,
            program.module,
            {"scheme": program.scheme, **facts},
            calibration.get("run", {}).get("sha256", ""),
        )

    def describe(self) -> SourceRecord:
        """The entry of this source in the manifest."""
        if self.kind == "run":
            file, trained = network_file(self.path), read_trained(self.path)
        else:
            file, trained = self.path, read_header(self.path).calibration.trained
        return SourceRecord(
            kind=self.kind, name=self.path.name, sha256=sha256(file), trained=trained
        )


def find_source(path: Path) -> Source:
    """The run folder or program file at `path`.

    Raises:
        InvalidRun: Neither a run nor a program; the line says how to import what it is.
    """
    path = Path(path)
    if (path / "spec.json").is_file():
        network_file(path)
        return Source(path, "run")
    if path.is_file() and is_program(path):
        return Source(path, "program")
    if not path.exists():
        raise InvalidRun(
            f"{path} is missing. Give what edgeskin train, import, calibrate or qat wrote."
        )
    kind = kind_of(path)
    raise InvalidRun(
        f"{path} is {kind.title}, no run yet. Make it one: edgeskin import {path} --out RUN"
    )


def is_foreign(path: Path) -> bool:
    """Whether `path` holds neither a run nor a program: it must be imported first."""
    return not ((path / "spec.json").is_file() or (path.is_file() and is_program(path)))
