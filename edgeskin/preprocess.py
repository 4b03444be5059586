"""From a decoded image to the pixels a model eats, by the native core: the only resize in edgeskin.

Training, calibration, verification and prediction all call `preprocess`, and apps call the same
C function, so a model never sees pixels of another filter than it was trained on. The pixels are
Pillow's, bit for bit: its filters widen with the scale, so a reduction is antialiased (except
`nearest`, which has no support to widen).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeskin import native
from edgeskin.errors import ShapeMismatch
from edgeskin.spec import InputSpec


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
        InvalidInput: An image of no pixels, or a side above 32768.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ShapeMismatch(
            f"an image must be uint8 (H, W, 3), got {image.dtype} {image.shape}. "
            "Decode files with edgeskin.images.decode()."
        )
    return native.preprocess(image, native.Recipe.from_spec(spec))


def normalize(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Pixels (H, W, 3) to the network's tensor: float32 (1, 3, H, W), (v / 255 - mean) / std."""
    height, width = pixels.shape[:2]
    order: Literal["rgb", "bgr"] = "bgr" if spec.color_order == "BGR" else "rgb"
    recipe = native.Recipe(
        width, height, channels=order, type="float32", layout="nchw", mean=spec.mean, std=spec.std
    )
    return native.preprocess(pixels, recipe)[None]
