"""Parity by layer: that tensors are matched rightly, and that a planted fault is found by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_files import BROKEN, PRODUCTS, check_repro, model, pixels, spec, spoil_onnx, spoil_tflite

from edgeskin.artifacts import Metadata, Precision
from edgeskin.converters.parity.documents import LayerReport, LayerRow
from edgeskin.converters.parity.layers import compare_layers
from edgeskin.converters.parity.layout import layouts
from edgeskin.converters.parity.matching import Match, Matcher, Sample
from edgeskin.converters.parity.points import Point, as_words
from edgeskin.converters.parity.repro import Case
from edgeskin.errors import InvalidArtifact
from edgeskin.formats import FORMATS, open_cutter, open_session, read_network
from edgeskin.formats.tflite.metadata_writer import finish

Make = Callable[..., Path]
pytestmark = pytest.mark.slow


def by_name(report: LayerReport) -> dict[str, LayerRow]:
    return {row.name.removesuffix(" (shifted)"): row for row in report.layers}


@pytest.mark.parametrize("target", FORMATS)
def test_all_products_of_a_float_file_match_and_agree(target: str, make: Make) -> None:
    report = compare_layers(make(target, "fp32"), model(), pixels())
    rows = by_name(report)
    assert report.matched_products == f"{len(PRODUCTS)} of {len(PRODUCTS)}"
    assert rows.keys() >= {*PRODUCTS, "severity (output)", "count (output)"}
    # Weights are random, so that any other pair would agree to a few dB: 24 bits give 144.
    for row in report.layers:
        assert row.sqnr_db > 80.0, row
        assert row.own_sqnr_db > 80.0, row
    assert (report.first_bad, report.bad) == (None, ())


@pytest.mark.parametrize("target", FORMATS)
def test_an_int8_file_matches_and_each_layer_adds_little(target: str, make: Make) -> None:
    report = compare_layers(make(target, "int8"), model(), pixels())
    assert report.matched_products == f"{len(PRODUCTS)} of {len(PRODUCTS)}"
    assert report.first_bad is None
    products = [row for row in report.layers if row.kind == "multiply"]
    assert all(row.own_sqnr_db > 15.0 for row in products), products
    # Whatever is lost before a layer is in the whole and not in its own figure.
    assert np.mean([r.own_sqnr_db for r in products]) > np.mean([r.sqnr_db for r in products])


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_against_its_program_only_the_conversion_is_left(target: str, make: Make) -> None:
    float_ = by_name(compare_layers(make(target, "int8"), model(), pixels()))
    program = by_name(compare_layers(make(target, "int8"), model("int8"), pixels()))
    # The same integers but for roundings that fall on the other side: the error of one
    # quantization step in a few values instead of half a step in all. (Behind a gate such a
    # rounding moves a whole channel, so only layers without one in front say so clearly.)
    for name in ("stem", "depth"):
        assert program[name].own_sqnr_db > float_[name].own_sqnr_db + 6.0


def test_tensor_files_are_compared_too(make: Make) -> None:
    report = compare_layers(make("onnx", "fp32", "tensor"), model(), pixels()[:1])
    assert report.matched_products == f"{len(PRODUCTS)} of {len(PRODUCTS)}"
    assert min(row.sqnr_db for row in report.layers) > 80.0


def test_a_planted_fault_in_onnx_is_named_and_reproduced(make: Make, tmp_path: Path) -> None:
    path, folder = tmp_path / "small-fp32.onnx", tmp_path / "repro"
    spoil_onnx(make("onnx", "fp32"), path, BROKEN)
    report = compare_layers(path, model(), pixels(), repro=folder)
    assert report.first_bad == BROKEN
    assert report.bad == (BROKEN,)  # what lies behind it does nothing wrong by itself
    assert report.worst[0] == BROKEN
    rows = by_name(report)
    assert rows["expand"].sqnr_db > 80.0  # before it
    assert rows["last"].sqnr_db < 40.0 < 80.0 < rows["last"].own_sqnr_db  # behind it
    assert report.matched_products == f"{len(PRODUCTS)} of {len(PRODUCTS)}"
    check_repro(report, folder, BROKEN)


def test_a_planted_fault_in_int8_tflite_is_named_and_reproduced(make: Make, tmp_path: Path) -> None:
    path, folder = tmp_path / "small-int8.tflite", tmp_path / "repro"
    products = [p for p in PRODUCTS if p != "depth"]
    spoiled = spoil_tflite(make("tflite", "int8"), products.index(BROKEN))
    metadata = Metadata(spec(), "app", "int8")
    path.write_bytes(finish(spoiled, metadata, ["image"], spec().output_names("app")))
    report = compare_layers(path, model(), pixels(), repro=folder)
    assert report.first_bad == BROKEN
    assert report.bad == (BROKEN,)
    check_repro(report, folder, BROKEN)


def test_the_worst_layer_of_a_good_core_ml_package_is_reproduced(
    make: Make, tmp_path: Path
) -> None:
    report = compare_layers(make("coreml", "int8"), model(), pixels(), repro=tmp_path / "repro")
    check_repro(report, tmp_path / "repro", report.worst[0])


@pytest.mark.parametrize(("target", "precision"), [("onnx", "int8"), ("tflite", "int8")])
def test_looking_inside_changes_no_answer(
    target: str, precision: Precision, make: Make, tmp_path: Path
) -> None:
    """With every integer tensor an output, the runtime still fuses what it fused before."""
    path = make(target, precision)
    found = read_network(path)
    integers = [n for op in found.operators for n in op.outputs if op.role == "quantize"]
    wanted = [*found.outputs, *(n for n in integers if n not in found.outputs)]
    part = tmp_path / path.name
    open_cutter(path, found).cut(found.inputs, wanted, part)
    with open_session(path) as whole, open_session(part) as opened:
        for image in pixels():
            expected = whole.run({whole.inputs[0].name: image[None]})
            seen = opened.run({opened.inputs[0].name: image[None]})
            for name, values in expected.items():
                np.testing.assert_array_equal(values, seen[name])


def test_a_part_that_needs_another_input_is_refused(make: Make, tmp_path: Path) -> None:
    path = make("onnx", "fp32")
    found = read_network(path)
    late = found.operators[-1].inputs[0]
    with pytest.raises(InvalidArtifact, match="also depends on image, an input"):
        open_cutter(path, found).cut([late], list(found.outputs), tmp_path / "part.onnx")


def test_layouts_undo_a_transpose_and_padding() -> None:
    x = np.random.default_rng(0).normal(size=(1, 20, 6, 5)).astype(np.float32)
    nhwc = layouts((1, 20, 6, 5), (1, 6, 5, 20), nhwc=True)[0]
    np.testing.assert_array_equal(nhwc.to_artifact(x), x.transpose(0, 2, 3, 1))
    padded = layouts((1, 20, 6, 5), (1, 32, 6, 5))[0]
    assert padded.to_artifact(x)[:, 20:].any() == np.False_
    np.testing.assert_array_equal(padded.to_reference(padded.to_artifact(x)), x)
    assert layouts((1, 20, 6, 5), (1, 21, 6, 5)) == []
    assert layouts((1, 20), (1, 32)) == []  # only images are padded


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("network.backbone.conv_stem.weight", "network_backbone_conv_stem"),
        ("network.conv1.weight_bias_wide_int32", "network_conv1"),
        ("network.heads_0_bias_updated_constant0", "network_heads_0"),
        ("pkg.App_module/torch.nn.Relu6_act;;pkg.App_module/nn.conv.Conv2d_stem;1", "module_stem"),
    ],
)
def test_names_of_weights_say_where_they_stand(name: str, words: str) -> None:
    assert as_words(name) == words


def match_shuffled(values: dict[str, np.ndarray], order: list[str], names: bool) -> list[Match]:
    """Match points of one shape whose artifact's lie in another order."""
    shape = next(iter(values.values())).shape
    known = [Point(n, "multiply", shape, f"net_{n}") for n in values]
    found = [Point(f"t{n}", "multiply", shape, f"module_net_{n}" if names else "") for n in order]
    samples = {name: Sample.of(x) for name, x in values.items()}
    return Matcher(known, found, samples, {f"t{n}": values[n] for n in order}, False, {}).match()


