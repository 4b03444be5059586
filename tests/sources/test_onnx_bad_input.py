"""Files that cannot be read: one clear line each, that says what and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx_graphs import SHAPE, image, save_model

from edgeskin.errors import InvalidArtifact
from edgeskin.sources.onnx_graph import read_onnx


def relu(source: str = "image", output: str = "y") -> NodeProto:
    return helper.make_node("Relu", [source], [output], "act")


def refused(path: Path, match: str, **options: Any) -> None:
    with pytest.raises(InvalidArtifact, match=match) as caught:
        read_onnx(path, **options)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "none.onnx is missing")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x00" * 64, b"hello"])
def test_another_kind_of_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    refused(path, "truncated or not an ONNX model")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_truncated_file(tmp_path: Path, share: float) -> None:
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    conv = helper.make_node("Conv", ["image", "w"], ["y"])
    path = save_model(tmp_path / "m.onnx", [conv], [weight], ["y"])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "truncated or not an ONNX model|cannot be read|takes 432 bytes|has no")


def external(path: Path, location: str) -> Path:
    """A convolution whose weight lies in another file."""
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return save_model(path, [helper.make_node("Conv", ["image", "w"], ["y"])], [weight], ["y"])


def test_external_data_is_read(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.full(12, 2.0, np.float32).tobytes())
    model = read_onnx(external(tmp_path / "m.onnx", "w.bin"))
    [y] = model.answer(image())
    np.testing.assert_allclose(y[0, 0], 2 * image()[0].sum(0), rtol=1e-5)


def test_external_data_that_is_missing(tmp_path: Path) -> None:
    refused(external(tmp_path / "m.onnx", "w.bin"), "'w' .*stored in 'w.bin', which is missing")


def test_external_data_elsewhere_is_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(48))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(secret)
    for location in (str(secret), "../secret.bin", "link.bin"):
        refused(external(folder / "m.onnx", location), "outside the file's folder")


def test_external_data_of_a_constant_in_the_graph(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(4))
    value = TensorProto(data_type=TensorProto.FLOAT, dims=[1], name="value")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="../secret.bin")
    folder = tmp_path / "model"
    folder.mkdir()
    nodes = [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Add", ["image", "c"], ["y"]),
    ]
    refused(save_model(folder / "m.onnx", nodes, [], ["y"]), "outside the file's folder")


def test_unknown_operators_are_all_named_with_their_number(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Odd", ["image"], ["a"], domain="org.example"),
        helper.make_node("Odd", ["a"], ["b"], domain="org.example"),
        helper.make_node("Loop", ["", "", "b"], ["y"], body=onnx.GraphProto(name="body")),
    ]
    path = tmp_path / "m.onnx"
    save_model(path, nodes, [], ["y"])
    refused(path, r"does not read: Loop \(1\), org.example.Odd \(2\)\. Cut the model")


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        (
            ["n", 3, "h", "w"],
            r"takes images of any size, 'image' is \(\?, 3, \?, \?\), .*: --input-size 224x224",
        ),
        ([1, 3, 8, "w"], "takes images of any size"),
        ([4, 3, 8, 8], "takes 4 images at once. Export it for one"),
        ([1, 7, 8, 9], r"of \(1, 7, 8, 9\) is no image"),
        ([1, 3, 8], "is no image"),
        (["n", "c", "h", "w"], "is no image"),
    ],
)
def test_an_input_of_no_fixed_image(tmp_path: Path, shape: list[int | str], match: str) -> None:
    refused(save_model(tmp_path / "m.onnx", [relu()], [], ["y"], shape=shape), match)


def test_an_open_size_is_fixed(tmp_path: Path) -> None:
    shape = ["n", 3, "h", "w"]
    path = save_model(tmp_path / "m.onnx", [relu()], [], ["y"], shape=shape)
    assert read_onnx(path, input_size=(6, 9)).input.shape == (1, 3, 6, 9)


def test_a_size_that_the_file_fixes_differently(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.onnx", [relu()], [], ["y"])
    refused(path, "--input-size says 9 x 9", input_size=(9, 9))
    assert read_onnx(path, input_size=SHAPE[2:]).input.shape == SHAPE


def test_an_input_of_text(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["image"], ["y"])
    path = save_model(tmp_path / "m.onnx", [node], [], ["y"], dtype=TensorProto.STRING)
    refused(path, "is string, which no image is")


def several(path: Path, stored: list[TensorProto]) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Add", ["image", "more"], ["y"])],
        "two",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        stored,
    )
    imports = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def test_several_inputs_are_named(tmp_path: Path) -> None:
    path = several(tmp_path / "m.onnx", [])
    refused(path, r"has 2 inputs: 'image' \(1 x 3 x 8 x 10\), 'more' \(1\)")


def test_a_stored_tensor_that_is_listed_as_an_input_is_none(tmp_path: Path) -> None:
    stored = numpy_helper.from_array(np.float32([2.5]), "more")
    model = read_onnx(several(tmp_path / "m.onnx", [stored]))
    assert model.input.name == "image"
    np.testing.assert_array_equal(model.answer(image())[0], image() + np.float32(2.5))


def test_an_old_operator_set_is_converted(tmp_path: Path) -> None:
    """BatchNormalization-7 and Upsample-9."""
    norm = [numpy_helper.from_array(np.float32([1, 2, 3]), name) for name in "sbmv"]
    scales = numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales")
    nodes = [
        helper.make_node("BatchNormalization", ["image", *"sbmv"], ["n"]),
        helper.make_node("Upsample", ["n", "scales"], ["y"], mode="nearest"),
    ]
    path = save_model(tmp_path / "m.onnx", nodes, [*norm, scales], ["y"], opset=9)
    model = read_onnx(path)
    assert model.outputs[0].shape == (1, 3, 16, 20)


def test_an_operator_set_that_cannot_be_converted(tmp_path: Path) -> None:
    node = helper.make_node("Scan", ["image"], ["y"], num_scan_inputs=1)
    path = save_model(tmp_path / "m.onnx", [node], [], ["y"], opset=1)
    refused(path, "has the operator set 1; edgeskin reads 11 and later")


def test_sizes_that_depend_on_the_image(tmp_path: Path) -> None:
    node = helper.make_node("NonZero", ["image"], ["y"], "found")
    path = save_model(tmp_path / "m.onnx", [node], [], ["y"])
    refused(path, "NonZero 'found' gives a tensor whose size depends on the image.*at 'image'")


def test_a_shape_that_depends_on_the_image(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["i"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["i"], ["k"], keepdims=0),
        helper.make_node("Reshape", ["k", "one"], ["k1"]),
        helper.make_node("TopK", ["image", "k1"], ["y", "places"], "best"),
    ]
    one = numpy_helper.from_array(np.array([1]), "one")
    path = save_model(tmp_path / "m.onnx", nodes, [one], ["y"])
    refused(path, "TopK 'best' cannot be read: its input 'k' depends on the image")


def test_sizes_of_constants_are_computed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["mask"], ["places"]),
        helper.make_node("Squeeze", ["places", "zero"], ["row"]),
        helper.make_node("Gather", ["image", "row"], ["y"], axis=3),
    ]
    stored = [
        numpy_helper.from_array(np.array([0, 1, 0, 1, 1]), "mask"),
        numpy_helper.from_array(np.array([0]), "zero"),
    ]
    model = read_onnx(save_model(tmp_path / "m.onnx", nodes, stored, ["y"]))
    np.testing.assert_array_equal(model.answer(image())[0], image()[..., [1, 3, 4]])
    assert [call.type for call in model.network.calls] == ["Gather"]  # type: ignore[union-attr]


def test_a_branch_that_the_image_decides(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Neg", ["image"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, SHAPE)],
    )
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], "choice", then_branch=branch, else_branch=branch),
    ]
    path = save_model(tmp_path / "m.onnx", nodes, [], ["y"])
    refused(path, "If 'choice' cannot be read: its condition depends on the image")


def test_a_name_that_nothing_computes(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.onnx", [relu("nothing")], [], ["y"])
    refused(path, "Relu 'act' cannot be read: nothing before it computes its input 'nothing'")


def test_a_tensor_of_absurd_size(tmp_path: Path) -> None:
    node = helper.make_node("Expand", ["image", "shape"], ["y"])
    shape = numpy_helper.from_array(np.array([10**7, 3, 8, 10]), "shape")
    refused(
        save_model(tmp_path / "m.onnx", [node], [shape], ["y"]),
        "10000000 x 3 x 8 x 10 values, over",
    )
