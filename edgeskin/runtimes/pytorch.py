"""The float reference: the app's view of a network, run by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeskin.models.app_model import AppModel
from edgeskin.runtimes import BaseSession, TensorSpec
from edgeskin.spec import Spec

_PIXELS_AT_ONCE = 32 * 224 * 224
"""Of all images of a batch: what layers hold in between grows with them."""


class TorchSession(BaseSession):
    """A network as an app sees it: uint8 NHWC pixels in, decoded values out (any batch)."""

    runtime = "PyTorch"

    def __init__(self, spec: Spec, network: nn.Module):
        super().__init__()
        self.spec = spec
        self.model = AppModel(network, spec, "NHWC")
        self.model.training = False  # the network is in eval mode; an exported one refuses eval()
        size = (1, spec.input.height, spec.input.width, 3)
        self.inputs = (TensorSpec("image", (-1, *size[1:]), "uint8"),)
        with torch.inference_mode():
            outputs = self.model(torch.zeros(size, dtype=torch.uint8))
        self.outputs = tuple(
            TensorSpec(name, tuple(out.shape), "float32")
            for name, out in zip(spec.output_names("app"), outputs, strict=True)
        )

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return self.answer(feeds["image"])

    def answer(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Of (N, H, W, 3), 0 to 255: uint8, or float32 where somebody's mistake is tried out."""
        with self._open(), torch.inference_mode():
            outputs = self.model(torch.from_numpy(pixels))
        return {
            spec.name: out.numpy().copy() for spec, out in zip(self.outputs, outputs, strict=True)
        }


def run_all(
    session: TorchSession, pixels: NDArray[Any], batch: int | None = None
) -> dict[str, NDArray[Any]]:
    """Outputs for all images (N, H, W, 3), as many at a time as fit; see `TorchSession.answer`."""
    if batch is None:
        batch = max(1, _PIXELS_AT_ONCE // (pixels.shape[1] * pixels.shape[2]))
    parts = [session.answer(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
