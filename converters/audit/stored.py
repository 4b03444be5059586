"""The numbers that an INT8 file stores, compared with those of its program.

A file whose numbers are a little off computes nearly the right thing, so that no
comparison of answers finds it; its numbers do. Weights are compared integer by
integer, biases in units of input scale x weight scale. What the converters'
rewrites make of a weight is known: channels of zeros behind it, a matrix turned,
several pixels of a row folded into one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    argument,
    aten,
    attribute,
    bias_of,
    layer_name,
    operands,
)
from edgeskin.converters.audit.describe import activations
from edgeskin.converters.fold import Fold
from edgeskin.formats.network import Network, Operator, Quantization, Tensor

Array = NDArray[Any]
_PRODUCTS = (aten.conv2d.default, aten.linear.default, aten.matmul.default)
_TO_OIHW = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2)}
_TOLERANCE = 2.0**-10
"""Float16, in which Core ML holds scales, keeps eleven bits."""
_HALF_STEP = {"float16": 2.0**-11, "float32": 2.0**-23}
"""Of a stored real number, relative to it; and of the smallest ones:"""
_SMALLEST = 2.0**-24
_LISTED = 3
_SHIFTS = {"uint8": 128, "uint16": 32768}


@dataclass(frozen=True)
class QuantParams:
    """Scales and zero points, (channels,) or (1,).

    Those of unsigned types are given as for signed ones: of uint8, q - 128 with zero_point - 128
    is the same number.
    """

    scales: Array
    zeros: Array

    @classmethod
    def of(cls, tensor: Tensor) -> QuantParams | None:
        """None of a tensor that is not quantized, or whose scales the audit calls broken."""
        stored: Quantization | None = tensor.quantization
        if stored is None or min(stored.scale) <= 0.0:
            return None
        shift = _SHIFTS.get(tensor.dtype, 0)
        return cls(np.array(stored.scale), np.array(stored.zero_point) - shift)

    def channels(self, order: Array) -> QuantParams:
        """Those of the channels `order`; one pair stands for all."""
        if len(self.scales) == 1:
            return self
        return QuantParams(self.scales[order], self.zeros[order])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, QuantParams)
            and self.scales.shape == other.scales.shape
            and np.array_equal(self.zeros, other.zeros)
            and np.allclose(self.scales, other.scales, rtol=_TOLERANCE, atol=0.0)
        )

    def __str__(self) -> str:
        if len(self.scales) > 1:
            low, high = min(self.scales), max(self.scales)
            span = f"{len(self.scales)} scales of {low:.4g} to {high:.4g}"
        else:
            span = f"the scale {self.scales[0]:.6g}"
        points = np.unique(self.zeros)
        return f"{span} and zero point{'s' * (len(points) > 1)} {', '.join(map(str, points[:4]))}"


@dataclass(frozen=True)
class RewrittenWeight:
    """A program's weight as a rewrite may store it; `channels` are the program's, -1 is padding."""

    weight: Array
    channels: Array


@dataclass(frozen=True)
class ProgramProduct:
    """A product of a program.

    Attributes:
        weight: Integers (out, in / groups, height, width); 1 x 1 for a matrix.
        biases: float64 (out,), real numbers: its own, and with a constant that is added
            behind it.
        before: Scale of the integers that it reads; 0 where it reads none.
    """

    name: str
    weight: Array
    quantization: QuantParams
    biases: tuple[Array, ...]
    input_scale: float

    def rewritten(self, shape: tuple[int, ...]) -> Iterator[RewrittenWeight]:
        """The weights of that shape that the converters' rewrites make of this one."""
        (out, into, *kernel), (wide_out, wide_in, *wide_kernel) = self.weight.shape, shape
        order = np.arange(out)
        if kernel == wide_kernel and wide_out >= out and wide_in >= into:
            more = ((0, wide_out - out), (0, wide_in - into), (0, 0), (0, 0))
            yield RewrittenWeight(
                np.pad(self.weight, more), np.pad(order, more[0], constant_values=-1)
            )
        if kernel == wide_kernel == [1, 1] and shape[:2] == (into, out):
            yield RewrittenWeight(self.weight.transpose(1, 0, 2, 3), order)
        pixels, cells = wide_in // into, wide_out // out
        if pixels > 1 and shape[:2] == (cells * out, pixels * into) and pixels % max(cells, 1) == 0:
            for pad in range(kernel[1] + pixels):
                fold = Fold(pixels, pixels // cells, pad, kernel[1])
                if (kernel[0], fold.last - fold.first + 1) == tuple(wide_kernel):
                    yield RewrittenWeight(fold.weights(self.weight), np.tile(order, cells))


@dataclass(frozen=True)
class FileProduct:
    """A product of a file, its weight as a program has it; `bias` float64, None without one."""

    name: str
    weight: Array
    quantization: QuantParams
    bias: Array | None
    bias_type: str

    def faults(self, product: ProgramProduct, rewritten: RewrittenWeight) -> Iterator[str]:
        unlike = self.weight != rewritten.weight
        if unlike.any():
            most = np.abs(self.weight - rewritten.weight).max()
            yield (
                f"layer {product.name}: {np.count_nonzero(unlike)} of {unlike.size} integers of "
                f"its weights are not its program's, by up to {most} ('{self.name}')"
            )
        real = rewritten.channels >= 0
        quantization = product.quantization.channels(rewritten.channels[real])
        if self.quantization.channels(np.flatnonzero(real)) != quantization:
            yield f"'{self.name}' has {self.quantization}, its program {quantization}"
        elif (far := self._bias_off(product, rewritten)) is not None:
            yield f"layer {product.name}: {far} ('{self.name}')"

    def _bias_off(self, product: ProgramProduct, rewritten: RewrittenWeight) -> str | None:
        """What is wrong with the biases, beside the program's nearest."""
        real = rewritten.channels >= 0
        step = np.broadcast_to(
            product.input_scale * product.quantization.scales, len(product.weight)
        )
        step = step[rewritten.channels[real]]
        bias = np.zeros(1) if self.bias is None else self.bias
        bias = np.broadcast_to(bias, real.shape)[real]
        verdicts = []
        for biases in product.biases:
            expected = np.broadcast_to(biases, len(product.weight))[rewritten.channels[real]]
            if "int" in self.bias_type:
                expected = expected / np.where(step > 0.0, step, np.inf)
                allowed, unit = 0.5 + np.abs(expected) * 2.0**-22, "steps"
            else:
                half = _HALF_STEP.get(self.bias_type, 0.0)
                allowed, unit = 2.0 * half * np.abs(expected) + _SMALLEST, "in value"
            off = np.abs(bias - expected)
            wrong = np.count_nonzero(~(off <= allowed))
            verdicts.append(
                (
                    wrong,
                    f"{wrong} of {off.size} biases are not its program's, by up to "
                    f"{off.max():.3g} {unit}",
                )
            )
        wrong, line = min(verdicts)
        return line if wrong else None


def differences(graph: fx.GraphModule, network: Network) -> list[str]:
    """What a file stores that its program does not: weights, biases, scales, zero points.

    A file may hold one tensor more of its program's activations: the pixels.
    """
    products = list(_program_products(graph))
    faults = [line for stored in _file_products(network) for line in _faults_of(stored, products)]
    program_params = [*_activations(graph), QuantParams(np.array([1.0]), np.array([-128]))]
    for tensor in activations(network):
        quantization = QuantParams.of(tensor)
        if quantization is not None and quantization not in program_params:
            near = min(program_params, key=lambda other: _unlikeness(quantization, other))
            faults.append(f"'{tensor.name}' has {quantization}, its program {near}")
    more = [f"{len(faults) - _LISTED} more differences of this kind"] * (len(faults) > _LISTED)
    return faults[:_LISTED] + more


def _faults_of(stored: FileProduct, products: Sequence[ProgramProduct]) -> list[str]:
    """How `stored` differs from the product most like it; [] where one is the same."""
    best: tuple[float, list[str]] | None = None
    for product in products:
        for rewritten in product.rewritten(stored.weight.shape):
            if len(stored.quantization.scales) not in (1, len(rewritten.channels)):
                continue  # scales along the other axis
            distance = _distance(stored.weight, rewritten.weight)
            if best is None or distance <= best[0]:
                lines = list(stored.faults(product, rewritten))
                if not lines:
                    return []
                if best is None or (distance, len(lines)) < (best[0], len(best[1])):
                    best = distance, lines
    if best is None:
        shape = "x".join(map(str, stored.weight.shape))
        return [f"'{stored.name}' has weights of {shape}, its program has none like them"]
    return best[1]


def _distance(a: Array, b: Array) -> float:
    """0 for the same integers, 1 for those that have nothing to do with each other."""
    size = np.abs(a).sum(dtype=np.int64) + np.abs(b).sum(dtype=np.int64)
    return float(np.abs(a - b).sum(dtype=np.int64)) / max(1, int(size))


def _program_products(graph: fx.GraphModule) -> Iterator[ProgramProduct]:
    for node in graph.graph.nodes:
        steps = operands(node)[1] if node.target in _PRODUCTS else None
        if steps is None or steps.target not in (DEQUANTIZE, DEQUANTIZE_CHANNELS):
            continue
        if argument(steps, "input").op == "get_attr":
            yield ProgramProduct(
                layer_name(node).removeprefix("network."),
                _filters(attribute(graph, argument(steps, "input")).numpy().astype(np.int16)),
                _quant_params(graph, steps),
                tuple(_biases(graph, node)),
                _scale_before(node),
            )


def _quant_params(graph: fx.GraphModule, steps: Any) -> QuantParams:
    if steps.target is DEQUANTIZE_CHANNELS:
        names = "scales", "zero_points"
        scales, zeros = (attribute(graph, argument(steps, n)).double().numpy() for n in names)
    else:
        names = "scale", "zero_point"
        scales, zeros = (np.array([float(argument(steps, n))]) for n in names)
    return QuantParams(scales, zeros.astype(int))


def _biases(graph: fx.GraphModule, node: fx.Node) -> Iterator[Array]:
    bias = bias_of(node)
    own = np.zeros(1) if bias is None else attribute(graph, bias).double().numpy()
    yield own
    users: list[Any] = list(node.users)
    if len(users) == 1 and users[0].target is aten.add.Tensor:
        added: Any = next(a for a in users[0].args if a is not node)
        if not isinstance(added, fx.Node):
            yield own + added
        elif added.op == "get_attr":
            yield own + attribute(graph, added).double().numpy().reshape(-1)


def _scale_before(node: fx.Node) -> float:
    """The scale of the integers that a product reads, through what only moves values."""
    x, _ = operands(node)
    while x.target is not DEQUANTIZE and len(x.all_input_nodes) == 1:
        (x,) = x.all_input_nodes
    return float(argument(x, "scale")) if x.target is DEQUANTIZE else 0.0


def _activations(graph: fx.GraphModule) -> list[QuantParams]:
    """Quantizations of all activations, and of constants added to them or multiplied with them."""
    nodes = [n for n in graph.graph.nodes if n.target in (QUANTIZE, DEQUANTIZE)]
    return [_quant_params(graph, node) for node in nodes]


def _file_products(network: Network) -> Iterator[FileProduct]:
    for op in network.operators:
        stored = network.stored(op.operands[1]) if op.operands else None
        if stored is None or not stored.constant or stored.dtype not in ("int8", "uint8"):
            continue
        if (quantization := QuantParams.of(stored)) is not None:
            shift = _SHIFTS.get(stored.dtype, 0)
            weight = network.values(stored.name).astype(np.int16) - shift
            weight = weight.transpose(_TO_OIHW.get(op.type, range(weight.ndim)))
            yield FileProduct(stored.name, _filters(weight), quantization, *_bias(op, network))


def _bias(op: Operator, network: Network) -> tuple[Array | None, str]:
    """The third input, or the real numbers that the next operator adds; and their type."""
    bias = network.stored(op.inputs[2]) if len(op.inputs) > 2 else None
    if bias is None:
        users = network.consumers.get(op.name, [])
        if len(users) == 1 and users[0].type.lower() == "add":
            others = [network.stored(name) for name in users[0].inputs if name != op.name]
            bias = next((t for t in others if t.constant and not t.is_integer), None)
    if bias is None or not bias.constant:
        return None, ""
    return network.values(bias.name).astype(np.float64).reshape(-1), bias.dtype


def _filters(weight: Array) -> Array:
    """A matrix (out, in) as a filter (out, in, 1, 1)."""
    return weight.reshape(*weight.shape, *(1,) * (4 - weight.ndim))


def _unlikeness(quantization: QuantParams, other: QuantParams) -> tuple[bool, float, int]:
    """How unlike two quantizations are: by number of channels, by scale, by zero point."""
    if quantization.scales.shape != other.scales.shape:
        return True, math.inf, 0
    ratio = np.abs(np.log(other.scales / quantization.scales)).max()
    return False, float(ratio), int(np.abs(quantization.zeros - other.zeros).max())
