"""A QDQ graph in the form that one runtime runs fastest.

Each rewrite leaves standard ONNX operators only, and computes the same function
as what it replaces (`open_residual_add` leaves out one rounding). They are
applied in the order of their tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from edgeskin.converters.legalize.onnx.channels import pad_depthwise_channels
from edgeskin.converters.legalize.onnx.integers import (
    activations_to_uint8,
    activations_to_uint16,
    full_rank_constants,
    integer_biases,
    mean_to_pooling,
    own_constants,
    own_weights,
)
from edgeskin.converters.legalize.onnx.linear import linear_to_convolution
from edgeskin.converters.legalize.onnx.padding import pad_in_convolution
from edgeskin.converters.legalize.onnx.pixels import pixels_are_integers, pixels_are_quantized
from edgeskin.converters.legalize.onnx.redundant import (
    clamp_by_bounds,
    clamp_integers,
    drop_clamps,
    drop_gathers_of_all,
    drop_requantization,
)
from edgeskin.converters.legalize.onnx.stem import widen_stem
from edgeskin.converters.legalize.onnx.tensorrt import open_residual_add


@dataclass(frozen=True)
class Form:
    """The opset that a kind of file is written in, and the rewrites that make it."""

    opset: int
    rewrites: tuple[Callable[[ir.Graph], None], ...] = ()


# Opset 20 is the first with Gelu as one operator (ViT-Tiny in INT8 is 1.1 times as fast as
# with its formula); ONNX Runtime 1.17 and later read it.
FLOAT = Form(20)
ONNX_RUNTIME = Form(
    20,
    (
        activations_to_uint8,
        pixels_are_integers,
        full_rank_constants,
        mean_to_pooling,
        pad_in_convolution,
        drop_requantization,
        drop_clamps,
        clamp_integers,
        pad_depthwise_channels,
        widen_stem,
        linear_to_convolution,
        integer_biases,
    ),
)
# For any provider. Left out is what only ONNX Runtime's CPU kernels gain by: most of it moves
# bare integers, outside of a dequantize and a quantize step, which other providers refuse.
PORTABLE = Form(
    20,
    (
        activations_to_uint8,
        pixels_are_quantized,
        full_rank_constants,
        pad_in_convolution,
        drop_requantization,
        drop_clamps,
        integer_biases,
        own_constants,
    ),
)
# int8 with zero point 0 and biases in float, as it asks; TensorRT 8.5 and 8.6 read opset 17.
TENSORRT = Form(
    17,
    (
        full_rank_constants,
        mean_to_pooling,
        pad_in_convolution,
        drop_requantization,
        open_residual_add,
    ),
)
# The first opset with int16; ONNX Runtime's CPU provider computes it in float, step for step.
INT16 = Form(21)
PORTABLE16 = Form(
    21, (activations_to_uint16, *PORTABLE.rewrites[1:-1], clamp_by_bounds, own_constants)
)


def find_form(activations: set[tuple[str, int]], *, portable: bool = False) -> Form:
    """What suits a program whose activations have these types and zero points.

    All zero points 0 is what the scheme w8a8_symmetric means, and is for TensorRT.
    """
    types, zero_points = {kind for kind, _ in activations}, {zero for _, zero in activations}
    if types - {"int8"}:
        return PORTABLE16 if portable else INT16
    if zero_points == {0}:
        return TENSORRT
    if portable:
        return PORTABLE
    return ONNX_RUNTIME if activations else FLOAT


def legalize(graph: ir.Graph, form: Form) -> None:
    """Apply the rewrites of `form` to `graph`, in place, and those that every form needs."""
    for rewrite in (drop_gathers_of_all, *form.rewrites, own_weights):
        rewrite(graph)
