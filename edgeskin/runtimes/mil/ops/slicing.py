"""Operators that take tensors apart, put them together, and make new ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ints, Ops
from edgeskin.runtimes.mil.parse import check_size


def band_part(x: Tensor, lower: int = -1, upper: int = -1) -> Tensor:
    rows, columns = x.shape[-2:]
    below = torch.arange(rows)[:, None] - torch.arange(columns)
    keep = ((lower < 0) | (below <= lower)) & ((upper < 0) | (-below <= upper))
    return torch.where(keep, x, torch.zeros((), dtype=x.dtype))


def concat(values: list[Tensor], axis: int, interleave: bool = False) -> Tensor:
    if interleave:
        axis = axis % values[0].dim()
        return torch.stack(values, axis + 1).flatten(axis, axis + 1)
    return torch.cat(values, axis)


def crop(x: Tensor, crop_height: Ints, crop_width: Ints) -> Tensor:
    (top, bottom), (left, right) = crop_height, crop_width
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def fill(shape: Ints, value: float = 0.0) -> Tensor:
    check_size(shape)
    return torch.full(tuple(shape), value)


def fill_like(ref_tensor: Tensor, value: float = 0.0) -> Tensor:
    return torch.full(ref_tensor.shape, value)


def non_zero(x: Tensor) -> Tensor:
    return torch.nonzero(x)


def one_hot(
    indices: Tensor,
    one_hot_vector_size: int,
    axis: int = -1,
    on_value: float = 1,
    off_value: float = 0,
) -> Tensor:
    check_size([indices.numel(), one_hot_vector_size])
    hot = indices.unsqueeze(-1) == torch.arange(one_hot_vector_size)
    return torch.where(hot, on_value, off_value).movedim(-1, axis)


def pad(x: Tensor, pad: Ints, mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    """Pad the last len(pad) / 2 axes; `reflect` leaves the edge out, `replicate` repeats it."""
    ends = [(0, 0)] * (x.dim() - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))
    sizes = [size + before + after for size, (before, after) in zip(x.shape, ends, strict=True)]
    check_size(sizes)
    if mode == "constant":
        return F.pad(x, [n for pair in reversed(ends) for n in pair], value=constant_val)
    for axis, (before, after) in enumerate(ends):
        if before or after:
            x = x.index_select(axis, _outside(x.shape[axis], before, after, mode))
    return x


def _outside(size: int, before: int, after: int, mode: str) -> Tensor:
    """Which value stands at each place of a padded axis."""
    at = torch.arange(-before, size + after)
    if mode == "replicate":
        return at.clamp(0, size - 1)
    if mode != "reflect":
        raise ValueError(f"the padding mode '{mode}' is unknown")
    return (size - 1) - ((size - 1) - at.abs()).abs()


def range_1d(start: float, end: float, step: float) -> Tensor:
    check_size([int(abs((end - start) / step)) + 1])
    return torch.arange(start, end, step)


def slice_by_index(
    x: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: list[bool] | None = None,
    end_mask: list[bool] | None = None,
    squeeze_mask: list[bool] | None = None,
) -> Tensor:
    """NumPy's slices; a mask says where begin or end is left out, or one index is meant."""
    for axis, chosen in enumerate(
        _slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    ):
        if chosen.step > 0:
            length = len(chosen)
            x = x.narrow(
                axis, chosen.start if length else 0, (length - 1) * chosen.step + 1 if length else 0
            )
            x = x[(slice(None),) * axis + (slice(None, None, chosen.step),)]
        else:
            x = x.index_select(axis, torch.tensor(chosen, dtype=torch.int64))
    return x.squeeze(tuple(axis for axis, mask in enumerate(squeeze_mask or ()) if mask))


def slice_update(
    x: Tensor,
    update: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: list[bool] | None = None,
    end_mask: list[bool] | None = None,
    squeeze_mask: list[bool] | None = None,
) -> Tensor:
    places = torch.arange(x.numel()).reshape(x.shape)
    chosen = slice_by_index(places, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    result = x.clone().flatten()
    result[chosen.flatten()] = update.to(x.dtype).flatten()
    return result.reshape(x.shape)


def _slices(
    x: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None,
    begin_mask: list[bool] | None,
    end_mask: list[bool] | None,
    squeeze_mask: list[bool] | None,
) -> list[range]:
    none = [False] * x.dim()
    found = []
    for axis, size in enumerate(x.shape):
        first = None if (begin_mask or none)[axis] else begin[axis]
        last = None if (end_mask or none)[axis] else end[axis]
        if (squeeze_mask or none)[axis]:
            at = (first or 0) + (size if (first or 0) < 0 else 0)
            found.append(range(at, at + 1))
        else:
            step = 1 if stride is None else stride[axis]
            found.append(range(*slice(first, last, step).indices(size)))
    return found


def slice_by_size(x: Tensor, begin: Ints, size: Ints) -> Tensor:
    """A negative begin counts from the end; a size of -1 takes all that follows."""
    for axis, (first, count) in enumerate(zip(begin, size, strict=True)):
        first = first + x.shape[axis] if first < 0 else first
        x = x.narrow(axis, first, x.shape[axis] - first if count == -1 else count)
    return x


def split(
    x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None
) -> tuple[Tensor, ...]:
    if split_sizes is not None:
        return x.split(list(split_sizes), axis)
    if not num_splits or x.shape[axis] % num_splits:
        raise ValueError(f"an axis of {x.shape[axis]} cannot be split in {num_splits}")
    return x.split(x.shape[axis] // num_splits, axis)


def stack(values: list[Tensor], axis: int) -> Tensor:
    return torch.stack(values, axis)


def tile(x: Tensor, reps: Ints) -> Tensor:
    check_size([size * n for size, n in zip(x.shape, reps, strict=True)])
    return x.repeat(*reps)


OPERATORS: Ops = {
    "band_part": band_part,
    "concat": concat,
    "crop": crop,
    "fill": fill,
    "fill_like": fill_like,
    "non_zero": non_zero,
    "one_hot": one_hot,
    "pad": pad,
    "range_1d": range_1d,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "slice_update": slice_update,
    "split": split,
    "stack": stack,
    "tile": tile,
}
