"""Where the windows of convolutions and pools lie, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ints

Ends = list[tuple[int, int]]  # of each spatial axis: before, after


def padding(
    sizes: Ints, kernel: Ints, strides: Ints, dilations: Ints, pad_type: str, pad: Ints
) -> Ends:
    """Values added before and after each spatial axis.

    `same` gives ceil(size / stride) windows; of an odd number of added values
    the larger half goes after, with `same_lower` before.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(kernel)
    if pad_type == "custom":
        return list(zip(pad[::2], pad[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"the padding '{pad_type}' is unknown")
    ends = []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        less, more = total // 2, total - total // 2
        ends.append((less, more) if pad_type == "same" else (more, less))
    return ends


def pad_ends(x: Tensor, ends: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """`x` with values added to its last axes, or taken away where a number is negative."""
    flat = [n for pair in reversed(ends) for n in pair]
    return F.pad(x, flat, value=value) if any(flat) else x


def to_last_window(sizes: Ints, kernel: Ints, strides: Ints, ends: Ends, ceil: bool) -> Ends:
    """`ends`, reaching as far as the last window does.

    With `ceil` a window that begins inside may end outside; where there is
    padding, one that begins in the padding behind is none.
    """
    reached = []
    for size, k, stride, (before, after) in zip(sizes, kernel, strides, ends, strict=True):
        room = size + before + after - k
        last = -(-room // stride) if ceil else room // stride
        if ceil and before + after > 0 and last * stride >= size + before:
            last -= 1
        reached.append((before, last * stride + k - size - before))
    return [(b, max(a, have)) for (b, a), (_, have) in zip(reached, ends, strict=True)]
