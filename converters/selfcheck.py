"""Evidence that a converted file computes what the torch module it came from computes.

This compares an artifact with its own source (an INT8 file with its QDQ graph),
on a few synthetic images: a broken conversion shows, the loss by quantization
does not. That is what `edgeskin verify` measures, on real images.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edgeskin import metrics
from edgeskin.converters.model import Job
from edgeskin.errors import ConversionFailed
from edgeskin.models.app_model import AppModel, decode
from edgeskin.predictor import Predictor
from edgeskin.runtimes import open_session
from edgeskin.spec import InputSpec

# Below these a file is wrong, not imprecise. Float rounding gives over 90 dB and
# float16 over 40 (10 lg(28 * 2^20) = 75 dB for one rounding, 10 lg n less for n); an
# INT8 file may flip roundings, but at 0 dB it is all noise.
FLOOR_DB = {"fp32": 40.0, "fp16": 20.0, "int8": 0.0}
_LIKELY = {
    "fp32": "This is a fault of the converter.",
    "fp16": "Values beyond 65504 do not fit float16: convert to fp32 or int8.",
    "int8": "This is a fault of the converter.",
}
SAMPLES = 4
Outputs = dict[str, NDArray[Any]]


def measure(job: Job, path: Path) -> dict[str, Any]:
    """Run `path` beside its torch module; differences by output, and the worst SQNR.

    `sqnr_db` is null where both agree to the last bit.

    Raises:
        ConversionFailed: NaN, or less agreement than `FLOOR_DB`.
    """
    spec = job.metadata.spec
    session = open_session(path)
    with Predictor(spec, session, job.metadata.io) as predictor:
        pairs = [_run_both(job, predictor, image) for image in images(spec.input)]
    outputs = {}
    for name in spec.output_names("app"):
        reference = np.concatenate([pair[0][name] for pair in pairs])
        candidate = np.concatenate([pair[1][name] for pair in pairs])
        outputs[name] = _compare(job, path, name, reference, candidate)
    found = [entry["sqnr_db"] for entry in outputs.values() if entry["sqnr_db"] is not None]
    worst = min(found, default=None)
    return {"runtime": session.runtime, "samples": SAMPLES, "sqnr_db": worst, "outputs": outputs}


def images(size: InputSpec, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Smooth random colour, uint8 (H, W, 3): the spectrum of photographs, the same each time."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (SAMPLES, 8, 8, 3), dtype=np.uint8)
    shape = (size.width, size.height)
    return [np.array(Image.fromarray(c).resize(shape, Image.Resampling.BICUBIC)) for c in coarse]


def _run_both(job: Job, predictor: Predictor, image: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
    """Decoded outputs of the torch module and of the artifact."""
    spec = job.metadata.spec
    x = AppModel(torch.nn.Identity(), spec).normalize(torch.from_numpy(image[None]))
    with torch.no_grad():
        values = decode(spec, job.network(x.contiguous()))  # a program views what is contiguous
    names = job.metadata.spec.output_names("app")
    expected = {name: value.numpy() for name, value in zip(names, values, strict=True)}
    return expected, predictor.run(image)


def _compare(
    job: Job, path: Path, name: str, reference: NDArray[Any], candidate: NDArray[Any]
) -> dict[str, Any]:
    sqnr = metrics.sqnr_db(reference, candidate)
    precision = job.metadata.precision
    floor = FLOOR_DB[precision]
    if math.isnan(sqnr) or sqnr < floor:
        raise ConversionFailed(
            f"{path.name} does not compute what its model computes: output '{name}' agrees to "
            f"{sqnr:.1f} dB, at least {floor:.0f} dB are expected. {_LIKELY[precision]}"
        )
    return {
        "max_abs_diff": metrics.max_difference(reference, candidate),
        "sqnr_db": None if math.isinf(sqnr) else round(sqnr, 2),
    }
