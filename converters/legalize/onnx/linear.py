"""Linear layers of a transformer as convolutions of one pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeskin.converters.legalize.onnx.qdq import (
    DEQUANTIZE,
    QUANTIZE,
    Step,
    add_shape,
    chain,
    constant,
    dequantize_of,
    edit,
    nodes,
    only_user,
    sizes,
)


@dataclass(frozen=True)
class _Linear:
    """A linear layer, (B, N, K) to (B, N, M): its nodes from integers to integers."""

    x: ir.Node
    weight: ir.Node
    bias: list[ir.Value | None]
    quantize: ir.Node


def linear_to_convolution(graph: ir.Graph) -> None:
    """Write a linear layer over tokens as a 1 x 1 convolution over a picture one pixel high.

    ONNX Runtime's integer matrix product leaves its sums in memory and rounds
    them in a second pass; its convolution rounds them in registers. Tokens lie
    in memory as NHWC pixels do, so that nothing is moved.
    """
    for node in nodes(graph, "MatMul"):
        linear = _linear(node)
        if linear is not None:
            _convolve(graph, linear)


def _linear(node: ir.Node) -> _Linear | None:
    x, transposed = dequantize_of(node.inputs[0]), node.inputs[1]
    transpose = transposed.producer() if transposed is not None else None
    if x is None or transpose is None or transpose.op_type != "Transpose":
        return None
    if len(sizes(node.inputs[0])) != 3:
        return None
    weight = dequantize_of(transpose.inputs[0])
    array = constant(weight.inputs[0]) if weight is not None else None
    if weight is None or array is None or array.dtype != np.int8 or array.ndim != 2:
        return None
    if only_user(weight.outputs[0]) is not transpose or only_user(transposed) is not node:
        return None
    user, bias = only_user(node.outputs[0]), list[ir.Value | None]()
    if user is not None and user.op_type == "Add":
        bias = [value for value in user.inputs if constant(value) is not None]
        user = only_user(user.outputs[0]) if bias else None
    if user is None or user.op_type != QUANTIZE:
        return None
    return _Linear(x, weight, bias, user)


def _convolve(graph: ir.Graph, linear: _Linear) -> None:
    x, weight, quantize = linear.x, linear.weight, linear.quantize
    batch, tokens, inputs = sizes(x.outputs[0])
    edit(weight, 0, lambda array: array[:, :, None, None], "1x1")
    outputs, *_ = sizes(weight.inputs[0])
    steps: list[Step] = [
        ("Reshape", [add_shape(graph, batch, 1, tokens, inputs)], {}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
        (DEQUANTIZE, x.inputs[1:], {}),
        ("Conv", [weight.outputs[0], *linear.bias], {"kernel_shape": [1, 1]}),
        (QUANTIZE, quantize.inputs[1:], {}),
        ("Transpose", [], {"perm": [0, 2, 3, 1]}),
        ("Reshape", [add_shape(graph, batch, tokens, outputs)], {}),
    ]
    convolution = chain(x.inputs[0], steps)
    graph.insert_before(quantize, convolution)
    quantize.outputs[0].replace_all_uses_with(convolution[-1].outputs[0])
