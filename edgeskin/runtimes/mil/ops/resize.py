"""Resizing: the places on the input's axis at which each output value is read.

The rules are those of `resize_bilinear`'s documentation in coremltools: in a
range from `start` over `extent` values, output i of n is read at

    STRICT_ALIGN_CORNERS   i * (extent - 1) / (n - 1)
    ALIGN_CORNERS          the same, and the middle where n is 1
    DEFAULT                i * extent / n
    OFFSET_CORNERS         (i + 1/2) * max(1, extent - 1) / n
    UNALIGN_CORNERS        (i + 1/2) * extent / n - 1/2

counted from `start`, between the first and the last value of the range.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ints, Ops
from edgeskin.runtimes.mil.parse import check_size


def places(mode: str, extent: float, count: int) -> NDArray[np.float64]:
    """Where `count` values are read in a range of `extent` values, from its start."""
    i = np.arange(count)
    if mode == "ALIGN_CORNERS" and count == 1:
        at = np.array([(extent - 1) / 2])
    elif mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        at = i * (extent - 1) / max(count - 1, 1)
    elif mode == "DEFAULT":
        at = i * extent / count
    elif mode == "OFFSET_CORNERS":
        at = (i + 0.5) * max(1, extent - 1) / count
    elif mode == "UNALIGN_CORNERS":
        at = (i + 0.5) * extent / count - 0.5
    else:
        raise ValueError(f"the sampling mode '{mode}' is unknown")
    return np.clip(at, 0, max(extent - 1, 0))


@lru_cache(maxsize=64)
def _whole_axis(mode: str, size: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    return _neighbours(places(mode, size, count), size)


def _neighbours(at: NDArray[np.float64], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two values around each place, and the share of the second."""
    low = np.clip(np.floor(at), 0, size - 1).astype(np.int64)
    high = np.minimum(low + 1, size - 1)
    return tuple(map(torch.from_numpy, (low, high, (at - low).astype(np.float32))))  # type: ignore[return-value]


