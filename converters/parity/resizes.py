"""The resize rule of a spec by other hands: what another library on a device would cost.

`core` is edgeskin's own, in training and in apps. `pillow` is the same rule
written anew on Pillow, and must give the same bytes. The others are what apps
use in its place.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeskin.errors import UnknownName
from edgeskin.preprocess import preprocess
from edgeskin.spec import InputSpec

Pixels = NDArray[np.uint8]
Resize = Callable[[Pixels, int, int, InputSpec], Pixels]


def _pillow(image: Pixels, width: int, height: int, spec: InputSpec) -> Pixels:
    resample = Image.Resampling[spec.filter.upper()]
    return np.array(Image.fromarray(image).resize((width, height), resample))


def _by_opencv(interpolation: int) -> Resize:
    def resize(image: Pixels, width: int, height: int, spec: InputSpec) -> Pixels:
        return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)

    return resize


RESIZES: dict[str, tuple[str, Resize | None]] = {
    "core": ("edgeskin's native core", None),
    "pillow": ("Pillow", _pillow),
    "opencv-linear": ("OpenCV, bilinear without antialias", _by_opencv(cv2.INTER_LINEAR)),
    "opencv-area": ("OpenCV, mean of areas", _by_opencv(cv2.INTER_AREA)),
    "nearest": ("OpenCV, nearest pixel", _by_opencv(cv2.INTER_NEAREST)),
}


def find_resize(name: str) -> Callable[[Pixels, InputSpec], Pixels]:
    """A function from a decoded image to the pixels (height, width, 3) that a model gets.

    Raises:
        UnknownName: No such resize.
    """
    if name not in RESIZES:
        raise UnknownName(f"no resize '{name}'; there are {', '.join(RESIZES)}")
    resize = RESIZES[name][1]
    return preprocess if resize is None else lambda image, spec: _fit(image, spec, resize)


def _fit(image: Pixels, spec: InputSpec, resize: Resize) -> Pixels:
    """The spec's resize rule (see `InputSpec`) by `resize`."""
    height, width = image.shape[:2]
    if spec.resize == "squash":
        return resize(image, spec.width, spec.height, spec)
    if spec.resize == "letterbox":
        scale = min(spec.width / width, spec.height / height)
    else:
        assert spec.resize_to is not None
        scale = spec.resize_to / min(width, height)
    size = [max(1, int(side * scale + 0.5)) for side in (width, height)]
    resized = resize(image, size[0], size[1], spec)
    if spec.resize == "letterbox":
        out = np.full((spec.height, spec.width, 3), spec.pad_value, np.uint8)
        top, left = (spec.height - size[1]) // 2, (spec.width - size[0]) // 2
        out[top : top + size[1], left : left + size[0]] = resized
        return out
    top, left = (size[1] - spec.height) // 2, (size[0] - spec.width) // 2
    return np.ascontiguousarray(resized[top : top + spec.height, left : left + spec.width])
