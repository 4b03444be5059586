"""From uint8 pixels to the network's first tensor, inside the delegate.

XNNPACK has no CAST from uint8, but DEQUANTIZE: with the scale 1 it is the same
function. And it multiplies fast along the last dimension only, which of an
image has 3 values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgeskin.formats.tflite.flatbuffer import Graph

_ARITHMETIC = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply}
_MOST_CHANNELS = 4


def pixels_are_the_integers(graph: Graph, operator: Any) -> bool:
    """Where QUANTIZE gives pixel - 128 for all 256 pixels, normalisation is DEQUANTIZE alone.

    The pixels then have the scale of the integers, and a zero point 128 above theirs. Networks
    trained on (pixel - 127) / 128 are made for this.
    """
    if graph.name(operator) != "QUANTIZE" or graph.kind(operator.outputs[0]) is not np.int8:
        return False
    normalized = _normalized_pixels(graph, operator.inputs[0])
    quantization = graph.quantization(operator.outputs[0])
    if normalized is None or quantization is None:
        return False
    image, values = normalized
    scale, zero_point = quantization
    integers = np.clip(np.rint(values / np.float32(scale)) + zero_point, -128, 127)
    if not (integers == np.arange(256)[:, None] - 128).all() or len(graph.consumers(image)) > 1:
        return False
    graph.set_quantization(image, scale, zero_point + 128)
    operator.inputs = [graph.add_float(graph.shape(image))]
    graph.insert_before(operator, graph.operator("DEQUANTIZE", [image], operator.inputs))
    return True


def _normalized_pixels(graph: Graph, tensor: int) -> tuple[int, NDArray[np.float32]] | None:
    """The uint8 image that `tensor` is made of by CAST and arithmetic, and what each pixel gives.

    The values are float32 (256, channels), or (256, 1) where all channels are alike.
    """
    operator = graph.producer(tensor)
    if operator is None:
        return None
    if graph.name(operator) == "CAST" and _is_image(graph, operator.inputs[0]):
        return operator.inputs[0], np.arange(256, dtype=np.float32)[:, None]
    if graph.name(operator) not in _ARITHMETIC:
        return None
    constant = graph.constant(operator.inputs[1])
    normalized = _normalized_pixels(graph, operator.inputs[0])
    if normalized is None or constant is None or not _is_by_channel(graph, operator):
        return None
    image, values = normalized
    return image, _ARITHMETIC[graph.name(operator)](values, constant.reshape(1, -1))


def _is_image(graph: Graph, tensor: int) -> bool:
    return tensor in graph.body.inputs and graph.kind(tensor) is np.uint8


def pixels_are_quantized(graph: Graph, operator: Any) -> bool:
    """CAST of a uint8 input to float32 is DEQUANTIZE with scale 1 and zero point 0."""
    image = operator.inputs[0]
    if graph.name(operator) != "CAST" or not _is_image(graph, image):
        return False
    if graph.kind(operator.outputs[0]) is not np.float32 or graph.quantization(image) is not None:
        return False
    graph.set_quantization(image, 1.0, 0)
    graph.become(
        operator, "DEQUANTIZE", schema.BuiltinOptions.DequantizeOptions, schema.DequantizeOptionsT()
    )
    return True


def widen_channel_constants(graph: Graph, operator: Any) -> bool:
    """Arithmetic with a constant a channel, few channels: on (1, H, W * C), repeated W times."""
    if graph.name(operator) not in _ARITHMETIC or not _is_by_channel(graph, operator):
        return False
    (x, constant), result = operator.inputs, operator.outputs[0]
    shape, values = graph.shape(x), graph.constant(constant)
    if values is None or values.size == 1 or len(shape) != 4 or graph.shape(result) != shape:
        return False
    if shape[3] > _MOST_CHANNELS or graph.kind(x) is not np.float32:
        return False
    wide = (shape[0], shape[1], shape[2] * shape[3])
    row = np.tile(values.ravel(), shape[2])
    operator.inputs = [graph.reshaped(operator, x, wide), graph.add_constant(row)]
    operator.outputs = [graph.add_float(wide)]
    back = graph.operator("RESHAPE", operator.outputs, [result])
    graph.insert_after(operator, back)
    graph.become_reshape(back, operator.outputs[0])
    return True


def _is_by_channel(graph: Graph, operator: Any) -> bool:
    """The second operand is a number, or one number for each entry of the last dimension."""
    values = graph.constant(operator.inputs[1])
    if values is None:
        return False
    channels = graph.shape(operator.inputs[0])[-1:]
    return values.size == 1 or (values.shape[-1:] == channels and values.size == channels[0])
