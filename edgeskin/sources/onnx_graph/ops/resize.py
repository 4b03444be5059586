"""Resizing: torch's own interpolation where the places are the same, else a matrix an axis.

In a row of `size` values, output i of `count` is read, with scale = count / size, at

    half_pixel            (i + 1/2) / scale - 1/2
    pytorch_half_pixel    the same, and 0 where `count` is 1
    half_pixel_symmetric  the same, around the middle of what scale * size leaves out
    asymmetric            i / scale
    align_corners         i * (size - 1) / (count - 1)
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgeskin.runtimes.mil.parse import check_size
from edgeskin.sources.onnx_graph.ops.operator import Ints, Ops

_Matrix = NDArray[np.float64]
_Places = NDArray[np.float32]


def resize(
    x: Tensor,
    roi: list[float] | None = None,
    scales: list[float] | None = None,
    sizes: Ints | None = None,
    antialias: int = 0,
    axes: Ints | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    places = coordinate_transformation_mode
    if places in ("tf_crop_and_resize", "tf_half_pixel_for_nn"):
        raise ValueError(f"the coordinates '{places}' are not supported")
    counts, factors = _extents(x, scales, sizes, axes, keep_aspect_ratio_policy)
    check_size(counts)
    if mode == "linear" and not antialias and _as_torch(x, counts, factors, places):
        return F.interpolate(
            x, counts[2:], mode="bilinear", align_corners=places == "align_corners"
        )
    if mode == "nearest" and _repeats(x, counts, factors, places, nearest_mode):
        return F.interpolate(x, counts[2:], mode="nearest")
    for axis, (count, factor) in enumerate(zip(counts, factors, strict=True)):
        size = x.shape[axis]
        if count == size and factor == 1.0:
            continue
        at = read_at(places, size, count, factor)
        if mode == "nearest":
            x = x.index_select(axis, torch.from_numpy(_nearest(at, nearest_mode, size)))
            continue
        slope = min(factor, 1.0) if antialias else 1.0
        matrix = _weights(at, size, mode, cubic_coeff_a, slope, bool(exclude_outside))
        x = _along(x, axis, torch.from_numpy(matrix.astype(np.float32)))
    return x


def _extents(
    x: Tensor, scales: list[float] | None, sizes: Ints | None, axes: Ints | None, policy: str
) -> tuple[list[int], list[float]]:
    """The output's size and the scale of each axis."""
    counts, factors = list(x.shape), [1.0] * x.dim()
    chosen = range(x.dim()) if axes is None else [axis % x.dim() for axis in axes]
    if sizes:
        asked = list(sizes)
        ratios = [n / x.shape[axis] for n, axis in zip(asked, chosen, strict=True)]
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            ratios = [ratio] * len(ratios)
            asked = [math.floor(x.shape[axis] * ratio + 0.5) for axis in chosen]
        for axis, count, ratio in zip(chosen, asked, ratios, strict=True):
            counts[axis], factors[axis] = count, ratio
    elif scales:
        for axis, scale in zip(chosen, scales, strict=True):
            counts[axis], factors[axis] = math.floor(x.shape[axis] * scale + 1e-6), scale
    else:
        raise ValueError("it has neither scales nor sizes")
    return counts, factors


def _as_torch(x: Tensor, counts: list[int], factors: list[float], places: str) -> bool:
    """Whether a bilinear `F.interpolate` to these sizes reads at the same places."""
    if x.dim() != 4 or counts[:2] != list(x.shape[:2]):
        return False
    exact = all(
        math.isclose(count, size * factor, rel_tol=1e-6)
        for count, size, factor in zip(counts, x.shape, factors, strict=True)
    )
    if places == "align_corners":
        return min(counts[2:]) > 1
    if places == "pytorch_half_pixel":
        return exact and min(counts[2:]) > 1
    return exact and places in ("half_pixel", "half_pixel_symmetric")


def _repeats(
    x: Tensor, counts: list[int], factors: list[float], places: str, rounding: str
) -> bool:
    """Whether every value is repeated a whole number of times, which nearest places all do."""
    if x.dim() != 4 or counts[:2] != list(x.shape[:2]) or places == "align_corners":
        return False
    whole = all(
        count == size * factor and factor == int(factor)
        for count, size, factor in zip(counts, x.shape, factors, strict=True)
    )
    return whole and ("half_pixel" in places or rounding == "floor")


def read_at(places: str, size: int, count: int, factor: float) -> _Places:
    """Where `count` values are read in a row of `size`; float32, as whole numbers depend on it."""
    i, one, half = np.arange(count, dtype=np.float32), np.float32(1), np.float32(0.5)
    scale = np.float32(factor)
    if places == "align_corners":
        return i * np.float32(size - 1) / np.float32(max(count - 1, 1))
    if places == "asymmetric":
        return i / scale
    if places == "pytorch_half_pixel" and count == 1:
        return np.zeros(1, np.float32)
    at: _Places = (i + half) / scale - half
    if places == "half_pixel_symmetric":
        at = at + np.float32(size / 2) * (one - np.float32(count) / (scale * np.float32(size)))
    elif "half_pixel" not in places:
        raise ValueError(f"the coordinates '{places}' are unknown")
    return at


def _nearest(at: _Places, rounding: str, size: int) -> NDArray[np.int64]:
    rules = {
        "round_prefer_floor": lambda: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda: np.floor(at + 0.5),
        "floor": lambda: np.floor(at),
        "ceil": lambda: np.ceil(at),
    }
    if rounding not in rules:
        raise ValueError(f"the rounding '{rounding}' is unknown")
    return rules[rounding]().clip(0, size - 1).astype(np.int64)


def _weights(
    at: _Places, size: int, mode: str, a: float, slope: float, renormalize: bool
) -> _Matrix:
    """The share (count, size) of each input in each output.

    `slope` below 1 widens the kernel, so that no input is skipped. What lies
    outside is the edge's, or with `renormalize` nobody's.
    """
    if mode not in ("linear", "cubic"):
        raise ValueError(f"the mode '{mode}' is unknown")
    reach = math.ceil((1 if mode == "linear" else 2) / slope) + 1
    places = np.floor(at)[:, None].astype(np.int64) + np.arange(-reach, reach + 1)
    distance = np.abs(places - at[:, None]) * slope
    share = np.maximum(1 - distance, 0) if mode == "linear" else _cubic(distance, a)
    inside = (places >= 0) & (places < size)
    if renormalize:
        share = np.where(inside, share, 0)
    if renormalize or slope < 1:
        share = share / share.sum(1, keepdims=True)
    matrix = np.zeros((len(at), size))
    rows = np.arange(len(at))[:, None].repeat(places.shape[1], 1)
    np.add.at(matrix, (rows, places.clip(0, size - 1)), share)
    return matrix


def _cubic(d: _Matrix, a: float) -> _Matrix:
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _along(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    return torch.matmul(x.movedim(axis, -1), matrix.T).movedim(-1, axis)


OPERATORS: Ops = {"Resize": resize}
