"""Networks that other tools quantized: their integers and scales are kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import acne_spec
from small_network import SIZE, make_network
from torch import fx
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

from edgeskin.artifacts import Metadata
from edgeskin.calibration.adopt import adopt
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.checks import float_results
from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    QUANTIZE_CHANNELS,
    argument,
    attribute,
    layers,
    operands,
)
from edgeskin.calibration.program import load_program
from edgeskin.calibration.rewrites import export
from edgeskin.converters import to_tflite
from edgeskin.converters.model import Job
from edgeskin.errors import InvalidRun
from edgeskin.sources.importing import import_run
from edgeskin.sources.spec_answers import SpecAnswers

X = torch.randn(4, 1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def quantizer_of(name: str) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "channels": lambda: xnnpack.XNNPACKQuantizer().set_global(
            xnnpack.get_symmetric_quantization_config(is_per_channel=True)
        ),
        "tensors": lambda: xnnpack.XNNPACKQuantizer().set_global(
            xnnpack.get_symmetric_quantization_config(is_per_channel=False)
        ),
        "x86": lambda: x86.X86InductorQuantizer().set_global(
            x86.get_default_x86_inductor_quantization_config()
        ),
    }
    return makers[name]()


def by_torchao(name: str, *, fold: bool = True) -> fx.GraphModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao, of its own deprecations
        quantizer = quantizer_of(name)
        graph = torch.export.export(make_network(), (X[0],)).module(check_guards=False)
        prepared = prepare_pt2e(graph, quantizer)
        for x in X:
            prepared(x)
        return convert_pt2e(prepared, fold_quantize=fold)


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("name", ["channels", "tensors", "x86"])
def test_not_one_value_changes(name: str, fold: bool) -> None:
    theirs = by_torchao(name, fold=fold)
    program = adopt(export(theirs, X[0]), acne_spec(input=_input()))
    assert program.scheme == "w8a8"
    for x in X:
        for ours, expected in zip(program.module(x), theirs(x), strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def as_products(graph: fx.GraphModule) -> fx.GraphModule:
    """As NNCF writes weights: integers times scales, less zero points times scales."""
    for number, node in enumerate(list(graph.graph.nodes)):
        if node.target is not DEQUANTIZE_CHANNELS:
            continue
        weight = attribute(graph, argument(node, "input"))
        shape = (-1, *[1] * (weight.dim() - 1))
        scales = attribute(graph, argument(node, "scales")).reshape(shape)
        for name, tensor in (("scales", scales), ("zeros", torch.zeros_like(scales))):
            graph.register_buffer(f"{name}_{number}", tensor)
        with graph.graph.inserting_before(node):
            known = [graph.graph.get_attr(f"{name}_{number}") for name in ("scales", "zeros")]
            product = graph.graph.call_function(
                torch.ops.aten.mul.Tensor, (argument(node, "input"), known[0])
            )
            less = graph.graph.call_function(torch.ops.aten.sub.Tensor, (product, known[1]))
        node.replace_all_uses_with(less)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def test_weights_that_are_products_stay_the_integers_they_are() -> None:
    theirs = as_products(export(by_torchao("channels"), X[0]))
    expected = [theirs(x) for x in X]
    program = adopt(theirs, acne_spec(input=_input()))
    for layer in layers(program.module):
        _, weight = operands(layer)
        assert weight.target is DEQUANTIZE_CHANNELS
        assert attribute(program.module, argument(weight, "input")).dtype == torch.int8
    for x, answer in zip(X, expected, strict=True):
        for ours, raw in zip(program.module(x), answer, strict=True):
            torch.testing.assert_close(ours, raw, rtol=0, atol=1e-6)


def test_layers_of_integers_with_float_results_are_found_and_refused_by_tflite() -> None:
    spec = acne_spec(input=_input())
    assert not float_results(adopt(export(by_torchao("channels"), X[0]), spec).module)
    program = adopt(export(by_torchao("x86"), X[0]), spec)
    excluded = calibrate_network(
        make_network(),
        spec,
        list((torch.rand(4, SIZE, SIZE, 3) * 255).byte().numpy()),
        method="minmax",
        exclude=["count"],
    )
    assert not float_results(excluded.module)  # float on both sides
    assert len(float_results(program.module)) == 7
    job = Job(program.module, Metadata(spec, "tensor", "int8"))
    with pytest.raises(InvalidRun, match="7 of 8 layers take integers and give float, 'stem' fir"):
        to_tflite.lowered(job)


def test_activations_with_a_scale_for_each_channel_are_refused() -> None:
    graph = export(by_torchao("channels"), X[0])
    step = next(node for node in graph.graph.nodes if node.target is QUANTIZE)
    graph.register_buffer("per_channel_scales", torch.full((3,), 0.02))
    graph.register_buffer("per_channel_zeros", torch.zeros(3, dtype=torch.int64))
    with graph.graph.inserting_before(step):
        named = [graph.graph.get_attr(f"per_channel_{name}") for name in ("scales", "zeros")]
    tail = step.args[3:]
    for node in (step, next(iter(step.users))):
        channels = QUANTIZE_CHANNELS if node is step else DEQUANTIZE_CHANNELS
        node.target, node.args = channels, (node.args[0], *named, 1, *tail)
    graph.recompile()
    with pytest.raises(InvalidRun, match="'x' is quantized with a scale for each channel.*NNCF"):
        adopt(graph, acne_spec(input=_input()))


def test_integers_are_int8_and_weights_have_a_scale_for_each_channel() -> None:
    program = adopt(export(by_torchao("tensors"), X[0]), acne_spec(input=_input()))
    nodes = program.module.graph.nodes
    steps = [node for node in nodes if node.target in (QUANTIZE, DEQUANTIZE)]
    assert {argument(step, "dtype") for step in steps} == {torch.int8}
    for layer in layers(program.module):
        _, weight = operands(layer)
        assert weight.target is DEQUANTIZE_CHANNELS
        assert attribute(program.module, argument(weight, "input")).dtype == torch.int8
        scales = attribute(program.module, argument(weight, "scales"))
        assert len(scales.unique()) == 1


def _input() -> object:
    return acne_spec().input.model_copy(update={"height": SIZE, "width": SIZE})


def test_a_quantized_file_becomes_a_program(tmp_path: Path) -> None:
    theirs = by_torchao("channels")
    torch.export.save(torch.export.export(theirs, (X[0],)), tmp_path / "quantized.pt2")
    answers = SpecAnswers(normalization="imagenet")
    report = import_run(tmp_path / "quantized.pt2", None, tmp_path / "p.pt2", answers=answers)
    assert report.sqnr_db is not None
    assert report.sqnr_db > 100
    program = load_program(tmp_path / "p.pt2")
    expected = [argument(n, "scale") for n in theirs.graph.nodes if n.target is QUANTIZE]
    assert [argument(n, "scale") for n in program.module.graph.nodes if n.target is QUANTIZE] == (
        expected
    )


def zero_points(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.target is DEQUANTIZE_CHANNELS:
            attribute(graph, argument(node, "zero_points")).add_(1)


def another_axis(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.target is DEQUANTIZE_CHANNELS:
            node.args = (*node.args[:3], 1, *node.args[4:])


def int32(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.target in (QUANTIZE, DEQUANTIZE):
            node.args = (*node.args[:5], torch.int32)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (zero_points, "layer 'stem' has weights with a zero point"),
        (another_axis, "layer 'stem' has its scales along axis 1"),
        (int32, r"its activations are torch\.int32"),
    ],
)
def test_what_no_program_can_hold_is_refused(
    spoil: Callable[[fx.GraphModule], None], line: str
) -> None:
    graph = export(by_torchao("channels"), X[0])
    spoil(graph)
    with pytest.raises(InvalidRun, match=f"{line}.*Quantize it again"):
        adopt(graph, acne_spec(input=_input()))


def test_a_float_network_is_no_program() -> None:
    with pytest.raises(InvalidRun, match="nothing in it is quantized"):
        adopt(export(make_network(), X[0]), acne_spec(input=_input()))
