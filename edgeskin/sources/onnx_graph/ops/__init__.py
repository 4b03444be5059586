"""Every operator that is read: its name in ONNX, and the function that computes it.

One table serves all operator sets from 11 on: where a newer one turned an
attribute into an input, a function has one parameter for both. Control flow
and the steps into integers and back are the specializer's.
"""

from __future__ import annotations

from edgeskin.sources.onnx_graph.ops import (
    activation,
    convolution,
    elementwise,
    gathering,
    normalization,
    pooling,
    reduction,
    resize,
    shape,
    slicing,
)
from edgeskin.sources.onnx_graph.ops.operator import Ops

THEMES = (
    elementwise,
    activation,
    convolution,
    pooling,
    normalization,
    reduction,
    shape,
    slicing,
    gathering,
    resize,
)
OPERATORS: Ops = {name: operator for theme in THEMES for name, operator in theme.OPERATORS.items()}
MICROSOFT: Ops = {
    name: operator
    for theme in (activation, convolution, normalization)
    for name, operator in theme.MICROSOFT.items()
}
"""Of the domain `com.microsoft`, as ONNX Runtime saves an optimised model."""