def _linear(x: Tensor, axis: int, neighbours: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    low, high, share = neighbours
    first, second = x.index_select(axis, low), x.index_select(axis, high)
    share = share.view([-1] + [1] * (x.dim() - 1 - axis % x.dim()))
    return first + (second - first) * share


def _bilinear(x: Tensor, sizes: Ints, mode: str) -> Tensor:
    check_size([*x.shape[: x.dim() - len(sizes)], *sizes])
    for axis, count in enumerate(sizes, x.dim() - len(sizes)):
        if count != x.shape[axis] or mode == "OFFSET_CORNERS":
            x = _linear(x, axis, _whole_axis(mode, x.shape[axis], count))
    return x


def _nearest(x: Tensor, sizes: Ints) -> Tensor:
    """Output i of n is input floor(i * size / n)."""
    check_size([*x.shape[: x.dim() - len(sizes)], *sizes])
    for axis, count in enumerate(sizes, x.dim() - len(sizes)):
        x = x.index_select(axis, torch.arange(count) * x.shape[axis] // count)
    return x


def _scaled(x: Tensor, height: float, width: float) -> list[int]:
    factors = np.array([height, width], np.float32)
    return [int(n) for n in np.floor(np.array(x.shape[-2:], np.float32) * factors)]


def resize_bilinear(
    x: Tensor,
    target_size_height: int = 1,
    target_size_width: int = 1,
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    return _bilinear(x, [target_size_height, target_size_width], sampling_mode)


def resize_nearest_neighbor(x: Tensor, target_size_height: int, target_size_width: int) -> Tensor:
    return _nearest(x, [target_size_height, target_size_width])


def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    half = not align_corners if half_pixel_centers is None else half_pixel_centers
    if align_corners and half:
        raise ValueError("align_corners and half_pixel_centers exclude each other")
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if half else "DEFAULT"
    return _bilinear(x, _scaled(x, scale_factor_height, scale_factor_width), mode)


def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: float = 1, scale_factor_width: float = 1
) -> Tensor:
    return _nearest(x, _scaled(x, scale_factor_height, scale_factor_width))


def resize(
    x: Tensor,
    shape: Ints,
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """The last `resized_dims` axes to the last sizes of `shape`, 0 meaning as it is."""
    have = x.shape[x.dim() - resized_dims :]
    wanted = shape[len(shape) - resized_dims :]
    sizes = [want or size for want, size in zip(wanted, have, strict=True)]
    if interpolation_mode == "LINEAR":
        return _bilinear(x, sizes, sampling_mode)
    if sampling_mode != "DEFAULT":
        raise ValueError(f"nearest values with the sampling mode {sampling_mode} are not defined")
    return _nearest(x, sizes)


def crop_resize(
    x: Tensor,
    boxes: Tensor | None = None,
    box_indices: Tensor | None = None,
    roi: Tensor | None = None,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Tensor:
    """Boxes of iOS 17, one image each; or iOS 15's `roi`, (N, 1, 4 or 5, 1, 1).

    Without image indices a `roi` is taken from every image, and the output has
    an axis for them: (N, B, C, h, w), else (N, 1, C, h, w). A box whose end
    lies before its start is read backwards.
    """
    old = roi is not None
    rows = (roi.reshape(len(roi), -1) if roi is not None else boxes).double().tolist()  # type: ignore[union-attr]
    images = list(range(len(x)))
    results = []
    for number, row in enumerate(rows):
        chosen = [int(box_indices[number]) if box_indices is not None else number]
        if old:
            chosen = [int(row[0])] if len(row) == 5 else images
        top, left, bottom, right = _corners(row[-4:], box_coordinate_mode)
        scale = (
            [x.shape[-2] - 1, x.shape[-1] - 1] if normalized_coordinates else [spatial_scale] * 2
        )
        part = x[chosen]
        for axis, start, end, factor, count in (
            (2, top, bottom, scale[0], target_height),
            (3, left, right, scale[1], target_width),
        ):
            extent, back = abs(end - start) * factor + 1, end < start
            steps = places(sampling_mode, extent, count)
            at = start * factor + (-steps if back else steps)
            part = _linear_or_pad(part, axis, at, pad_value)
        results.append(part if old else part[0])
    return torch.stack(results)


def _linear_or_pad(x: Tensor, axis: int, at: NDArray[np.float64], value: float) -> Tensor:
    size = x.shape[axis]
    outside = torch.from_numpy((at < 0) | (at > size - 1))
    read = _linear(x, axis, _neighbours(np.clip(at, 0, size - 1), size))
    return torch.where(outside.view([-1] + [1] * (x.dim() - 1 - axis)), value, read)


def _corners(box: list[float], mode: str) -> tuple[float, float, float, float]:
    """Top, left, bottom, right."""
    a, b, c, d = box
    if mode.endswith("WIDTH_FIRST"):
        a, b, c, d = b, a, d, c
    if mode.startswith("CORNERS"):
        return a, b, c, d
    if mode.startswith("CENTER_SIZE"):
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    raise ValueError(f"the box coordinate mode '{mode}' is unknown")


def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    """Read at (x, y), by torch's grid_sample, which knows zeros around an image only.

    Another constant is taken off before and put back; `symmetric` repeats the
    edge when it turns back, which grid_sample does not with corners aligned.
    """
    grid = coordinates.float()
    last = torch.tensor([x.shape[-1] - 1, x.shape[-2] - 1])
    if coordinates_mode == "normalized_zero_to_one":
        grid = grid * 2 - 1
    elif coordinates_mode == "unnormalized":
        grid, align_corners = grid * 2 / last.clamp(min=1) - 1, True
    if padding_mode == "symmetric":
        span = last if align_corners else last + 1
        turned = ((grid + 1) / 2 * span + (0.5 if align_corners else 0.0)) % (2 * (last + 1))
        turned = torch.minimum(turned, 2 * (last + 1) - turned) - 0.5
        grid, align_corners = turned * 2 / last.clamp(min=1) - 1, True
    mode = {"constant": "zeros", "symmetric": "border"}.get(padding_mode, padding_mode)
    shift = padding_value if padding_mode == "constant" else 0.0
    return F.grid_sample(x - shift, grid, sampling_mode, mode, align_corners) + shift


def affine(
    x: Tensor,
    transform_matrix: Tensor,
    output_height: int,
    output_width: int,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    matrix = transform_matrix.reshape(-1, 2, 3).expand(len(x), 2, 3)
    size = [*x.shape[:2], output_height, output_width]
    check_size(size)
    grid = F.affine_grid(matrix, size, align_corners)
    return resample(
        x, grid, sampling_mode, padding_mode, padding_value, coordinates_mode, align_corners
    )


OPERATORS: Ops = {
    "affine": affine,
    "crop_resize": crop_resize,
    "resample": resample,
    "resize": resize,
    "resize_bilinear": resize_bilinear,
    "resize_nearest_neighbor": resize_nearest_neighbor,
    "upsample_bilinear": upsample_bilinear,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
}
