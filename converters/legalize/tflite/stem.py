"""The first convolution of an image network, fed with six channels instead of three.

XNNPACK's integer kernels take the channels of each kernel position in groups of
8 (VNNI, AVX2, ARM i8mm); of an RGB pixel's group, five are padding. Two pixels
side by side are one of six channels, and a step of 2 pixels is a step of 1 such
pair: a 3x3 convolution takes 3x2 groups instead of 3x3, a 7x7 one 7x4
instead of 7x7. The weights that no pixel meets are zero, so not a bit changes.

Where the pairs begin. With p columns of padding on the left, output column j takes tap t
from the pixel

    2 j - p + t  =  2 (j - (p - skip) / 2) - skip + t,    skip = p mod 2

The second form is `fold.Fold` with two pixels, a stride of 2 and a padding of `skip`, for the
output cell j - (p - skip) / 2. Its first pair lies skip cells before that one (half a pair of
padding is a whole pair whose left pixel meets zeros), so column j begins at pair
j - (p - skip) / 2 - skip = j - (p + 1) // 2: the pairs need (p + 1) // 2 of padding on the left.

On the right, the last column begins at pair columns - 1 - left and takes as many pairs as the
kernel has, K; width / 2 pairs are there. The rest, columns - 1 - left + K - width / 2, is
padding. If it is negative, pairs at the end would go unread, and a VALID convolution would
give more columns than there were: such a layer is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgeskin.converters.fold import Fold
from edgeskin.formats.tflite.flatbuffer import Graph


@dataclass(frozen=True)
class _Padding:
    """Pixels around the image: top, bottom, left, right."""

    top: int
    bottom: int
    left: int
    right: int


def pair_columns(graph: Graph, operator: Any) -> bool:
    """CONV_2D on int8 RGB with steps of 2: on pairs of columns, with steps of 1."""
    if not _is_stem(graph, operator):
        return False
    image, padding = _image(graph, operator)
    _, height, width, channels = graph.shape(image)
    weight = graph.constant(operator.inputs[1])
    columns = graph.shape(operator.outputs[0])[2]
    if weight is None or width % 2:
        return False
    paired = _pair(weight, padding.left % 2)
    left = (padding.left + 1) // 2  # in pairs, as is `right`: see above
    right = columns - 1 - left + paired.shape[2] - width // 2
    if right < 0:
        return False
    pairs = graph.reshaped(operator, image, (1, height, width // 2, 2 * channels))
    new = _Padding(padding.top, padding.bottom, left, right)
    bias = operator.inputs[2]
    operator.inputs = [
        _padded(graph, operator, pairs, new),
        graph.add_constant(paired, like=operator.inputs[1]),
        bias,
    ]
    operator.builtinOptions.strideW = 1
    operator.builtinOptions.padding = schema.Padding.VALID
    return True


def _is_stem(graph: Graph, operator: Any) -> bool:
    if graph.name(operator) != "CONV_2D" or graph.kind(operator.inputs[0]) is not np.int8:
        return False
    options = operator.builtinOptions
    return (
        graph.shape(operator.inputs[0])[3] == 3
        and options.strideW == 2
        and options.dilationWFactor == options.dilationHFactor == 1
    )


def _image(graph: Graph, operator: Any) -> tuple[int, _Padding]:
    """What the convolution sees, before any PAD, and the padding around it."""
    image = operator.inputs[0]
    if operator.builtinOptions.padding == schema.Padding.SAME:
        return image, _same(graph, operator)
    pad = graph.producer(image)
    amounts = None
    if pad is not None and graph.name(pad) == "PAD":
        amounts = graph.constant(pad.inputs[1])
    if pad is None or amounts is None or amounts[[0, 3]].any():
        return image, _Padding(0, 0, 0, 0)
    return pad.inputs[0], _Padding(*(int(n) for n in amounts[1:3].ravel()))


def _same(graph: Graph, operator: Any) -> _Padding:
    """TFLite's SAME: half of what is missing in front, the larger half behind."""
    size = graph.shape(operator.inputs[0])[1:3]
    out = graph.shape(operator.outputs[0])[1:3]
    kernel = graph.shape(operator.inputs[1])[1:3]
    steps = operator.builtinOptions.strideH, operator.builtinOptions.strideW
    missing = [
        max(0, (o - 1) * s + k - n) for o, s, k, n in zip(out, steps, kernel, size, strict=True)
    ]
    top, left = (m // 2 for m in missing)
    return _Padding(top, missing[0] - top, left, missing[1] - left)


def _pair(weight: NDArray[Any], skip: int) -> NDArray[Any]:
    """Weights (O, h, w, C) as (O, h, pairs, 2 C), `skip` columns of zeros in front.

    `Fold` takes and gives channels before height, as torch and ONNX have them.
    """
    fold = Fold(pixels=2, stride=2, pad=skip, taps=weight.shape[2])
    return fold.weights(weight.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


def _padded(graph: Graph, place: Any, tensor: int, padding: _Padding) -> int:
    """`tensor` behind a PAD in front of `place`; XNNPACK makes one of the two."""
    amounts = np.array(
        [[0, 0], [padding.top, padding.bottom], [padding.left, padding.right], [0, 0]], np.int32
    )
    if not amounts.any():
        return tensor
    shape = np.add(graph.shape(tensor), amounts.sum(1))
    new = graph.add_tensor(shape, like=tensor)
    pad = graph.operator("PAD", [tensor, graph.add_constant(amounts)], [new])
    graph.become(pad, "PAD", schema.BuiltinOptions.PadOptions, schema.PadOptionsT())
    graph.insert_before(place, pad)
    return new
