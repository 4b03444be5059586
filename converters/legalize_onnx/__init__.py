"""A QDQ graph in the form that ONNX Runtime's CPU provider runs fastest.

Each entry of `REWRITES` computes the same function as what it replaces, and
leaves standard ONNX operators only. They are applied in this order.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from edgeskin.converters.legalize_onnx.channels import pad_depthwise_channels
from edgeskin.converters.legalize_onnx.integers import (
    activations_to_uint8,
    full_rank_constants,
    integer_biases,
    mean_to_pooling,
)
from edgeskin.converters.legalize_onnx.linear import linear_to_convolution
from edgeskin.converters.legalize_onnx.padding import drop_requantization, pad_in_convolution
from edgeskin.converters.legalize_onnx.pixels import pixels_are_integers
from edgeskin.converters.legalize_onnx.stem import widen_stem

REWRITES: tuple[Callable[[ir.Graph], None], ...] = (
    activations_to_uint8,
    pixels_are_integers,
    full_rank_constants,
    mean_to_pooling,
    pad_in_convolution,
    drop_requantization,
    pad_depthwise_channels,
    widen_stem,
    linear_to_convolution,
    integer_biases,
)


def legalize(graph: ir.Graph) -> None:
    """Apply `REWRITES` to `graph`, in place."""
    for rewrite in REWRITES:
        rewrite(graph)
