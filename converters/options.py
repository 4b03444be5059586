"""How files are made: the choices, with their defaults; nothing heavy here."""

from __future__ import annotations

from dataclasses import dataclass

from edgeskin.artifacts import Io
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.destinations import CPU


@dataclass(frozen=True)
class ConversionOptions:
    """How a run or a program becomes files.

    Attributes:
        io: `app`, pixels in and decoded values out, or `tensor`, the bare network.
        timing: Time each INT8 file against float (`Artifact.speed`), and each file for a CPU and
            others against one for the CPU alone (`Artifact.cpu_cost`): one more conversion each.
        destinations: Where the files will run, names of `edgeskin.destinations`, such as "cpu",
            "snapdragon:SM8750": of several, each file suits all that take its type.
        timeout_s: For each conversion, in seconds.
        workers: Conversions at a time; the number of processors by default.
        calibration: Of a run, where INT8 is asked of it.
    """

    io: Io = "app"
    timing: bool = True
    destinations: tuple[str, ...] = (CPU,)
    timeout_s: float = 900.0
    workers: int | None = None
    calibration: CalibrationOptions = CalibrationOptions()