@pytest.mark.parametrize("names", [True, False])
def test_branches_in_another_order_are_matched_by_name_or_by_value(names: bool) -> None:
    rng = np.random.default_rng(3)
    values = {name: rng.normal(size=(1, 4, 5, 6)).astype(np.float32) for name in "abc"}
    found = match_shuffled(values, ["b", "c", "a"], names)
    assert [(m.reference.name, m.artifact.name) for m in found] == [
        ("a", "ta"),
        ("b", "tb"),
        ("c", "tc"),
    ]
    assert {match.by for match in found} == {"name" if names else "values"}


def test_what_is_like_nothing_is_matched_by_order() -> None:
    rng = np.random.default_rng(4)
    values = {name: rng.normal(size=(1, 4, 5, 6)).astype(np.float32) for name in "abc"}
    shape = (1, 4, 5, 6)
    known = [Point(name, "multiply", shape) for name in values]
    found = [Point(f"t{name}", "multiply", shape) for name in values]
    broken = {f"t{n}": rng.normal(size=shape) if n != "a" else x for n, x in values.items()}
    matcher = Matcher(known, found, {n: Sample.of(x) for n, x in values.items()}, broken, False, {})
    assert [(m.reference.name, m.artifact.name, m.by) for m in matcher.match()] == [
        ("a", "ta", "values"),
        ("b", "tb", "order"),
        ("c", "tc", "order"),
    ]


def test_a_float_file_is_held_against_a_program_too(make: Make) -> None:
    """Nobody knows the rounding of a graph that quantizes; its steps are what differs."""
    report = compare_layers(make("onnx", "fp32"), model("int8"), pixels()[:1])
    assert all(row.rounding_db is None for row in report.layers)
    assert report.first_bad is not None


def test_a_report_comes_back_from_its_json(make: Make, tmp_path: Path) -> None:
    report = compare_layers(make("onnx", "int8"), model(), pixels()[:1], repro=tmp_path / "repro")
    assert LayerReport.from_json(json.dumps(report.to_json())) == report
    Case.from_json((tmp_path / "repro" / "case.json").read_text())
