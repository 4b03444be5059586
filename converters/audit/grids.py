"""Scales and zero points of an INT8 file beside those of its program: they must be the same ones.

A file whose scales are a little off computes nearly the right thing, so that no
comparison of answers finds it; these figures do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import fx

from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    argument,
    attribute,
)

Grid = tuple[tuple[float, ...], tuple[int, ...]]
"""Scales and zero points, a pair for each channel; uint8 as the int8 of the same values."""
_PIXELS: Grid = ((1.0,), (-128,))
_TOLERANCE = 2.0**-10
"""Float16, in which Core ML holds scales, keeps eleven bits."""
_LISTED = 3


def other_grids(graph: fx.GraphModule, document: Mapping[str, Any]) -> list[str]:
    """Scales and zero points of an INT8 file that its program does not have.

    A file may hold a program's weights with channels added behind them (padding,
    or the same once more), and one tensor more of its activations: the pixels.
    """
    weights, activations = _program_grids(graph)
    faults = []
    for tensor in document["tensors"]:
        if min(tensor.get("scale", [0.0])) <= 0.0:
            continue  # not quantized, or broken, which the audit says by itself
        grid = _grid(tensor["dtype"], tensor["scale"], tensor["zero_point"])
        theirs = weights if tensor["kind"] == "weight" else [*activations, _PIXELS]
        if not any(_begins_with(grid, other) for other in theirs):
            near = min(theirs, key=_far_from(grid))
            faults.append(f"'{tensor['name']}' has {_told(grid)}, its program {_told(near)}")
    more = [f"{len(faults) - _LISTED} more tensors have other scales"] * (len(faults) > _LISTED)
    return faults[:_LISTED] + more


def _program_grids(graph: fx.GraphModule) -> tuple[list[Grid], list[Grid]]:
    """Of constants, and of activations."""
    constants, activations = [], []
    for node in graph.graph.nodes:
        if node.target is QUANTIZE:
            dtype = str(node.args[5]).removeprefix("torch.")
            activations.append(_grid(dtype, [node.args[1]], [node.args[2]]))
        elif node.target is DEQUANTIZE_CHANNELS:
            scales, zeros = (attribute(graph, a).tolist() for a in node.args[1:3])
            constants.append(_grid("int8", scales, zeros))
        elif node.target is DEQUANTIZE and argument(node, 0).op == "get_attr":
            constants.append(_grid("int8", [node.args[1]], [node.args[2]]))
    return constants, activations


def _grid(dtype: str, scales: Sequence[float], zeros: Sequence[int]) -> Grid:
    shift = 128 if dtype == "uint8" else 0
    spread = list(zeros) * (len(scales) // len(zeros))
    return tuple(map(float, scales)), tuple(int(zero) - shift for zero in spread)


def _begins_with(grid: Grid, other: Grid) -> bool:
    (scales, zeros), size = grid, len(other[0])
    if len(scales) < size or (size == 1 < len(scales)):
        return False
    return zeros[:size] == other[1] and all(
        math.isclose(a, b, rel_tol=_TOLERANCE) for a, b in zip(scales, other[0], strict=False)
    )


def _far_from(grid: Grid) -> Callable[[Grid], tuple[bool, float, int]]:
    """How unlike a grid is: first by its number of channels, then by scale and zero point."""

    def distance(other: Grid) -> tuple[bool, float, int]:
        scales = [abs(math.log(b / a)) for a, b in zip(grid[0], other[0], strict=False)]
        zeros = [abs(a - b) for a, b in zip(grid[1], other[1], strict=False)]
        return len(scales) < len(grid[0]), max(scales), max(zeros)

    return distance


def _told(grid: Grid) -> str:
    scales, zeros = grid
    if len(scales) > 1:
        span = f"{len(scales)} scales of {min(scales):.4g} to {max(scales):.4g}"
    else:
        span = f"the scale {scales[0]:.6g}"
    points = sorted(set(zeros))
    return f"{span} and zero point{'s' * (len(points) > 1)} {', '.join(map(str, points[:4]))}"
