"""Scales and zero points that cannot be right, or that lose more than they should."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgeskin.converters.audit.network import Network, Tensor

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
_FLOAT16_MAX = 65504.0
_FLOAT16_LEAST = 2.0**-24
"""The smallest number above 0 that float16 has; half of it rounds to 0."""


def span(tensors: Sequence[Tensor]) -> dict[str, Any]:
    """How many tensors have scales, and the smallest and largest of these."""
    found = [tensor.quantization for tensor in tensors if tensor.quantization]
    scales = [scale for quantization in found for scale in quantization.scale]
    return {
        "tensors": len(found),
        "smallest": min(scales, default=None),
        "largest": max(scales, default=None),
    }


def oddities(
    network: Network, weights: Sequence[Tensor], activations: Sequence[Tensor]
) -> list[dict[str, str]]:
    """One entry a doubtful tensor: its name and what is wrong with it."""
    found = [(t.name, why) for t in (*weights, *activations) if (why := _broken(t))]
    found += [(t.name, why) for t in weights if (why := _one_scale(t))]
    found += [(t.name, why) for t in activations if (why := _beyond_float16(t))]
    found += [(op.inputs[0], _UNEQUAL) for op in network.operators if _unequal(op, network)]
    return [{"tensor": name, "why": why} for name, why in found]


def _broken(tensor: Tensor) -> str:
    if tensor.quantization is None:
        return ""
    scales, zeros = tensor.quantization.scale, tensor.quantization.zero_point
    bad = [scale for scale in scales if not 0 < scale < math.inf]
    low, high = _LIMITS.get(tensor.dtype, (-math.inf, math.inf))
    if bad:
        return f"{len(bad)} of {len(scales)} scales are not above 0 and finite, as {bad[0]:g}"
    if not all(low <= zero <= high for zero in zeros):
        return f"a zero point lies outside {tensor.dtype}"
    return ""


def _one_scale(weight: Tensor) -> str:
    found = weight.quantization
    if found and len(found.scale) > 1 and len(set(found.scale)) == 1:
        return f"all {len(found.scale)} channels have the scale {found.scale[0]:g}"
    return ""


def _beyond_float16(tensor: Tensor) -> str:
    """Runtimes that compute in float16 between integers hold neither of these."""
    if tensor.quantization is None or tensor.dtype not in _LIMITS:
        return ""
    low, high = _LIMITS[tensor.dtype]
    for scale, zero in zip(tensor.quantization.scale, tensor.quantization.zero_point, strict=True):
        reach = scale * max(high - zero, zero - low)
        if math.isfinite(reach) and reach > _FLOAT16_MAX:
            return f"it reaches {reach:g}, beyond float16"
        if 0 < scale <= _FLOAT16_LEAST / 2:
            return f"its scale {scale:g} is 0 in float16"
    return ""


_UNEQUAL = "it is dequantized with another scale or zero point than it was quantized with"


def _unequal(op: Any, network: Network) -> bool:
    made = network.tensors[op.inputs[0]].quantization if op.inputs else None
    return op.quantization is not None and made is not None and made != op.quantization
