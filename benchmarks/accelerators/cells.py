"""A network in each precision on each place that runs its files: one cell a pair.

A cell is kept as soon as it is measured, and not measured again, so that the same call after a
kill goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgeskin.artifacts import Target
from edgeskin.benchmarks.result import Assigned, read_result
from edgeskin.calibration.from_run import calibrate
from edgeskin.calibration.options import CalibrationOptions, SchemeName
from edgeskin.converters.from_source import convert
from edgeskin.converters.options import ConversionOptions
from edgeskin.converters.parity.compare import Reference
from edgeskin.converters.parity.documents import Verification
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.document import Document
from edgeskin.errors import (
    CannotExpress,
    ConversionFailed,
    InvalidArtifact,
    InvalidRun,
    NotSupportedHere,
    RunFailed,
)
from edgeskin.evaluation import MetricChange
from edgeskin.files import sha256, write_json
from edgeskin.formats import FORMATS
from edgeskin.models.run import Run, load_run
from edgeskin.models.run_files import network_file
from edgeskin.progress import Progress, silent
from edgeskin.verbs import measure_on

PRECISIONS: Mapping[str, SchemeName | None] = {"fp32": None, "w8a8": "w8a8", "w8a16": "w8a16"}
"""By name, the scheme of its program; None of the float network."""
CPU, OTHERS = ("cpu",), ("snapdragon", "gpu")
"""Destinations of the two files that a network has of each type: for CPUs, and for the others."""


@dataclass(frozen=True)
class Place:
    """Something that runs files of one type.

    Attributes:
        device: As `edgeskin bench --device` calls it; None: this machine.
        title: For a person.
        target: The format of its files.
        destinations: What its files are made for.
    """

    device: str | None
    title: str
    target: Target
    destinations: tuple[str, ...] = CPU


PLACES = (
    Place(None, "this CPU", "tflite"),
    Place(None, "this CPU", "onnx"),
    Place(None, "meaning of MIL", "coreml"),
    Place("emulated:cortex-a76", "Arm Cortex-A76, emulated", "tflite"),
    Place("emulated:cortex-a76", "Arm Cortex-A76, emulated", "onnx"),
    Place("simulated:htp:SM8750", "Snapdragon SM8750's NPU, simulated", "tflite", OTHERS),
    Place("simulated:htp:SM8750", "Snapdragon SM8750's NPU, simulated", "onnx", OTHERS),
    Place("simulated:gpu", "a phone's GPU in float16, simulated", "tflite", OTHERS),
)


class Found(Document):
    """What a file gives on a place, beside the float network on the same images.

    Attributes:
        refused: Why there are no figures; all else is left out then.
        taken: Operators on the accelerator, of how many; None where the runtime does not say.
    """

    refused: str | None = None
    sqnr_db: float | None = None
    equal_decisions: dict[str, float] | None = None
    metrics: dict[str, MetricChange] | None = None
    taken: tuple[int, int] | None = None


class Cell(Found):
    """One file on one place.

    Attributes:
        precision: One of `PRECISIONS`.
        place: Its title.
        seconds: Wall time that the cell took, with what else went on on the machine.
    """

    precision: str
    place: str
    target: str
    seconds: float


class NetworkCells(Document):
    """Every cell of a network, of so many drawn test images."""

    name: str
    arch: str
    data: str
    images: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class NetworkBench:
    """A network, and where its files and cells are made.

    Attributes:
        run: Of the float network.
        data: A data folder; its train split calibrates, its test split is drawn from.
        out: A folder of its own.
        images: How many to draw.
    """

    name: str
    run: Path
    data: Path
    out: Path
    images: int
    progress: Progress = silent

    def measure(self) -> NetworkCells:
        """All cells; those that are known already are read."""
        self._check_settings()
        cells = tuple(self._cell(place, precision) for place in PLACES for precision in PRECISIONS)
        return NetworkCells(
            name=self.name,
            arch=self.model.spec.arch or "",
            data=self.test.name,
            images=len(self.test),
            cells=cells,
        )

    def _check_settings(self) -> None:
        """Cells of another run, other data or another draw are none of these."""
        settings = {
            "weights": sha256(network_file(self.run)),
            "images": [image.sha256() for image in self.test.images],
        }
        kept = self.out / "settings.json"
        if kept.is_file() and json.loads(kept.read_bytes()) != settings:
            raise InvalidRun(f"{self.out} has cells of another run or other images: remove it")
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(kept, settings)

    @cached_property
    def model(self) -> Run:
        return load_run(self.run)

    @cached_property
    def test(self) -> Dataset:
        return load_split(self.data, "test").take(self.images)

    @cached_property
    def reference(self) -> Reference:
        return Reference.of(self.model, self.test)

    def _cell(self, place: Place, precision: str) -> Cell:
        where = "".join(c if c.isalnum() else "-" for c in place.device or "here")
        kept = self.out / "cells" / f"{precision}-{place.target}-{where}.json"
        if kept.is_file():
            return Cell.from_json(json.loads(kept.read_bytes()))
        began = time.monotonic()
        try:
            found = self._found(place, precision)
        except (CannotExpress, ConversionFailed, InvalidArtifact, NotSupportedHere) as error:
            found = Found(refused=str(error))  # of the file; what is this machine's stops the run
        except RunFailed as error:
            if type(error) is not RunFailed:
                raise
            found = Found(refused=str(error))
        cell = Cell(
            precision=precision,
            place=place.title,
            target=place.target,
            seconds=time.monotonic() - began,
            **dict(found),
        )
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, cell.to_json())
        return cell

    def _found(self, place: Place, precision: str) -> Found:
        artifact = self._file(place, precision)
        if place.device is None:
            return _figures(self.reference.verify(artifact, self.progress))
        results = self.out / "results" / artifact.parent.name
        measured = measure_on(
            artifact, self.run, self.test, place.device, results,
            progress=self.progress,
        )  # fmt: skip
        outputs = measured.of(artifact, [image.sha256() for image in self.test.images])
        verification = self.reference.verify(artifact, outputs=outputs, measured=measured)
        return _figures(verification, read_result(measured.path).assigned)

    def _file(self, place: Place, precision: str) -> Path:
        scheme = PRECISIONS[precision]
        source = self.run if scheme is None else self._program(scheme)
        out = self.out / f"{precision}-{place.target}-for-{'-'.join(place.destinations)}"
        if not (out / "manifest.json").is_file():
            options = ConversionOptions(timing=False, destinations=place.destinations)
            convert(source, out, target=place.target, options=options, progress=self.progress)
        return next(out.glob(f"*{FORMATS[place.target].suffix}"))

    def _program(self, scheme: SchemeName) -> Path:
        program = self.out / f"{scheme}.pt2"
        if not program.is_file():
            options = CalibrationOptions(scheme=scheme)
            calibrate(self.run, self.data, program, options, progress=self.progress)
        return program


def _figures(verification: Verification, assigned: Assigned | None = None) -> Found:
    return Found(
        sqnr_db=verification.sqnr_db,
        equal_decisions=verification.equal_decisions,
        metrics=verification.metrics,
        taken=None if assigned is None else assigned.operators,
    )
