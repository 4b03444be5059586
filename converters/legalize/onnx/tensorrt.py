"""Where TensorRT wants its QDQ pairs: between what it fuses, never inside.

NVIDIA, TensorRT documentation, "Explicit Quantization", on placing Q/DQ layers.
"""

from __future__ import annotations

import onnx_ir as ir

from edgeskin.converters.legalize.onnx.qdq import QUANTIZE, dequantize_of, nodes, only_user


def open_residual_add(graph: ir.Graph) -> None:
    """Let a convolution run straight into the add behind it, whose other side stays quantized.

    TensorRT computes both in one kernel and keeps the convolution's result in
    registers; a QDQ pair between would part them. One rounding less, so outputs
    may differ from the program's by a step.
    """
    for add in nodes(graph, "Add"):
        if all(dequantize_of(value) is not None for value in add.inputs):
            for place, value in enumerate(add.inputs):
                direct = _convolution_behind(value)
                if direct is not None:
                    add.replace_input_with(place, direct)
                    break


def _convolution_behind(value: ir.Value | None) -> ir.Value | None:
    """The output of a convolution that reaches `value`, and nothing else, through one QDQ pair."""
    while value is not None and (node := value.producer()) is not None and only_user(value):
        if node.op_type == "Conv":
            return value
        if node is not dequantize_of(value) and node.op_type != QUANTIZE:
            return None
        value = node.inputs[0]
    return None
