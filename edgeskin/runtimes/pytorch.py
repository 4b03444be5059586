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

BATCH = 32
_PIXELS = BATCH * 224 * 224
"""Of a batch: larger images run in smaller batches, with as much memory."""


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


def batch_of(height: int, width: int) -> int:
    """Images of this size that run at a time: 32 of 224 x 224 pixels, 1 of 1024 x 1024."""
    return max(1, min(BATCH, _PIXELS // (height * width)))


def run_all(
    session: TorchSession, pixels: NDArray[Any], batch: int | None = None
) -> dict[str, NDArray[Any]]:
    """Outputs for all images (N, H, W, 3), in batches; see `TorchSession.answer`.

    Args:
        batch: Images at a time; as many as `batch_of` says for None.
    """
    batch = batch or batch_of(*pixels.shape[1:3])
    parts = [session.answer(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
