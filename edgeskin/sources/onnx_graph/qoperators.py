"""Operators on integers (QLinearConv and the like), written as QDQ: the same quantization.

Each becomes its float operator between DequantizeLinear and QuantizeLinear. A
runtime's integer kernel rounds once at its end, and so may differ by one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onnx import AttributeProto, GraphProto, NodeProto, helper

# By one input: its float operator.
_UNARY = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearReduceMean": "ReduceMean",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}
_BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul"}
# Attributes of the integer operators that the float ones do not have.
_OWN = {"channels_last", "opset"}


def expand_qoperators(graph: GraphProto) -> None:
    """Rewrite those of `graph`, in place."""
    nodes = [fresh for node in graph.node for fresh in _expanded(node)]
    del graph.node[:]
    graph.node.extend(nodes)


def _expanded(node: NodeProto) -> list[NodeProto]:
    rule = _RULES.get(node.op_type)
    channels_last = any(a.name == "channels_last" and a.i for a in node.attribute)
    return [node] if rule is None or channels_last else list(rule(node))


def _dequantize(node: NodeProto, place: int, output: str, axis: int = 1) -> NodeProto:
    """Of the input at `place`, whose scale and zero point are the next two."""
    inputs = [*node.input, "", ""][place : place + 3]
    return helper.make_node("DequantizeLinear", inputs, [output], f"{node.name}_{place}", axis=axis)


def _quantize(node: NodeProto, place: int, value: str) -> NodeProto:
    """Into the output, with the scale and zero point of the inputs at `place`."""
    inputs = [value, *node.input[place : place + 2]]
    return helper.make_node("QuantizeLinear", inputs, list(node.output), f"{node.name}_output")


def _float(node: NodeProto, kind: str, inputs: list[str], output: str) -> NodeProto:
    attributes: list[AttributeProto] = [a for a in node.attribute if a.name not in _OWN]
    fresh = helper.make_node(kind, inputs, [output], node.name)
    fresh.attribute.extend(attributes)
    return fresh


def _bias(node: NodeProto, place: int, output: str) -> Iterator[NodeProto]:
    """The int32 bias at `place`, in steps of input scale x weight scale."""
    scale = f"{output}_scale"
    yield helper.make_node("Mul", [node.input[1], node.input[4]], [scale])
    inputs = [node.input[place], scale]
    yield helper.make_node("DequantizeLinear", inputs, [output], f"{node.name}_bias", axis=0)


def _names(node: NodeProto) -> tuple[str, str, str, str]:
    """New names for two float inputs, a float bias, and the float result."""
    output = node.output[0]
    return f"{output}::a", f"{output}::b", f"{output}::bias", f"{output}::float"


def _conv(node: NodeProto) -> Iterator[NodeProto]:
    x, weight, bias, y = _names(node)
    inputs = [x, weight]
    yield _dequantize(node, 0, x)
    yield _dequantize(node, 3, weight, axis=0)
    if len(node.input) > 8 and node.input[8]:
        yield from _bias(node, 8, bias)
        inputs.append(bias)
    yield _float(node, "Conv", inputs, y)
    yield _quantize(node, 6, y)


def _matmul(node: NodeProto) -> Iterator[NodeProto]:
    a, b, _, y = _names(node)
    yield _dequantize(node, 0, a)
    yield _dequantize(node, 3, b, axis=-1)
    yield _float(node, "MatMul", [a, b], y)
    yield _quantize(node, 6, y)


def _gemm(node: NodeProto) -> Iterator[NodeProto]:
    a, b, bias, y = _names(node)
    inputs = [a, b]
    yield _dequantize(node, 0, a)
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    yield _dequantize(node, 3, b, axis=0 if transposed else 1)
    if node.input[6]:
        yield from _bias(node, 6, bias)
        inputs.append(bias)
    quantized = len(node.input) > 7 and bool(node.input[7])
    yield _float(node, "Gemm", inputs, y if quantized else node.output[0])
    if quantized:
        yield _quantize(node, 7, y)


def _binary(node: NodeProto) -> Iterator[NodeProto]:
    a, b, _, y = _names(node)
    yield _dequantize(node, 0, a)
    yield _dequantize(node, 3, b)
    yield _float(node, _BINARY[node.op_type], [a, b], y)
    yield _quantize(node, 6, y)


def _unary(node: NodeProto) -> Iterator[NodeProto]:
    x, _, _, y = _names(node)
    yield _dequantize(node, 0, x)
    yield _float(node, _UNARY[node.op_type], [x], y)
    yield _quantize(node, 3, y)


def _concat(node: NodeProto) -> Iterator[NodeProto]:
    """The scale and zero point of the output stand in front."""
    y = _names(node)[3]
    inputs = []
    for place in range(2, len(node.input), 3):
        inputs.append(f"{y}_{place}")
        yield _dequantize(node, place, inputs[-1])
    yield _float(node, "Concat", inputs, y)
    yield _quantize(node, 0, y)


_RULES: dict[str, Callable[[NodeProto], Iterator[NodeProto]]] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    "QLinearConcat": _concat,
    "QGemm": _gemm,
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_UNARY, _unary),
}
