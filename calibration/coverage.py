"""Which classes and skin tones the calibration images show, against the train split.

A tone is that of the median colour of a whole image (`skin_tone.ita_deg`), hair,
lesion and background included: it sorts photos of skin well and dermatoscopic
images roughly. An image without colour, as of ultrasound, has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeskin.calibration.record import COLOURLESS, Coverage
from edgeskin.data.manifest import Dataset
from edgeskin.data.skin_tone import ita_deg, tone
from edgeskin.progress import Progress, silent
from edgeskin.spec import ClassificationHead, Spec

# Train images whose tone is measured, and how many are held at a time.
_MOST_IMAGES = 1024
_AT_ONCE = 64


def cover(
    train: Dataset,
    chosen: Dataset,
    pixels: NDArray[np.uint8],
    spec: Spec,
    progress: Progress = silent,
) -> Coverage:
    """Count the images of `chosen`, which are `pixels`, and those of `train`."""
    return Coverage(
        classes=_classes(chosen, spec),
        train_classes=_classes(train, spec),
        tones=_tones(pixels),
        train_tones=_train_tones(train.take(_MOST_IMAGES), spec, progress),
    )


def _classes(images: Dataset, spec: Spec) -> dict[str, dict[str, int]]:
    """Images by class, for every classification head whose column the data have."""
    names = images.class_names(spec)
    labels = {h.name: h.labels for h in spec.heads if isinstance(h, ClassificationHead)}
    return {
        head: dict.fromkeys(labels[head], 0) | Counter(classes) for head, classes in names.items()
    }


def _train_tones(train: Dataset, spec: Spec, progress: Progress) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for start in range(0, len(train), _AT_ONCE):
        part = replace(train, rows=train.rows[start : start + _AT_ONCE])
        counts.update(_tones(part.pixels(spec.input)))
        progress("measuring skin tones", min(start + _AT_ONCE, len(train)), len(train))
    return dict(counts)


def _tones(pixels: Iterable[NDArray[np.uint8]]) -> dict[str, int]:
    return dict(Counter(_tone(image[::4, ::4]) for image in pixels))


def _tone(image: NDArray[np.uint8]) -> str:
    return COLOURLESS if np.ptp(image, axis=-1).max() <= 2 else tone(ita_deg(image))
