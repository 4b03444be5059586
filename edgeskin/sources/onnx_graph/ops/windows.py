"""Where windows lie, as ONNX writes it: all befores, then all afters."""

from __future__ import annotations

from edgeskin.runtimes.mil.ops.window import Ends, padding
from edgeskin.sources.onnx_graph.ops.operator import Ints

_TYPES = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}


def ends_of(
    sizes: Ints, kernel: Ints, strides: Ints, dilations: Ints, auto_pad: str, pads: Ints
) -> Ends:
    """Values added before and after each spatial axis."""
    if auto_pad in _TYPES:
        return padding(sizes, kernel, strides, dilations, _TYPES[auto_pad], ())
    rank = len(kernel)
    return list(zip(pads[:rank], pads[rank:], strict=True)) if pads else [(0, 0)] * rank
