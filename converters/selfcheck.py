"""Evidence that a converted file computes what the torch module it came from computes.

This compares an artifact with its own source (an INT8 file with its QDQ graph),
on a few synthetic images: a broken conversion shows, the loss by quantization
does not. That is what `edgeskin verify` measures, on real images.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeskin import metrics
from edgeskin.conversion import OutputCheck, SelfCheck
from edgeskin.converters.model import Job
from edgeskin.converters.parity.diagnose import CLEAR_DB, check_shapes, explain
from edgeskin.converters.parity.floors import most_db, rounding_db, whole_db
from edgeskin.converters.parity.reference import Model, of_network
from edgeskin.errors import ConversionFailed, EdgeskinError
from edgeskin.formats import open_session
from edgeskin.predictor import Predictor
from edgeskin.spec import InputSpec

_FAULT = "This is a fault of the converter."
_LIKELY = {
    "fp32": _FAULT,
    "fp16": "Values beyond 65504 do not fit float16: convert to fp32 or int8.",
    "int8": f"{_FAULT} edgeskin calibrate --exclude 'LAYER' leaves the layer in float.",
}
SAMPLES = 4


def measure(job: Job, path: Path) -> SelfCheck:
    """Run `path` beside its torch module: differences by output, and the worst SQNR.

    Raises:
        ConversionFailed: NaN, less agreement than its floor (`floors.py`), or far more agreement
            with a model that makes a known mistake.
        ShapeMismatch: An output has another shape.
    """
    spec = job.metadata.spec
    session = open_session(path)
    model = of_network(spec.name, spec, job.network, "")
    pixels = np.stack(images(spec.input))
    with Predictor(spec, session, job.metadata.io) as predictor:
        outputs = predictor.run_all(pixels)
    expected = model.run_all(pixels)
    check_shapes(expected, outputs)
    sqnr = {name: metrics.sqnr_db(x, outputs[name]) for name, x in expected.items()}
    worst = min(sqnr, key=lambda name: (not math.isnan(sqnr[name]), sqnr[name]))
    precision = job.metadata.precision
    floor = most_db(precision)
    if not sqnr[worst] >= floor:
        floor = whole_db(precision, rounding_db(model, pixels))
    if not sqnr[worst] >= max(floor, CLEAR_DB):
        cause = explain(model, pixels, outputs, precision, floor)
        if cause or not sqnr[worst] >= floor:
            raise ConversionFailed(
                f"{path.name} does not compute what its model computes: output '{worst}' agrees "
                f"to {sqnr[worst]:.1f} dB, at least {floor:.0f} dB are expected. "
                f"{cause or _place(path, model, pixels) + _LIKELY[precision]}"
            )
    return SelfCheck(
        runtime=session.runtime,
        samples=SAMPLES,
        sqnr_db=_rounded(sqnr[worst]),
        outputs={
            name: OutputCheck(
                max_abs_diff=metrics.max_difference(x, outputs[name]), sqnr_db=_rounded(sqnr[name])
            )
            for name, x in expected.items()
        },
    )


def _place(path: Path, model: Model, pixels: NDArray[np.uint8]) -> str:
    """The first layer that differs, as a sentence; "" where none can be told."""
    from edgeskin.converters.parity.layers import compare_layers, explain_first_bad

    try:
        line = explain_first_bad(compare_layers(path, model, pixels[:1]))
    except EdgeskinError:  # nothing is like it, for instance
        return ""
    return f"The first that differs: {line}. " if line else ""


def images(size: InputSpec, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Smooth random colour, uint8 (H, W, 3): the spectrum of photographs, the same each time."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (SAMPLES, 8, 8, 3), dtype=np.uint8)
    shape = (size.width, size.height)
    return [np.array(Image.fromarray(c).resize(shape, Image.Resampling.BICUBIC)) for c in coarse]


def _rounded(sqnr_db: float) -> float | None:
    return None if math.isinf(sqnr_db) else round(sqnr_db, 2)
