"""Transposed convolutions that enlarge a map, as convolutions whose channels become pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeskin.calibration.graphs import aten


def transposed_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    output_padding: Sequence[int] = (0, 0),
    groups: int = 1,
    dilation: Sequence[int] = (1, 1),
) -> Tensor:
    """One whose stride s is what it enlarges the map by, as U-Nets have it; others stay.

    Pixel s m + a of the result is the sum of x[m + d] w[a + p - s d] over d: for each of the s
    rows and columns `a` a small convolution over x (Shi et al., Real-Time Single Image and Video
    Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, CVPR 2016). No
    runtime here has transposed convolutions in integers with scales of a program.
    """
    axes = [
        (size, kernel, *(each[axis % len(each)] for each in (stride, padding, output_padding)))
        for axis, (size, kernel) in enumerate(zip(x.shape[-2:], weight.shape[2:], strict=True))
    ]
    whole = all((n - 1) * s - 2 * p + k + more == n * s for n, k, s, p, more in axes)
    plain = x.dim() == 4 and groups == 1 == len(x) and all(step == 1 for step in dilation)
    if not (plain and whole and max(stride) > 1):
        return aten.conv_transpose2d.input(
            x, weight, bias, stride, padding, output_padding, groups, dilation
        )
    (top, left), channels = [_Upsampled.of(*axis[1:4]) for axis in axes], weight.shape[1]
    kernel = aten.constant_pad_nd.default(weight, [*left.kernel, *top.kernel], 0.0)
    kernel = kernel.reshape(-1, channels, top.taps, top.stride, left.taps, left.stride)
    kernel = kernel.flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    kernel = kernel.reshape(-1, weight.shape[0], top.taps, left.taps)
    if bias is not None:
        bias = bias.reshape(-1, 1).expand(channels, top.stride * left.stride).reshape(-1)
    around = [*left.image, *top.image]
    x = aten.constant_pad_nd.default(x, around, 0.0) if any(around) else x
    pixels = aten.conv2d.default(x, kernel, bias)
    height, width = pixels.shape[2:]
    pixels = aten.view.default(pixels, [channels, top.stride, left.stride, height, width])
    pixels = pixels.permute(0, 3, 1, 4, 2).clone(memory_format=torch.contiguous_format)
    return aten.view.default(pixels, [1, channels, height * top.stride, width * left.stride])


@dataclass(frozen=True)
class _Upsampled:
    """One axis of a transposed convolution: the taps that a pixel of its result has.

    `kernel` and `image` are zeros before and behind the kernel and the image.
    """

    stride: int
    taps: int
    kernel: tuple[int, int]
    image: tuple[int, int]

    @classmethod
    def of(cls, size: int, stride: int, padding: int) -> _Upsampled:
        least = -((size - 1 - padding) // stride)
        most = (stride - 1 + padding) // stride
        before = stride * most - padding
        taps = most - least + 1
        return cls(stride, taps, (before, stride * taps - before - size), (-least, most))
