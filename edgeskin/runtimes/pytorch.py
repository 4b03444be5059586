"""The float reference: the app's view of a network, run by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeskin.models.app_model import AppModel
from edgeskin.runtimes import TensorSpec
from edgeskin.spec import Spec

BATCH = 32


class TorchSession:
    """A network as an app sees it: uint8 NHWC pixels in, decoded values out (any batch)."""

    runtime = "PyTorch"
    native = True

    def __init__(self, spec: Spec, network: nn.Module):
        self.spec = spec
        self.model = AppModel(network, spec, "NHWC")
        self.model.training = False  # the network is in eval mode; an exported one refuses eval()
        size = (1, spec.input.height, spec.input.width, 3)
        self.inputs: tuple[TensorSpec, ...] = (TensorSpec("image", size, "uint8"),)
        with torch.inference_mode():
            outputs = self.model(torch.zeros(size, dtype=torch.uint8))
        self.outputs = tuple(
            TensorSpec(name, tuple(out.shape), "float32")
            for name, out in zip(spec.output_names("app"), outputs, strict=True)
        )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            outputs = self.model(torch.from_numpy(feeds["image"]))
        return {
            spec.name: out.numpy().copy() for spec, out in zip(self.outputs, outputs, strict=True)
        }

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_all(
    session: TorchSession, pixels: NDArray[np.uint8], batch: int = BATCH
) -> dict[str, NDArray[Any]]:
    """Outputs for all images (N, H, W, 3), in batches."""
    parts = [session.run({"image": pixels[i : i + batch]}) for i in range(0, len(pixels), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
