"""Layers of two files without a spec, or of an artifact beside a file."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from small_files import BROKEN, PRODUCTS, check_repro, model, pixels, spec, spoil_onnx, spoil_tflite

from edgeskin.artifacts import Precision
from edgeskin.cli.main import run
from edgeskin.converters.parity.documents import LayerReport
from edgeskin.converters.parity.foreign import compare_file_layers
from edgeskin.converters.parity.layers import compare_layers
from edgeskin.converters.parity.reference import open_model
from edgeskin.converters.parity.repro import _script as repro_script
from edgeskin.errors import InvalidArtifact, ShapeMismatch
from edgeskin.formats.tflite.flatbuffer import Graph

Make = Callable[..., Path]
ALL = f"{len(PRODUCTS)} of {len(PRODUCTS)}"
pytestmark = pytest.mark.slow


def stripped(source: Path, path: Path) -> Path:
    """The same network as another tool would have written it: no metadata, no names of weights."""
    if source.suffix == ".tflite":
        graph = Graph(source.read_bytes())
        graph.model.metadata = None
        for index, tensor in enumerate(graph.body.tensors):
            if graph.constant(index) is not None:
                tensor.name = f"arith.constant{index}"
        path.write_bytes(graph.pack())
        return path
    file = onnx.load(source)
    del file.metadata_props[:]
    onnx.save(file, path)
    return path


@pytest.fixture(scope="session")
def foreign(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`foreign(target, precision)`: the small network as a file of nobody's, tensors in."""

    @cache
    def strip(target: str, precision: Precision) -> Path:
        source = make(target, precision, "tensor")
        return stripped(source, tmp_path_factory.mktemp("foreign") / f"theirs{source.suffix}")

    return strip


@pytest.mark.parametrize(
    ("artifact", "reference"), [("tflite", "onnx"), ("onnx", "tflite"), ("onnx", "onnx")]
)
def test_all_products_of_two_float_files_match_and_agree(
    artifact: str, reference: str, foreign: Make
) -> None:
    """NHWC against NCHW, in both directions."""
    report = compare_file_layers(foreign(artifact, "fp32"), foreign(reference, "fp32"), 2)
    assert (report.images, report.precision) == (2, "fp32")
    assert report.matched_products == ALL
    assert (report.unmatched, report.missing_additions) == ((), ())
    # Weights are random, so that any other pair would agree to a few dB: 24 bits give 144.
    for row in report.layers:
        assert row.sqnr_db > 90.0, row
        assert row.own_sqnr_db > 90.0, row
        assert row.floor_db == 60.0
    assert report.bad == ()


@pytest.mark.parametrize("artifact", ["tflite", "onnx"])
@pytest.mark.parametrize("reference", ["tflite", "onnx"])
def test_an_int8_file_beside_a_float_one(artifact: str, reference: str, foreign: Make) -> None:
    report = compare_file_layers(foreign(artifact, "int8"), foreign(reference, "fp32"))
    assert (report.images, report.precision) == (8, "int8")
    assert report.matched_products == ALL
    assert report.first_bad is None
    products = [row for row in report.layers if row.kind == "multiply"]
    assert all(15.0 < row.own_sqnr_db < 80.0 for row in products), products


def layer_of(name: str, report: LayerReport) -> str:
    """What the reference calls the output of the layer `name`."""
    products = [row.name for row in report.layers if row.kind == "multiply"]
    return str(products[PRODUCTS.index(name)])


def test_a_planted_fault_in_a_tflite_file_is_named_and_reproduced(
    foreign: Make, tmp_path: Path
) -> None:
    """No name says which layer it is: what is in front of it and behind it does."""
    path, good = tmp_path / "bad.tflite", foreign("onnx", "fp32")
    products = [p for p in PRODUCTS if p != "depth"]
    path.write_bytes(spoil_tflite(foreign("tflite", "fp32"), products.index(BROKEN)))
    report = compare_file_layers(path, good, repro=tmp_path / "repro")
    assert report.matched_products == ALL
    assert report.bad == (report.first_bad,)
    assert report.first_bad == layer_of(BROKEN, report)
    check_repro(report, tmp_path / "repro", report.first_bad)


@pytest.mark.parametrize("reference", ["tflite", "onnx"])
def test_a_planted_fault_in_an_onnx_file_is_named(
    reference: str, foreign: Make, tmp_path: Path
) -> None:
    path = tmp_path / "bad.onnx"
    spoil_onnx(foreign("onnx", "fp32"), path, BROKEN)
    report = compare_file_layers(path, foreign(reference, "fp32"))
    assert report.bad == (report.first_bad,)
    assert report.first_bad == layer_of(BROKEN, report)


