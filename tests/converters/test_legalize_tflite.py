"""Each rewrite on a graph of its own: what becomes of it, and that LiteRT computes the same.

Both ways that LiteRT computes are run: its reference kernels, and XNNPACK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_network import tiny_job, tiny_spec
from torch import Tensor, fx, nn
from torch.nn import functional as F

from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.graphs import aten, attribute
from edgeskin.calibration.program import unfolded
from edgeskin.converters.legalize.tflite.constants import give_constants_full_rank
from edgeskin.converters.selfcheck import images
from edgeskin.converters.to_tflite import prepare
from edgeskin.formats.tflite.reader import place, read

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")

from edgeskin.converters.legalize.tflite.moves import (  # noqa: E402
    drop_moves,
    keep_reduced_dimensions,
    pad_before_transpose,
    sink_reshapes,
)
from edgeskin.converters.legalize.tflite.pixels import (  # noqa: E402
    pixels_are_quantized,
    pixels_are_the_integers,
    widen_channel_constants,
)
from edgeskin.converters.legalize.tflite.stem import pair_columns  # noqa: E402
from edgeskin.converters.legalize.tflite.xnnpack import (  # noqa: E402
    gelu_in_float,
    l2_norm_by_its_formula,
    legalize,
    nearest_from_the_corner,
    pad_with_zero_point,
)
from edgeskin.formats.tflite.flatbuffer import Graph  # noqa: E402

KERNELS = (
    interpreter.OpResolverType.BUILTIN_REF,
    interpreter.OpResolverType.AUTO,  # with XNNPACK
)
Quantization = tuple[float, int]


class Model:
    """A `.tflite` file written operator by operator."""

    def __init__(self) -> None:
        model, body = schema.ModelT(), schema.SubGraphT()
        model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
        body.tensors, body.operators, body.inputs, body.outputs = [], [], [], []
        model.subgraphs = [body]
        self.graph = object.__new__(Graph)
        self.graph.model, self.graph.body = model, body

    def tensor(
        self, shape: Sequence[int], kind: str = "FLOAT32", quantization: Quantization | None = None
    ) -> int:
        tensor = self.graph.add_float(shape)
        self.graph.body.tensors[tensor].type = getattr(schema.TensorType, kind)
        if quantization is not None:
            self.graph.set_quantization(tensor, *quantization)
        return tensor

    def given(
        self, shape: Sequence[int], kind: str = "FLOAT32", quantization: Quantization | None = None
    ) -> int:
        tensor = self.tensor(shape, kind, quantization)
        self.graph.body.inputs.append(tensor)
        return tensor

    def constant(self, values: Any, kind: Any, quantization: Quantization | None = None) -> int:
        tensor = self.graph.add_constant(np.array(values, kind))
        if quantization is not None:
            self.graph.set_quantization(tensor, *quantization)
        return tensor

    def add(self, name: str, inputs: Sequence[int], output: int, **options: Any) -> int:
        operator = self.graph.operator(name, inputs, [output])
        if options:
            kind = options.pop("kind")
            operator.builtinOptions = getattr(schema, f"{kind}T")()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            for field, value in options.items():
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)
        return output

    def reshape(self, x: int, shape: Sequence[int], **like: Any) -> int:
        new = self.constant(shape, np.int32)
        return self.add("RESHAPE", [x, new], self.tensor(shape, **like))

    def transpose(self, x: int, order: Sequence[int]) -> int:
        shape = [self.graph.shape(x)[axis] for axis in order]
        return self.add("TRANSPOSE", [x, self.constant(order, np.int32)], self.tensor(shape))

    def bytes(self, *outputs: int) -> bytes:
        self.graph.body.outputs = list(outputs)
        return self.graph.pack()


def run(content: bytes, x: NDArray[Any], kernels: Any) -> NDArray[Any]:
    litert = interpreter.Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=kernels
    )
    litert.allocate_tensors()
    litert.set_tensor(litert.get_input_details()[0]["index"], x)
    litert.invoke()
    return litert.get_tensor(litert.get_output_details()[0]["index"])


def names(content: bytes) -> list[str]:
    graph = Graph(content)
    return [graph.name(operator) for operator in graph.operators]


def floats(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).standard_normal(shape, np.float32)


def integers(*shape: int) -> NDArray[np.int8]:
    return np.random.default_rng(3).integers(-128, 128, shape, np.int8)


def check(
    before: bytes, rewrites: Sequence[Callable[..., bool]], x: NDArray[Any], expected: list[str]
) -> bytes:
    """Legalize; the operators are the expected ones and not a bit of the output differs."""
    after = legalize(before, rewrites)
    assert names(after) == expected
    for kernels in KERNELS:
        np.testing.assert_array_equal(run(after, x, kernels), run(before, x, kernels))
    return after


# Pixels

PIXELS = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)


def normalisation(
    scale: Sequence[float], shift: Sequence[float], quantization: Quantization
) -> bytes:
    model = Model()
    shape = PIXELS.shape
    x = model.add("CAST", [model.given(shape, "UINT8")], model.tensor(shape))
    x = model.add("MUL", [x, model.constant(scale, np.float32)], model.tensor(shape))
    x = model.add("SUB", [x, model.constant(shift, np.float32)], model.tensor(shape))
    return model.bytes(model.add("QUANTIZE", [x], model.tensor(shape, "INT8", quantization)))


def test_pixels_that_are_the_integers_are_not_normalised() -> None:
    before = normalisation([1 / 128], [127 / 128], (1 / 128, -1))
    after = check(before, [pixels_are_the_integers], PIXELS, ["DEQUANTIZE", "QUANTIZE"])
    assert Graph(after).quantization(Graph(after).body.inputs[0]) == (1 / 128, 127)
    expected = PIXELS.astype(np.int16) - 128
    np.testing.assert_array_equal(run(after, PIXELS, KERNELS[0]), expected)


@pytest.mark.parametrize(
    ("scale", "shift", "quantization"),
    [
        ([1 / 128], [127 / 128], (1 / 127, -1)),  # one integer is left out
        ([1 / 127.5], [1.0], (1 / 128, -1)),
        ([1 / 128, 1 / 128, 1 / 100], [127 / 128] * 3, (1 / 128, -1)),  # one channel differs
    ],
)
def test_other_pixels_are_normalised(
    scale: list[float], shift: list[float], quantization: Quantization
) -> None:
    before = normalisation(scale, shift, quantization)
    assert legalize(before, [pixels_are_the_integers]) == legalize(before, [])


def test_cast_of_pixels_becomes_dequantize() -> None:
    before = normalisation([1 / 50], [2.0], (0.04, -50))
    expected = ["DEQUANTIZE", "MUL", "SUB", "QUANTIZE"]
    after = check(before, [pixels_are_quantized], PIXELS, expected)
    assert Graph(after).quantization(Graph(after).body.inputs[0]) == (1.0, 0)


def test_constants_for_three_channels_become_whole_rows() -> None:
    before = normalisation([1 / 50, 1 / 60, 1 / 70], [2.0, 2.1, 2.2], (0.04, -50))
    rewrites = [widen_channel_constants, drop_moves, sink_reshapes]
    expected = ["CAST", "RESHAPE", "MUL", "SUB", "RESHAPE", "QUANTIZE"]
    graph = Graph(check(before, rewrites, PIXELS, expected))
    assert graph.shape(graph.operators[2].inputs[1]) == (16 * 3,)


# Stem


def stem(kernel: int, size: tuple[int, int], pad: int | None) -> bytes:
    """int8 RGB of `size`, steps of 2, 4 channels out; `pad` pixels all around, or SAME."""
    model = Model()
    height, width = size
    random = np.random.default_rng(kernel)
    x = model.given((1, height, width, 3), "INT8", (0.02, 5))
    out = [(side + 1) // 2 for side in size]
    if pad is not None:
        amounts = model.constant([[0, 0], [pad, pad], [pad, pad], [0, 0]], np.int32)
        padded = model.tensor((1, height + 2 * pad, width + 2 * pad, 3), "INT8", (0.02, 5))
        x = model.add("PAD", [x, amounts], padded, kind="PadOptions")
        out = [(side + 2 * pad - kernel) // 2 + 1 for side in size]
    values = random.integers(-127, 128, (4, kernel, kernel, 3))
    weight = model.constant(values, np.int8, (0.01, 0))
    bias = model.constant(random.integers(-900, 900, 4), np.int32, (0.0002, 0))
    padding = schema.Padding.SAME if pad is None else schema.Padding.VALID
    made = model.add(
        "CONV_2D",
        [x, weight, bias],
        model.tensor((1, *out, 4), "INT8", (0.5, -3)),
        kind="Conv2DOptions",
        strideH=2,
        strideW=2,
        padding=padding,
    )
    return model.bytes(made)


@pytest.mark.parametrize("size", [(12, 16), (11, 10)])
@pytest.mark.parametrize(("kernel", "pad"), [(3, 1), (7, 3), (3, None), (5, None), (5, 2), (3, 0)])
def test_stem_on_pairs_of_columns(kernel: int, pad: int | None, size: tuple[int, int]) -> None:
    before = stem(kernel, size, pad)
    x = integers(1, *size, 3)
    after = legalize(before, [pair_columns])
    graph = Graph(after)
    convolution = graph.operators[-1]
    assert graph.shape(convolution.inputs[0])[3] == 6
    assert convolution.builtinOptions.strideW == 1
    for kernels in KERNELS:
        np.testing.assert_array_equal(run(after, x, kernels), run(before, x, kernels))


def test_stem_of_odd_width_stays() -> None:
    before = stem(3, (12, 15), 1)
    assert legalize(before, [pair_columns]) == legalize(before, [])


# Permutations of many axes


def test_a_view_that_only_the_strides_of_the_longer_permutation_allow() -> None:
    class Rows(nn.Module):
        """Every second row of a picture."""

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            pairs = x.view(1, 3, 20, 2, 48).permute(0, 1, 3, 2, 4)
            return (pairs[:, :, 1].flatten(1, 2),)

    x = torch.randn(1, 3, 40, 48)
    prepared = prepare(replace(tiny_job("fp32"), network=Rows().eval())).network
    assert torch.equal(prepared(x)[0], Rows()(x)[0])


# Operators that the delegate does not take


@pytest.mark.parametrize(("value", "expected"), [(-20, "PAD"), (-128, "PADV2")])
def test_padding_with_the_zero_point(value: int, expected: str) -> None:
    model = Model()
    quantization = (0.1, -20)
    x = model.given((1, 4, 4, 2), "INT8", quantization)
    amounts = model.constant([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    constant = model.constant([value], np.int8, quantization)
    out = model.tensor((1, 6, 6, 2), "INT8", quantization)
    before = model.bytes(model.add("PADV2", [x, amounts, constant], out, kind="PadV2Options"))
    check(before, [pad_with_zero_point], integers(1, 4, 4, 2), [expected])


@pytest.mark.parametrize("rows", [6, 7])
def test_the_nearest_pixel_is_torch_s(rows: int) -> None:
    model, x = Model(), floats(1, 3, 3, 2)
    size, out = model.constant([rows, 6], np.int32), model.tensor((1, rows, 6, 2))
    options = {"kind": "ResizeNearestNeighborOptions", "halfPixelCenters": True}
    name = "RESIZE_NEAREST_NEIGHBOR"
    before = model.bytes(model.add(name, [model.given(x.shape), size], out, **options))
    after = legalize(before, [nearest_from_the_corner])
    assert (after == before) == (rows == 6)
    nchw = torch.from_numpy(x).permute(0, 3, 1, 2)
    expected = F.interpolate(nchw, size=(rows, 6), mode="nearest").permute(0, 2, 3, 1)
    for kernels in KERNELS:
        np.testing.assert_array_equal(run(after, x, kernels), expected.numpy())


def test_gelu_in_float_gives_the_same_integers() -> None:
    """All 256. LiteRT's INT8 kernel tables the same function; rounding may differ by one."""
    model = Model()
    x = model.given((1, 256), "INT8", (0.04, 10))
    out = model.tensor((1, 256), "INT8", (0.025, -120))
    before = model.bytes(model.add("GELU", [x], out, kind="GeluOptions", approximate=False))
    after = legalize(before, [gelu_in_float])
    assert names(after) == ["DEQUANTIZE", "GELU", "QUANTIZE"]
    every = np.arange(-128, 128).astype(np.int8)[None]
    for kernels in KERNELS:
        difference = run(after, every, kernels).astype(int) - run(before, every, kernels)
        assert np.abs(difference).max() <= 1


def test_vectors_of_length_one_by_the_formula() -> None:
    """Also the vector of zeros and one shorter than the kernel's epsilon, which is 1e-6."""
    x = floats(1, 3, 4, 8)
    x[0, 0, 0], x[0, 1, 1] = 0, 1e-8
    model = Model()
    out = model.tensor(x.shape)
    options = {"kind": "L2NormOptions", "fusedActivationFunction": 0}
    before = model.bytes(model.add("L2_NORMALIZATION", [model.given(x.shape)], out, **options))
    after = legalize(before, [l2_norm_by_its_formula])
    assert names(after) == ["SQUARE", "SUM", "SQRT", "MAXIMUM", "DIV"]
    for kernels in KERNELS:
        np.testing.assert_allclose(run(after, x, kernels), run(before, x, kernels), rtol=1e-6)


def test_integer_vectors_of_length_one_stay() -> None:
    """Their squares and sums would need scales of their own."""
    model = Model()
    x = model.given((1, 8), "INT8", (0.1, 3))
    out = model.tensor((1, 8), "INT8", (1 / 128, 0))
    before = model.bytes(model.add("L2_NORMALIZATION", [x], out, kind="L2NormOptions"))
    assert names(legalize(before, [l2_norm_by_its_formula])) == ["L2_NORMALIZATION"]


# Moves


def test_moves_that_keep_the_order_vanish() -> None:
    """NHWC to NCHW, flattened and back again, as a vision transformer's first lines do."""
    model = Model()
    x = model.transpose(model.given((1, 2, 3, 4)), (0, 3, 1, 2))
    x = model.transpose(model.reshape(x, (1, 4, 6)), (0, 2, 1))
    before = model.bytes(model.add("RSQRT", [x], model.tensor((1, 6, 4))))
    check(before, [drop_moves], np.abs(floats(1, 2, 3, 4)) + 1, ["RESHAPE", "RSQRT"])


def test_a_transpose_back_and_forth_is_nothing() -> None:
    model = Model()
    x = model.transpose(model.given((1, 2, 3, 4)), (0, 3, 1, 2))
    x = model.transpose(x, (0, 2, 3, 1))
    before = model.bytes(model.add("TANH", [x], model.tensor((1, 2, 3, 4))))
    check(before, [drop_moves], floats(1, 2, 3, 4), ["TANH"])


def test_a_transpose_that_moves_ones_is_a_reshape() -> None:
    model = Model()
    before = model.bytes(model.transpose(model.given((1, 1, 1, 5)), (0, 3, 1, 2)))
    check(before, [drop_moves], floats(1, 1, 1, 5), ["RESHAPE"])


def test_a_transpose_that_moves_values_stays() -> None:
    model = Model()
    before = model.bytes(model.transpose(model.given((1, 2, 3, 4)), (0, 3, 1, 2)))
    check(before, [drop_moves], floats(1, 2, 3, 4), ["TRANSPOSE"])


def test_padding_between_transposes_needs_none() -> None:
    model = Model()
    x = model.transpose(model.given((1, 2, 3, 4)), (0, 3, 1, 2))
    amounts = model.constant([[0, 0], [0, 0], [1, 2], [3, 4]], np.int32)
    x = model.add("PAD", [x, amounts], model.tensor((1, 4, 5, 10)), kind="PadOptions")
    x = model.transpose(x, (0, 2, 3, 1))
    before = model.bytes(model.add("TANH", [x], model.tensor((1, 5, 10, 4))))
    check(before, [pad_before_transpose, drop_moves], floats(1, 2, 3, 4), ["PAD", "TANH"])


def test_reshapes_around_softmax_meet_and_vanish() -> None:
    model = Model()
    x = model.reshape(model.given((3, 5, 7)), (1, 3, 5, 7))
    x = model.add("SOFTMAX", [x], model.tensor((1, 3, 5, 7)), kind="SoftmaxOptions", beta=1.0)
    x = model.reshape(x, (3, 5, 7))
    before = model.bytes(model.add("TANH", [x], model.tensor((3, 5, 7))))
    check(before, [drop_moves, sink_reshapes], floats(3, 5, 7), ["SOFTMAX", "TANH"])


def test_a_reshape_that_changes_what_softmax_sums_stays() -> None:
    model = Model()
    x = model.reshape(model.given((3, 5, 4)), (3, 5, 2, 2))
    x = model.add("SOFTMAX", [x], model.tensor((3, 5, 2, 2)), kind="SoftmaxOptions", beta=1.0)
    before = model.bytes(model.reshape(x, (3, 5, 4)))
    expected = ["RESHAPE", "SOFTMAX", "RESHAPE"]
    check(before, [drop_moves, sink_reshapes], floats(3, 5, 4), expected)


def test_a_mean_that_is_reshaped_back_keeps_its_dimensions() -> None:
    """As in a layer norm: the mean over the last dimension, subtracted."""
    model = Model()
    x = model.given((1, 5, 7))
    axes = model.constant([2], np.int32)
    mean = model.add("MEAN", [x, axes], model.tensor((1, 5)), kind="ReducerOptions", keepDims=False)
    mean = model.reshape(mean, (1, 5, 1))
    before = model.bytes(model.add("SUB", [x, mean], model.tensor((1, 5, 7)), kind="SubOptions"))
    rewrites = [keep_reduced_dimensions, drop_moves, sink_reshapes]
    check(before, rewrites, floats(1, 5, 7), ["MEAN", "SUB"])


# Constants


class Constants(nn.Module):
    """Hard-swish, which adds a number to a feature map, and one to a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = nn.functional.hardswish(self.convolution(x)).mean((2, 3))
        return (nn.functional.hardswish(self.linear(x)),)


def test_constants_get_the_rank_of_what_they_meet() -> None:
    torch.manual_seed(1)
    spec = tiny_spec()
    program = calibrate_network(Constants().eval(), spec, images(spec.input), method="minmax")
    graph = unfolded(program.module)
    x = torch.randn(program.example().shape)
    (before,) = graph(x)
    give_constants_full_rank(graph)
    (after,) = graph(x)
    assert torch.equal(before, after)
    sums = [node for node in graph.graph.nodes if node.target is aten.add.Tensor]
    shapes = [attribute(graph, _constant(node)).shape for node in sums]
    assert shapes == [(1, 1, 1, 1), (1, 1)]


def _constant(node: fx.Node) -> fx.Node:
    """Behind the dequantize and quantize of the second operand."""
    for _ in range(3):
        node = node.all_input_nodes[-1]
    return node


# The whole


@pytest.mark.slow
@pytest.mark.parametrize("io", ["app", "tensor"])
def test_int8_files_run_in_one_piece(io: str, converted: Callable[..., Path]) -> None:
    path = converted("tflite", "int8", io)
    placement = place(path, read(path))
    assert placement.off == ()
    assert placement.partitions == 1
