"""Core ML beside the meaning of its program: how far the two agree on the same inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.images import decode
from edgeskin.preprocess import preprocess
from edgeskin.runtimes import Session, TensorSpec
from edgeskin.spec import InputSpec

Feed = dict[str, NDArray[Any]]
SAMPLES = 4
ANY = 64
"""The size of a random input along an axis that takes any."""


def compare(
    reference: Session, candidate: Session, feeds: Iterable[Mapping[str, NDArray[Any]]]
) -> dict[str, float]:
    """SQNR in dB by output, over all feeds; of labels and integers, the share of equal ones."""
    runs = [(reference.run(feed), candidate.run(feed)) for feed in feeds]
    found = {}
    for spec in reference.outputs:
        first, second = (np.stack([run[i][spec.name] for run in runs]) for i in (0, 1))
        measure = metrics.sqnr_db if is_float(spec) else metrics.equal_ratio
        found[spec.name] = float(measure(first, second))
    return found


def is_float(spec: TensorSpec) -> bool:
    return spec.dtype.startswith("float")


def feeds_of(inputs: tuple[TensorSpec, ...], images: Iterable[Path]) -> list[Feed]:
    """One feed for each image file, resized without ado; random ones where there are none.

    Raises:
        InvalidImage: A file is no image.
    """
    rng = np.random.default_rng(0)
    drawn = [{spec.name: _random(spec, rng) for spec in inputs} for _ in range(SAMPLES)]
    pictures = [spec for spec in inputs if spec.dtype == "uint8"]
    read = [
        {spec.name: _read(path, spec) for spec in pictures} | _others(drawn[0], pictures)
        for path in images
    ]
    return read or drawn


def _others(feed: Feed, pictures: list[TensorSpec]) -> Feed:
    names = {spec.name for spec in pictures}
    return {name: array for name, array in feed.items() if name not in names}


def _random(spec: TensorSpec, rng: np.random.Generator) -> NDArray[Any]:
    shape = [size if size > 0 else ANY for size in spec.shape]
    if spec.dtype == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.normal(size=shape).astype(spec.dtype)


def _read(path: Path, spec: TensorSpec) -> NDArray[np.uint8]:
    from PIL import Image

    _, height, width, channels = spec.shape
    size = InputSpec(height=height, width=width, resize="squash", mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = preprocess(decode(path), size)
    if channels == 1:
        pixels = np.array(Image.fromarray(pixels).convert("L"))
    return pixels.reshape(1, height, width, channels)
