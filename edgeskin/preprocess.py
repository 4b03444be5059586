"""From a decoded image to the pixels a model eats: the only resize in edgeskin.

Training, calibration, verification and prediction all call `preprocess`, so a
model never sees pixels of another filter than it was trained on. The reference
is Pillow: its filters widen with the scale, so a reduction is antialiased
(except `nearest`, which has no support to widen).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeskin.errors import InvalidImage, ShapeMismatch
from edgeskin.spec import InputSpec

MOST_PIXELS = 100_000_000
"""Of an image on its way to the crop; a thin line scaled by its shorter edge has more."""

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def preprocess(image: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Resize, then crop or pad, to the model's size.

    Args:
        image: sRGB, uint8, (H, W, 3), RGB order.
        spec: The model's input.

    Returns:
        RGB pixels, uint8, (spec.height, spec.width, 3), whatever `color_order`
        says: an artifact takes RGB and swaps the channels itself.

    Raises:
        ShapeMismatch: Not a uint8 (H, W, 3) array.
        InvalidImage: So long and thin that the resized image would be a bomb.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ShapeMismatch(
            f"an image must be uint8 (H, W, 3), got {image.dtype} {image.shape}. "
            "Decode files with edgeskin.images.decode()."
        )
    height, width = image.shape[:2]
    if spec.resize == "squash":
        return _resize(image, spec.height, spec.width, spec.filter)
    if spec.resize == "letterbox":
        scale = min(spec.height / height, spec.width / width)
        new = _scaled(height, scale), _scaled(width, scale)
        return _pad(_resize(image, *new, spec.filter), spec)
    scale = (spec.resize_to or 0) / min(height, width)
    new = _scaled(height, scale), _scaled(width, scale)
    if new[0] * new[1] > MOST_PIXELS:
        raise InvalidImage(
            f"an image of {width} x {height} pixels would be resized to {new[1]} x {new[0]}: "
            "it is a line, not a photo. Crop it first."
        )
    resized = _resize(image, *new, spec.filter)
    top = (resized.shape[0] - spec.height) // 2
    left = (resized.shape[1] - spec.width) // 2
    return np.ascontiguousarray(resized[top : top + spec.height, left : left + spec.width])


def normalize(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Pixels (H, W, 3) to the network's tensor: float32 (1, 3, H, W), (v / 255 - mean) / std."""
    ordered = pixels[..., ::-1] if spec.color_order == "BGR" else pixels
    x = (ordered.astype(np.float64) / 255.0 - spec.mean) / spec.std
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None], dtype=np.float32)


def _resize(image: NDArray[np.uint8], height: int, width: int, name: str) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    resized = Image.fromarray(image).resize((width, height), FILTERS[name])
    return np.array(resized, dtype=np.uint8)


def _scaled(length: int, scale: float) -> int:
    """Scaled and rounded half up, never below one pixel."""
    return max(1, int(length * scale + 0.5))


def _pad(image: NDArray[Any], spec: InputSpec) -> NDArray[np.uint8]:
    canvas = np.full((spec.height, spec.width, 3), spec.pad_value, np.uint8)
    top = (spec.height - image.shape[0]) // 2
    left = (spec.width - image.shape[1]) // 2
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas
