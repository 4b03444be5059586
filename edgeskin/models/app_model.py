"""The model as an app meets it: pixels in, named values out.

One definition serves every target and the float reference, so that what is
verified is what ships. `io="tensor"` leaves both ends off: the normalised
float tensor in, raw heads out, for apps that use the pre/post library.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from edgeskin.postprocess import EPSILON
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    Head,
    RegressionHead,
    SegmentationHead,
    Spec,
    TensorHead,
)

Layout = Literal["NHWC", "NCHW"]


class AppModel(nn.Module):
    """Normalise, run the network, decode the heads.

    Input: RGB pixels 0..255, (N, H, W, 3) for `layout="NHWC"` or (N, 3, H, W)
    for `"NCHW"`, uint8 or float32. Output: a tuple of float32 tensors in the
    order of `spec.output_names("app")`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, spec: Spec, layout: Layout = "NHWC"):
        super().__init__()
        self.network = network
        self.spec = spec
        self.layout = layout
        # (v / 255 - mean) / std as one multiplication and one subtraction.
        std = torch.tensor(spec.input.std, dtype=torch.float64)
        mean = torch.tensor(spec.input.mean, dtype=torch.float64)
        self.register_buffer("scale", _per_channel(1.0 / (255.0 * std)), persistent=False)
        self.register_buffer("shift", _per_channel(mean / std), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return decode(self.spec, self.network(self.normalize(image)))

    def normalize(self, image: Tensor) -> Tensor:
        x = image.to(torch.float32)
        if self.layout == "NHWC":
            x = x.permute(0, 3, 1, 2)
        if self.spec.input.color_order == "BGR":
            x = x.flip(1)
        return x * self.scale - self.shift


def _per_channel(values: Tensor) -> Tensor:
    """`values` as (1, 3, 1, 1), or as one number where the channels agree.

    ONNX Runtime takes 0.4 ms, not 0.02, for a product with three numbers once it
    has made the graph NHWC (224 x 224, one thread).
    """
    same = bool((values == values[0]).all())
    return (values[:1] if same else values).float().reshape(1, -1, 1, 1)


def decode(spec: Spec, raw: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Decoded values of all heads, in the order of `spec.output_names("app")`."""
    values: list[Tensor] = []
    for head, tensor in zip(spec.heads, raw, strict=True):
        values += _decode(head, tensor)
    return tuple(values)


def _decode(head: Head, raw: Tensor) -> list[Tensor]:
    match head:
        case ClassificationHead():
            return [_activate(raw, head.activation)]
        case SegmentationHead():
            return [_activate(raw, head.activation).permute(0, 2, 3, 1)]
        case RegressionHead():
            return [raw * head.scale + head.offset]
        case DistributionHead():
            probabilities = raw.softmax(dim=1)
            # A sum of products, not a matrix product: it must stay float in INT8 files.
            expectation = (probabilities * support(head)).sum(dim=1, keepdim=True)
            return [expectation, probabilities]
        case EmbeddingHead(normalize="l2"):
            return [_unit_length(raw)]
        case EmbeddingHead() | TensorHead():
            return [raw]


def support(head: DistributionHead) -> Tensor:
    """The values a distribution is over, float32 (size,)."""
    return head.first + head.step * torch.arange(head.size, dtype=torch.float32)


def _unit_length(x: Tensor) -> Tensor:
    """`postprocess.unit_length`: rows (N, size) of Euclidean norm 1."""
    y = x / x.abs().amax(dim=1, keepdim=True).clamp_min(EPSILON)
    return y / y.square().sum(dim=1, keepdim=True).sqrt().clamp_min(EPSILON)


def _activate(raw: Tensor, activation: str) -> Tensor:
    return raw.softmax(dim=1) if activation == "softmax" else raw.sigmoid()