@pytest.mark.parametrize("artifact", ["tflite", "onnx", "coreml"])
@pytest.mark.parametrize(("reference", "io"), [("tflite", "app"), ("onnx", "tensor")])
def test_an_artifact_beside_a_file_of_edgeskin(
    artifact: str, reference: str, io: str, make: Make
) -> None:
    """On pixels, where the file takes normalised tensors too."""
    file = open_model(make(reference, "fp32", io), spec())
    report = compare_layers(make(artifact, "fp32"), file, pixels()[:2])
    assert report.matched_products == ALL
    assert min(row.own_sqnr_db for row in report.layers) > 80.0
    assert report.first_bad is None


def test_an_artifact_beside_a_foreign_file_as_beside_its_run(make: Make, foreign: Make) -> None:
    file = open_model(foreign("onnx", "fp32"), spec())
    by_file = compare_layers(make("tflite", "int8"), file, pixels())
    by_run = compare_layers(make("tflite", "int8"), model(), pixels())

    def own(report: LayerReport) -> dict[str, float]:
        rows = [row for row in report.layers if row.kind == "multiply"]
        return {row.tensor: row.own_sqnr_db for row in rows}

    assert own(by_file) == pytest.approx(own(by_run), abs=0.1)


def test_a_factor_that_a_converter_made_part_of_the_weights(foreign: Make, tmp_path: Path) -> None:
    """The reference multiplies behind a product; the artifact's weights have the factor inside."""
    file = onnx.load(foreign("onnx", "fp32"))
    node = next(n for n in file.graph.node if n.op_type == "Conv" and "project" in n.input[1])
    weight = next(t for t in file.graph.initializer if t.name == node.input[1])
    bias = next(t for t in file.graph.initializer if t.name == node.input[2])
    for tensor in (weight, bias):
        half = numpy_helper.to_array(tensor) * np.float32(0.5)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    made = node.output[0]
    node.output[0] = "unscaled"
    file.graph.initializer.append(numpy_helper.from_array(np.float32([2.0]), "two"))
    place = list(file.graph.node).index(node) + 1
    file.graph.node.insert(place, helper.make_node("Mul", ["unscaled", "two"], [made]))
    onnx.save(file, tmp_path / "scaled.onnx")
    report = compare_file_layers(foreign("tflite", "fp32"), tmp_path / "scaled.onnx")
    assert report.matched_products == ALL
    assert made in [row.name for row in report.layers]
    assert report.bad == ()


@pytest.mark.parametrize(("artifact", "reference"), [("tflite", "onnx"), ("onnx", "tflite")])
def test_files_that_take_pixels(artifact: str, reference: str, make: Make) -> None:
    """uint8 with a grid of whole numbers in one, without a grid in the other."""
    report = compare_file_layers(make(artifact, "fp32"), make(reference, "fp32"), 1)
    assert min(row.sqnr_db for row in report.layers) > 90.0


def test_a_name_out_of_a_file_is_no_code(tmp_path: Path) -> None:
    name = '"""\nraise SystemExit(1)\n"""\\N{x}'
    path = tmp_path / f"{name}.onnx"
    path.touch()
    tree = ast.parse(repro_script(name, path))
    assert not [node for node in tree.body if isinstance(node, ast.Raise)]


def test_what_is_refused(foreign: Make, tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, 1, [1, 3, 32, 32]) for name in "abc"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])], "g", values[:2], values[2:]
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "two.onnx")
    with pytest.raises(InvalidArtifact, match="two.onnx has 2 inputs; layers are compared of"):
        compare_file_layers(tmp_path / "two.onnx", tmp_path / "two.onnx")
    with pytest.raises(ShapeMismatch, match="the artifact has 2 inputs, the reference 1"):
        compare_file_layers(tmp_path / "two.onnx", foreign("onnx", "fp32"))
    with pytest.raises(InvalidArtifact, match="carries no spec of edgeskin"):
        compare_file_layers(foreign("onnx", "fp32"), tmp_path)


def test_the_command_names_the_layer_draws_and_reproduces(
    foreign: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = foreign("onnx", "fp32"), tmp_path / "bad.onnx"
    command = ["verify", str(foreign("tflite", "int8")), "--reference", str(good), "--layers"]
    assert run([*command, "--images", "2"]) == 0
    assert "layers, 2 images, LiteRT" in capsys.readouterr().out
    spoil_onnx(good, bad, BROKEN)
    command = ["verify", str(bad), "--reference", str(good), "--images", "2"]
    out = ("--plot", str(tmp_path / "layers.png"), "--repro", str(tmp_path / "repro"))
    assert run([*command, *out]) == 1
    stdout, stderr = capsys.readouterr()
    assert f"products matched: {ALL}" in stdout
    assert "BAD" in stdout
    assert "edgeskin: layer " in stderr
    assert (tmp_path / "layers.png").is_file()
    done = subprocess.run(
        [sys.executable, str(tmp_path / "repro" / "run.py")], capture_output=True, text=True
    )
    assert done.stdout.startswith("SQNR ")
