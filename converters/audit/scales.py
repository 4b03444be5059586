"""Scales and zero points that cannot be right, or that lose more than they should."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from edgeskin.formats.model_audit import Float16Reach, LayerReach, Oddity, ScaleSpan
from edgeskin.formats.network import Network, Tensor

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}
FLOAT16_MAX = 65504.0
_FLOAT16_LEAST = 2.0**-24
"""The smallest number above 0 that float16 has; half of it rounds to 0."""


def span(tensors: Sequence[Tensor]) -> ScaleSpan:
    """How many tensors have scales, and the smallest and largest of these."""
    quantizations = [tensor.quantization for tensor in tensors if tensor.quantization]
    scales = [scale for quantization in quantizations for scale in quantization.scale]
    return ScaleSpan(
        tensors=len(quantizations),
        smallest=min(scales, default=None),
        largest=max(scales, default=None),
    )


def reach(activations: Sequence[Tensor]) -> Float16Reach:
    """How far activations can reach by their scales, beside float16: see `float16.measure`."""
    layers = [
        LayerReach(name=t.name, type=t.dtype, largest=largest)
        for t in activations
        if (largest := _reach(t)) is not None
    ]
    return against_float16(layers, by="scales") if layers else Float16Reach(by=None)


def against_float16(
    layers: Sequence[LayerReach],
    *,
    by: Literal["scales", "images"],
    run: str | None = None,
    images: int | None = None,
) -> Float16Reach:
    """A summary of the largest values of layers, against the end of float16."""
    ordered = sorted(layers, key=lambda layer: -layer.largest)
    largest = ordered[0].largest
    return Float16Reach(
        by=by,
        run=run,
        images=images,
        limit=FLOAT16_MAX,
        largest=largest,
        headroom=FLOAT16_MAX / largest if largest else None,
        beyond=sum(not layer.largest <= FLOAT16_MAX for layer in ordered),
        layers=tuple(ordered),
    )


def _reach(tensor: Tensor) -> float | None:
    """The largest absolute value that the tensor's integers stand for."""
    quantization = tensor.quantization
    if quantization is None or tensor.dtype not in _LIMITS:
        return None
    low, high = _LIMITS[tensor.dtype]
    steps = [max(high - zero, zero - low) for zero in quantization.zero_point]
    return max(scale * n for scale, n in zip(quantization.scale, steps, strict=True))


def oddities(
    network: Network, weights: Sequence[Tensor], activations: Sequence[Tensor]
) -> tuple[Oddity, ...]:
    """The doubtful tensors, each with what is wrong with it."""
    tensors = (*weights, *activations)
    odd = [Oddity(kind="broken", tensor=t.name, why=why) for t in tensors if (why := _broken(t))]
    odd += [
        Oddity(kind="one scale", tensor=t.name, why=why) for t in weights if (why := _one_scale(t))
    ]
    odd += [
        Oddity(kind="float16", tensor=t.name, why=why)
        for t in activations
        if (why := _beyond_float16(t))
    ]
    odd += [
        Oddity(kind="unequal", tensor=op.inputs[0], why=_UNEQUAL)
        for op in network.operators
        if _unequal(op, network)
    ]
    return tuple(odd)


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
    quantization = weight.quantization
    if quantization and len(quantization.scale) > 1 and len(set(quantization.scale)) == 1:
        return f"all {len(quantization.scale)} channels have the scale {quantization.scale[0]:g}"
    return ""


def _beyond_float16(tensor: Tensor) -> str:
    """Runtimes that compute in float16 between integers hold neither of these."""
    largest = _reach(tensor)
    if tensor.quantization is None or largest is None:
        return ""
    if math.isfinite(largest) and largest > FLOAT16_MAX:
        return f"it reaches {largest:g}, beyond float16"
    least = min(tensor.quantization.scale)
    return f"its scale {least:g} is 0 in float16" if 0 < least <= _FLOAT16_LEAST / 2 else ""


_UNEQUAL = "it is dequantized with another scale or zero point than it was quantized with"


def _unequal(op: Any, network: Network) -> bool:
    made = network.tensors[op.inputs[0]].quantization if op.inputs else None
    return op.quantization is not None and made is not None and made != op.quantization
