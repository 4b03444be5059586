"""edgeskin's own files, by the functions that its users call."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.program import save_program
from edgeskin.converters.convert import convert_files
from edgeskin.converters.options import ConversionOptions
from edgeskin.models.run import load_run

METHOD = "minmax"
"""Scales as the other tools find them, so that speed is compared and not calibration."""


def make_program(folder: Path, path: Path) -> None:
    run = load_run(folder / "run")
    with np.load(folder / "samples.npz") as samples:
        images = samples["calibration"]
    save_program(path, calibrate_network(run.network, run.spec, images, method=METHOD))


def make_tflite(folder: Path, path: Path) -> None:
    _convert(folder, path, "tflite")


def make_onnx(folder: Path, path: Path) -> None:
    _convert(folder, path, "onnx")


def _convert(folder: Path, path: Path, target: str) -> None:
    scratch = path.parent / "converted"
    options = ConversionOptions(io="tensor", timing=False, workers=1)
    (artifact,) = convert_files(folder / "program.pt2", [target], ["int8"], scratch, options)
    os.replace(artifact.path, path)
