"""What an artifact may be held against: a run, a program, files with a spec and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_network import float_run as reference
from tiny_network import network, tiny_spec

from edgeskin.calibration.program import Program, save_program
from edgeskin.converters.parity import verify
from edgeskin.converters.parity.foreign import compare_files
from edgeskin.converters.parity.reference import open_model
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidArtifact, InvalidRun, ShapeMismatch
from edgeskin.files import sha256
from edgeskin.models.run import save_run
from edgeskin.postprocess import activation_of

Convert = Callable[..., Path]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "tiny.pt2"
    save_program(path, Program(tiny_spec(), "w8a8", module=network("int8")))
    return path


def stripped(source: Path, path: Path) -> Path:
    """The same file as another tool would have written it: no metadata, other output names."""
    model = onnx.load(source)
    del model.metadata_props[:]
    names = {out.name: f"out_{i}" for i, out in enumerate(model.graph.output)}
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            node.output[i] = names.get(name, name)
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
    for out in model.graph.output:
        out.name = names[out.name]
    onnx.save(model, path)
    return path


def test_a_float_file_of_edgeskin_stands_for_its_run(converted: Convert, data: Path) -> None:
    dataset, artifact = load_split(data, "test"), converted("onnx", "int8")
    by_run = verify(artifact, reference(), dataset)
    for kind in ("onnx", "tflite"):
        file = converted(kind, "fp32")
        by_file = verify(artifact, file, dataset)
        assert by_file.reference_sha256 == sha256(file)
        # Two float implementations differ by 1e-6 of the values, and INT8 by 1e-2 of them.
        assert by_file.sqnr_db == pytest.approx(by_run.sqnr_db, abs=0.05)
        assert by_file.equal_decisions == by_run.equal_decisions


def test_a_program_has_the_quantization_in_it(
    converted: Convert, data: Path, program: Path
) -> None:
    dataset, artifact = load_split(data, "test"), converted("onnx", "int8")
    lost = verify(artifact, reference(), dataset).sqnr_db
    assert verify(artifact, program, dataset).sqnr_db > lost + 6.0


def test_a_file_without_a_spec_takes_the_artifacts(
    converted: Convert, data: Path, tmp_path: Path
) -> None:
    """Raw heads under names that mean nothing: taken in their order, and decoded."""
    foreign = stripped(converted("onnx", "fp32", "tensor"), tmp_path / "foreign.onnx")
    dataset = load_split(data, "test")
    assert verify(converted("tflite", "fp32"), foreign, dataset).sqnr_db > 90.0
    found = verify(converted("onnx", "int8"), foreign, dataset).sqnr_db
    assert found == pytest.approx(
        verify(converted("onnx", "int8"), reference(), dataset).sqnr_db, abs=0.05
    )


def test_a_file_that_ends_in_its_activations_is_not_activated_again(
    converted: Convert, data: Path, tmp_path: Path
) -> None:
    """As others export them: severity and mask as probabilities, count as its distribution."""
    foreign = stripped(converted("onnx", "fp32", "tensor"), tmp_path / "foreign.onnx")
    model = onnx.load(foreign)
    activated = {"out_0": "Softmax", "out_1": "Softmax", "out_3": "Softmax"}
    heads = tiny_spec().heads  # a few images are no evidence: the operators tell
    assert [activation_of(head) for head in heads] == ["softmax", "softmax", None, "softmax"]
    for name, operator in activated.items():
        for node in model.graph.node:
            for place, output in enumerate(node.output):
                node.output[place] = f"{name}_raw" if output == name else output
        model.graph.node.append(
            onnx.helper.make_node(operator, [f"{name}_raw"], [name], axis=1, name=f"end_{name}")
        )
    onnx.save(model, foreign)
    assert verify(converted("tflite", "fp32"), foreign, load_split(data, "test")).sqnr_db > 90.0


def test_a_file_of_another_network_is_refused(
    converted: Convert, data: Path, tmp_path: Path
) -> None:
    """The pixels-in file has five outputs, the network itself four."""
    foreign = stripped(converted("onnx", "fp32"), tmp_path / "foreign.onnx")
    with pytest.raises(ShapeMismatch, match=r"1 inputs and 5 outputs.* 1 and 4 .*not the same"):
        verify(converted("onnx", "int8"), foreign, load_split(data, "test"))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRun, match="is missing. Give what edgeskin train"):
        open_model(tmp_path / "nothing", tiny_spec())


def test_a_run_folder_by_its_path(converted: Convert, data: Path, tmp_path: Path) -> None:
    run = reference()
    save_run(tmp_path / "run", run.spec.model_copy(update={"arch": "x:y"}), run.network)
    with pytest.raises(Exception, match="cannot import the network 'x:y'"):
        verify(converted("onnx", "fp32"), tmp_path / "run", load_split(data, "test"))


def test_two_foreign_files_of_one_network_agree(converted: Convert, tmp_path: Path) -> None:
    """NCHW against NHWC, named and nameless: the same made-up images go into both."""
    ours = stripped(converted("onnx", "fp32", "tensor"), tmp_path / "ours.onnx")
    document = compare_files(ours, converted("tflite", "fp32", "tensor"))
    assert document.images == 8
    assert list(document.agreement) == ["severity", "count", "area", "mask"]
    assert document.sqnr_db > 90.0
    int8 = stripped(converted("onnx", "int8", "tensor"), tmp_path / "int8.onnx")
    assert 10.0 < compare_files(int8, ours).sqnr_db < 60.0


def test_foreign_files_of_other_networks_are_refused(converted: Convert, tmp_path: Path) -> None:
    raw = stripped(converted("onnx", "fp32", "tensor"), tmp_path / "raw.onnx")
    app = stripped(converted("onnx", "fp32"), tmp_path / "app.onnx")
    with pytest.raises(ShapeMismatch, match="the artifact has 4 outputs, the reference 5"):
        compare_files(raw, app)
    with pytest.raises(InvalidArtifact, match="carries no spec of edgeskin.*as --reference"):
        compare_files(raw, tmp_path)


def test_a_fault_in_a_foreign_file_shows(converted: Convert, tmp_path: Path) -> None:
    good = stripped(converted("onnx", "fp32", "tensor"), tmp_path / "good.onnx")
    model = onnx.load(good)
    tensor = next(t for t in model.graph.initializer if t.name.endswith("heads.0.weight"))
    values = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(-values), tensor.name))
    onnx.save(model, tmp_path / "bad.onnx")
    found = compare_files(tmp_path / "bad.onnx", good).agreement
    # 4 (-w x + b) against 4 (w x + b): the noise is at least as large as the signal of w x.
    assert found["out_0"].sqnr_db < 10.0
    assert np.isinf(found["out_1"].sqnr_db)
