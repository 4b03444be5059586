"""What an INT8 file stores beside what its program stores: the same integers, of the same scales.

A file whose numbers are a little off computes nearly the right thing, so that no
comparison of answers finds it; its numbers do. Weights are compared integer by
integer, biases in steps of input scale x weight scale. What the converters'
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


@dataclass(frozen=True)
class QuantizationParameters:
    """Scales and zero points, (channels,) or (1,); uint8 as the int8 of the same values."""

    scales: Array
    zeros: Array

    @classmethod
    def of(cls, tensor: Tensor) -> QuantizationParameters | None:
        """None of a tensor that is not quantized, or whose scales the audit calls broken."""
        held: Quantization | None = tensor.quantization
        if held is None or min(held.scale) <= 0.0:
            return None
        shift = 128 if tensor.dtype == "uint8" else 0
        return cls(np.array(held.scale), np.array(held.zero_point) - shift)

    def channels(self, order: Array) -> QuantizationParameters:
        """Of the channels `order`; one pair stands for all."""
        if len(self.scales) == 1:
            return self
        return QuantizationParameters(self.scales[order], self.zeros[order])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, QuantizationParameters)
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
class Form:
    """A program's weight as a rewrite may store it; `channels` are the program's, -1 is padding."""

    weight: Array
    channels: Array


@dataclass(frozen=True)
class Meant:
    """A product of a program.

    Attributes:
        weight: Integers (out, in / groups, height, width); 1 x 1 for a matrix.
        biases: float64 (out,), real numbers: its own, and with a constant that is added
            behind it.
        before: Scale of the integers that it reads; 0 where it reads none.
    """

    name: str
    weight: Array
    parameters: QuantizationParameters
    biases: tuple[Array, ...]
    before: float

    def forms(self, shape: tuple[int, ...]) -> Iterator[Form]:
        """All of `shape` that the converters' rewrites make of the weight."""
        (out, into, *kernel), (wide_out, wide_in, *wide_kernel) = self.weight.shape, shape
        order = np.arange(out)
        if kernel == wide_kernel and wide_out >= out and wide_in >= into:
            more = ((0, wide_out - out), (0, wide_in - into), (0, 0), (0, 0))
            yield Form(np.pad(self.weight, more), np.pad(order, more[0], constant_values=-1))
        if kernel == wide_kernel == [1, 1] and shape[:2] == (into, out):
            yield Form(self.weight.transpose(1, 0, 2, 3), order)
        pixels, cells = wide_in // into, wide_out // out
        if pixels > 1 and shape[:2] == (cells * out, pixels * into) and pixels % max(cells, 1) == 0:
            for pad in range(kernel[1] + pixels):
                fold = Fold(pixels, pixels // cells, pad, kernel[1])
                if (kernel[0], fold.last - fold.first + 1) == tuple(wide_kernel):
                    yield Form(fold.weights(self.weight), np.tile(order, cells))


@dataclass(frozen=True)
class Held:
    """A product of a file, its weight as a program has it; `bias` float64, None without one."""

    name: str
    weight: Array
    parameters: QuantizationParameters
    bias: Array | None
    bias_type: str

    def faults(self, meant: Meant, form: Form) -> Iterator[str]:
        unlike = self.weight != form.weight
        if unlike.any():
            most = np.abs(self.weight - form.weight).max()
            yield (
                f"layer {meant.name}: {np.count_nonzero(unlike)} of {unlike.size} integers of its "
                f"weights are not its program's, by up to {most} ('{self.name}')"
            )
        real = form.channels >= 0
        parameters = meant.parameters.channels(form.channels[real])
        if self.parameters.channels(np.flatnonzero(real)) != parameters:
            yield f"'{self.name}' has {self.parameters}, its program {parameters}"
        elif (far := self._bias_off(meant, form)) is not None:
            yield f"layer {meant.name}: {far} ('{self.name}')"

    def _bias_off(self, meant: Meant, form: Form) -> str | None:
        """What is wrong with the biases, beside the program's nearest."""
        real = form.channels >= 0
        step = np.broadcast_to(meant.before * meant.parameters.scales, len(meant.weight))
        step = step[form.channels[real]]
        bias = np.zeros(1) if self.bias is None else self.bias
        bias = np.broadcast_to(bias, real.shape)[real]
        found = []
        for expected in meant.biases:
            given = np.broadcast_to(expected, len(meant.weight))[form.channels[real]]
            if "int" in self.bias_type:
                given = given / np.where(step > 0.0, step, np.inf)
                allowed, unit = 0.5 + np.abs(given) * 2.0**-22, "steps"
            else:
                half = _HALF_STEP.get(self.bias_type, 0.0)
                allowed, unit = 2.0 * half * np.abs(given) + _SMALLEST, "in value"
            off = np.abs(bias - given)
            wrong = np.count_nonzero(~(off <= allowed))
            found.append(
                (
                    wrong,
                    f"{wrong} of {off.size} biases are not its program's, by up to "
                    f"{off.max():.3g} {unit}",
                )
            )
        wrong, line = min(found)
        return line if wrong else None


def differences(graph: fx.GraphModule, network: Network) -> list[str]:
    """What a file stores that its program does not: weights, biases, scales, zero points.

    A file may hold one tensor more of its program's activations: the pixels.
    """
    known = list(_meant(graph))
    faults = [line for held in _held(network) for line in _unlike(held, known)]
    allowed = [*_activations(graph), QuantizationParameters(np.array([1.0]), np.array([-128]))]
    for tensor in activations(network):
        parameters = QuantizationParameters.of(tensor)
        if parameters is not None and parameters not in allowed:
            near = min(allowed, key=lambda other: _far(parameters, other))
            faults.append(f"'{tensor.name}' has {parameters}, its program {near}")
    more = [f"{len(faults) - _LISTED} more differences of this kind"] * (len(faults) > _LISTED)
    return faults[:_LISTED] + more


def _unlike(held: Held, known: Sequence[Meant]) -> list[str]:
    """Of the product of the program that is most like it; [] where one is the same."""
    best: tuple[float, list[str]] | None = None
    for meant in known:
        for form in meant.forms(held.weight.shape):
            if len(held.parameters.scales) not in (1, len(form.channels)):
                continue  # scales along the other axis
            distance = _distance(held.weight, form.weight)
            if best is None or distance <= best[0]:
                lines = list(held.faults(meant, form))
                if not lines:
                    return []
                if best is None or (distance, len(lines)) < (best[0], len(best[1])):
                    best = distance, lines
    if best is None:
        shape = "x".join(map(str, held.weight.shape))
        return [f"'{held.name}' has weights of {shape}, its program has none like them"]
    return best[1]


def _distance(a: Array, b: Array) -> float:
    """0 for the same integers, 1 for those that have nothing to do with each other."""
    size = np.abs(a).sum(dtype=np.int64) + np.abs(b).sum(dtype=np.int64)
    return float(np.abs(a - b).sum(dtype=np.int64)) / max(1, int(size))


def _meant(graph: fx.GraphModule) -> Iterator[Meant]:
    for node in graph.graph.nodes:
        steps = operands(node)[1] if node.target in _PRODUCTS else None
        if steps is None or steps.target not in (DEQUANTIZE, DEQUANTIZE_CHANNELS):
            continue
        if argument(steps, "input").op == "get_attr":
            yield Meant(
                layer_name(node).removeprefix("network."),
                _filters(attribute(graph, argument(steps, "input")).numpy().astype(np.int16)),
                _parameters_of(graph, steps),
                tuple(_biases(graph, node)),
                _scale_before(node),
            )


def _parameters_of(graph: fx.GraphModule, steps: Any) -> QuantizationParameters:
    if steps.target is DEQUANTIZE_CHANNELS:
        names = "scales", "zero_points"
        scales, zeros = (attribute(graph, argument(steps, n)).double().numpy() for n in names)
    else:
        names = "scale", "zero_point"
        scales, zeros = (np.array([float(argument(steps, n))]) for n in names)
    return QuantizationParameters(scales, zeros.astype(int))


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
    """Through what only moves values."""
    x, _ = operands(node)
    while x.target is not DEQUANTIZE and len(x.all_input_nodes) == 1:
        (x,) = x.all_input_nodes
    return float(argument(x, "scale")) if x.target is DEQUANTIZE else 0.0


def _activations(graph: fx.GraphModule) -> list[QuantizationParameters]:
    """Of what is computed, and of constants that it is added to or multiplied with."""
    nodes = [n for n in graph.graph.nodes if n.target in (QUANTIZE, DEQUANTIZE)]
    return [_parameters_of(graph, node) for node in nodes]


def _held(network: Network) -> Iterator[Held]:
    for op in network.operators:
        stored = network.stored(op.operands[1]) if op.operands else None
        if stored is None or not stored.constant or stored.dtype not in ("int8", "uint8"):
            continue
        if (parameters := QuantizationParameters.of(stored)) is not None:
            shift = 128 if stored.dtype == "uint8" else 0
            weight = network.values(stored.name).astype(np.int16) - shift
            weight = weight.transpose(_TO_OIHW.get(op.type, range(weight.ndim)))
            yield Held(stored.name, _filters(weight), parameters, *_bias(op, network))


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
    """(out, in) as (out, in, 1, 1)."""
    return weight.reshape(*weight.shape, *(1,) * (4 - weight.ndim))


def _far(
    parameters: QuantizationParameters, other: QuantizationParameters
) -> tuple[bool, float, int]:
    """How unlike two are: first by their number of channels, then by scale and zero point."""
    if parameters.scales.shape != other.scales.shape:
        return True, math.inf, 0
    ratio = np.abs(np.log(other.scales / parameters.scales)).max()
    return False, float(ratio), int(np.abs(parameters.zeros - other.zeros).max())
