"""How an artifact's tensor lies in memory, against the same tensor of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.formats.network import Tensor

Array = NDArray[Any]
_LANES = 16  # legalize.onnx pads channels to a multiple of this


@dataclass(frozen=True)
class Layout:
    """Axes of size 1 aside, axis i of the reference is axis `order[i]` of the artifact.

    The artifact may have more channels, which are padding.
    """

    reference: tuple[int, ...]
    artifact: tuple[int, ...]
    order: tuple[int, ...]

    def to_reference(self, x: Array) -> Array:
        moved = x.reshape(_squeezed(self.artifact)).transpose(self.order)
        return moved[tuple(map(slice, _squeezed(self.reference)))].reshape(self.reference)

    def to_artifact(self, x: Array) -> Array:
        """The inverse; channels that are padding get zeros."""
        sizes = _squeezed(self.artifact)
        out = np.zeros(sizes, x.dtype)
        view = out.transpose(self.order)
        small = _squeezed(self.reference)
        view[tuple(map(slice, small))] = x.reshape(small)
        return out.reshape(self.artifact)


def layouts(
    reference: tuple[int, ...], artifact: tuple[int, ...], *, nhwc: bool = False
) -> list[Layout]:
    """All that the sizes allow, the likely one first: NHWC where `nhwc`, else the same order."""
    if -1 in artifact or -1 in reference:
        return []
    small, large = _squeezed(reference), _squeezed(artifact)
    if len(small) != len(large) or len(small) > 5:
        return []
    channels = 0 if len(reference) == 4 and reference[1] > 1 and reference[0] == 1 else None
    orders = dict.fromkeys([_likely(len(small), nhwc), *permutations(range(len(small)))])
    return [
        Layout(reference, artifact, order)
        for order in orders
        if all(
            _fits(s, large[a], i == channels)
            for i, (s, a) in enumerate(zip(small, order, strict=True))
        )
    ]


def is_likely(layout: Layout, *, nhwc: bool) -> bool:
    """Whether the axes lie as they do in the reference, or as NHWC has them."""
    rank = len(layout.order)
    return layout.order in (_likely(rank, False), _likely(rank, nhwc))


def _likely(rank: int, nhwc: bool) -> tuple[int, ...]:
    return (2, 0, 1) if nhwc and rank == 3 else tuple(range(rank))


def _fits(size: int, stored: int, may_be_padded: bool) -> bool:
    padding = stored - size
    return padding == 0 or (may_be_padded and 0 < padding < _LANES and stored % _LANES == 0)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def dequantize(x: Array, tensor: Tensor) -> Array:
    """The real numbers, float32, that a tensor's values stand for."""
    held = tensor.quantization
    if held is None or np.issubdtype(x.dtype, np.floating):
        return x.astype(np.float32)
    return (x.astype(np.float32) - np.float32(held.zero_point[0])) * np.float32(held.scale[0])


def quantize(x: Array, tensor: Tensor) -> Array:
    """Real numbers as the tensor holds them, in its type: the nearest integers of its scale."""
    dtype = np.dtype(tensor.dtype)
    if np.issubdtype(dtype, np.floating):
        return x.astype(dtype)
    limits, held = np.iinfo(dtype), tensor.quantization
    q = np.rint(x if held is None else x / np.float32(held.scale[0]) + held.zero_point[0])
    return np.clip(q, limits.min, limits.max).astype(dtype)
