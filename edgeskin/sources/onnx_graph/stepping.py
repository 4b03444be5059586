"""Steps into integers and back, as the steps of edgeskin's own programs.

Activations are signed: an unsigned tensor is held with 128 taken off its values
and its zero point, which is the very same quantization. Constants of 8 bits stay
integers behind a dequantize step; those of 32 bits, biases, become floats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators of `qdq`
from torch import Tensor

from edgeskin.sources.onnx_graph.calls import Call, Draft, Ref

qdq = torch.ops.quantized_decomposed
# Element type: what is taken off its values, and the type that then holds them.
_HELD = {
    torch.int8: (0, torch.int8),
    torch.uint8: (128, torch.int8),
    torch.int16: (0, torch.int16),
    torch.uint16: (2**15, torch.int16),
}


@dataclass(frozen=True)
class Grid:
    """What maps integers to numbers: number = scale * (integer - zero point).

    `scales` is float32 (), or (n,) along `axis`; `zero_points` of the same shape,
    in the integers' own type.
    """

    scales: Tensor
    zero_points: Tensor
    axis: int

    @property
    def per_tensor(self) -> bool:
        return self.scales.dim() == 0

    def along(self, rank: int) -> tuple[Tensor, Tensor]:
        """Scales and zero points (int64), in a shape that broadcasts to `rank` axes."""
        shape = [] if self.per_tensor else [-1, *[1] * (rank - 1 - self.axis % rank)]
        return self.scales.reshape(shape), self.zero_points.to(torch.int64).reshape(shape)


def grid_of(scales: Tensor, zero_points: Tensor | None, axis: int, kind: torch.dtype) -> Grid:
    """Raises ValueError for scales of blocks."""
    if scales.dim() > 1:
        raise ValueError("scales of blocks are not supported")
    if zero_points is None:
        zero_points = torch.zeros(scales.shape, dtype=kind)
    if scales.numel() == 1:
        scales, zero_points = scales.reshape(()), zero_points.reshape(())
    return Grid(scales.float(), zero_points, axis)


def quantize_constant(values: Tensor, grid: Grid) -> Tensor:
    """To the nearest integer, halves to even, cut to the type of the zero points."""
    scales, zero_points = grid.along(values.dim())
    limits = torch.iinfo(grid.zero_points.dtype)
    steps = (values / scales).round() + zero_points
    return steps.clamp(limits.min, limits.max).to(grid.zero_points.dtype)


def dequantize_constant(integers: Tensor, grid: Grid) -> Tensor:
    scales, zero_points = grid.along(integers.dim())
    return (integers.to(torch.int64) - zero_points).float() * scales


def dequantize_values(x: Tensor, scales: Tensor, zero_points: Tensor) -> Tensor:
    """Of integers that no quantize step made: an image's pixels, or a sum."""
    return (x.float() - zero_points) * scales


def unshift(x: Tensor, shift: int, kind: torch.dtype) -> Tensor:
    return (x.to(torch.int32) + shift).to(kind)


def quantize(draft: Draft, name: str, x: str, output: str, grid: Grid) -> None:
    """Add a quantize step for `x`, which depends on the image."""
    kind = grid.zero_points.dtype
    if kind not in _HELD:
        raise ValueError(f"it quantizes to {kind}, which is not supported".replace("torch.", ""))
    shift, held = _HELD[kind]
    draft.shifts[output] = shift
    _add_step(draft, "QuantizeLinear", name, x, output, grid, shift, held)


def dequantize(draft: Draft, name: str, x: str, output: str, grid: Grid) -> None:
    """Add what brings `x` back to numbers, a constant or not."""
    integers = draft.samples[x]
    if x in draft.fixed:
        if integers.dtype not in _HELD:
            draft.add_constant(output, dequantize_constant(integers, grid), x)
            return
        shift, held = _HELD[integers.dtype]
        draft.add_constant(f"{x}::held", (integers.to(torch.int32) - shift).to(held), x)
        _add_step(draft, "DequantizeLinear", name, f"{x}::held", output, grid, shift, held)
    elif x in draft.shifts:
        shift, held = draft.shifts[x], integers.dtype
        _add_step(draft, "DequantizeLinear", name, x, output, grid, shift, held)
    else:
        scales, zero_points = grid.along(integers.dim())
        arguments = (Ref(x), scales, zero_points.float())
        if grid.per_tensor:
            arguments = (Ref(x), float(scales), float(zero_points))  # type: ignore[assignment]
        _add(draft, Call("DequantizeLinear", name, dequantize_values, arguments, (output,)))


def _add_step(
    draft: Draft,
    kind: str,
    name: str,
    x: str,
    output: str,
    grid: Grid,
    shift: int,
    held: torch.dtype,
) -> None:
    into = kind == "QuantizeLinear"
    limits = torch.iinfo(held)
    least = limits.min
    if x in draft.fixed and held is torch.int8 and _is_symmetric(draft.samples[x], grid, shift):
        least += 1  # as edgeskin's own weights are
    tail = (least, limits.max, held)
    if grid.per_tensor:
        function = qdq.quantize_per_tensor if into else qdq.dequantize_per_tensor
        zero_point = int(grid.zero_points) - shift
        arguments: tuple[Any, ...] = (Ref(x), float(grid.scales), zero_point, *tail)
    else:
        function = qdq.quantize_per_channel if into else qdq.dequantize_per_channel
        zero_points = grid.zero_points.to(torch.int64) - shift
        arguments = (
            Ref(x),
            draft.add_constant(f"{output}::scales", grid.scales, x if not into else None),
            draft.add_constant(f"{output}::zero_points", zero_points, x if not into else None),
            grid.axis % draft.samples[x].dim(),
            *tail,
        )
    _add(draft, Call(kind, name, function.default, arguments, (output,)))


def _is_symmetric(integers: Tensor, grid: Grid, shift: int) -> bool:
    """Whether a constant has no zero points and would be the same with other signs."""
    return not (grid.zero_points.to(torch.int64) - shift).any() and int(integers.min()) > -128


def _add(draft: Draft, call: Call) -> None:
    draft.calls.append(call)
    draft.samples.update(zip(call.outputs, call.run(draft.samples), strict=True))


def transposed(draft: Draft, call: Call, output: str) -> None:
    """Add the step `call`, which dequantizes a constant matrix, for the transposed matrix."""
    source = call.arguments[0].name
    held = f"{source}::transposed"
    draft.add_constant(held, draft.samples[source].T.contiguous(), source)
    arguments = (Ref(held), *call.arguments[1:])
    if call.function is qdq.dequantize_per_channel.default:
        axis = 1 - arguments[3]
        arguments = (*arguments[:3], axis, *arguments[4:])
    _add(draft, replace(call, arguments=arguments, outputs=(output,)))
