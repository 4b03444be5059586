"""Damaged and foreign packages are refused with one line that says why."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.libmilstoragepython import _BlobStorageWriter as BlobWriter
from coremltools.proto import Model_pb2
from mil_programs import floats

from edgeskin.errors import EdgeskinError, InvalidArtifact
from edgeskin.runtimes import mil
from edgeskin.runtimes.mil.blobs import Blobs

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


@pytest.fixture
def package(save: Any) -> Path:
    """A linear layer whose 16 x 8 weights lie in the weights file."""
    weight = floats(16, 8)
    path: Path = save(lambda x: mb.linear(x=x, weight=weight), mb.TensorSpec(shape=(1, 8)))
    return path


def change(package: Path, edit: Callable[[Any], Any]) -> Path:
    """Rewrite the model message."""
    model = Model_pb2.Model.FromString((package / MODEL).read_bytes())
    edit(model)
    (package / MODEL).write_bytes(model.SerializeToString())
    return package


def operations(model: Any) -> Any:
    function = model.mlProgram.functions["main"]
    return function.block_specializations[function.opset].operations


def first(model: Any, kind: str) -> Any:
    return next(op for op in operations(model) if op.type == kind)


def blob(model: Any) -> Any:
    values = (op.attributes["val"] for op in operations(model) if op.type == "const")
    return next(v for v in values if v.WhichOneof("value") == "blobFileValue")


def refused(package: Path, why: str) -> None:
    with pytest.raises(InvalidArtifact, match=why) as caught:
        mil.open_session(package)
    assert "\n" not in str(caught.value)


def test_missing_model_or_manifest(package: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none.mlpackage", "truncated or not a Core ML model: its Manifest.json")
    (package / MODEL).unlink()
    refused(package, "is not a whole model: model.mlmodel is missing or empty")
    (package / "Manifest.json").write_text("{}")
    refused(package, "its Manifest.json names no model")


def test_truncated_model(package: Path) -> None:
    data = (package / MODEL).read_bytes()
    (package / MODEL).write_bytes(data[: len(data) // 2])
    refused(package, "is truncated or not a Core ML model")


def test_weights_missing_or_short(package: Path) -> None:
    data = (package / WEIGHTS).read_bytes()
    (package / WEIGHTS).write_bytes(data[:-1])  # the bias is last
    refused(package, r"record at 384: it ends at \d+, the file at \d+: truncated")
    (package / WEIGHTS).write_bytes(data[:100])
    refused(package, "record at 64: the file ends at 100: it is truncated")
    (package / WEIGHTS).write_bytes(b"")
    refused(package, "is truncated: it has no header")
    (package / WEIGHTS).unlink()
    refused(package, "its weights, @model_path/weights/weight.bin, are missing")


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (4, 3, "no weights file of version 2: 3"),
        (64, 1, "does not begin with 0xDEADBEEF"),
        (68, 4, "it holds int8, the program has float"),
        (72, 2**40, r"it holds 1099511627776 bytes, the program needs \d+"),
        (80, 2**50, "it ends at .*, the file at"),
    ],
)
def test_damaged_weights_record(package: Path, at: int, value: int, why: str) -> None:
    data = bytearray((package / WEIGHTS).read_bytes())
    struct.pack_into("<Q" if value > 2**32 else "<I", data, at, value)
    (package / WEIGHTS).write_bytes(data)
    refused(package, why)


@pytest.mark.parametrize("name", ["@model_path/../../../other.bin", "/etc/passwd", "@model_path/"])
def test_weights_elsewhere(package: Path, name: str) -> None:
    def edit(model: Any) -> None:
        blob(model).blobFileValue.fileName = name

    inside = name == "@model_path/"
    refused(change(package, edit), "are missing" if inside else "names weights outside of itself")


def test_offset_beyond_the_weights(package: Path) -> None:
    refused(
        change(package, lambda m: setattr(blob(m).blobFileValue, "offset", 2**60)),
        "record at 1152921504606846976: the file ends at",
    )


def test_absurd_sizes_allocate_nothing(package: Path) -> None:
    def grow(model: Any) -> None:
        blob(model).type.tensorType.dimensions[0].constant.size = 2**40

    refused(change(package, grow), "a tensor of 1099511627776 x 8 values, over the 268435456")


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda x: mb.tile(x=x, reps=[1, 2]), "tile"),
        (lambda x: mb.pad(x=x, pad=[0, 1]), "pad"),
    ],
)
def test_absurd_parameters_allocate_nothing(save: Any, build: Any, why: str) -> None:
    def grow(model: Any) -> None:
        values = (
            op.attributes["val"].immediateValue.tensor
            for op in operations(model)
            if op.type == "const"
        )
        next(v for v in values if len(v.ints.values) == 2).ints.values[1] = 2**30

    path = change(save(build, mb.TensorSpec(shape=(1, 8))), grow)
    with (
        mil.open_session(path) as session,
        pytest.raises(
            InvalidArtifact, match=f"operator {why} '.*' cannot run: the program has a tensor of"
        ),
    ):
        session.run({"x": np.zeros((1, 8), np.float32)})


def test_unknown_operators_are_named_all_of_them(package: Path) -> None:
    def edit(model: Any) -> None:
        for kind in ("warp", "warp", "dream"):
            operation = operations(model).add()
            operation.CopyFrom(first(model, "linear"))
            operation.type = kind

    refused(
        change(package, edit),
        r"operators that this runtime does not know: dream \(1\), warp \(2\)$",
    )


def test_unknown_operator_set_input_and_name(package: Path) -> None:
    data = (package / MODEL).read_bytes()
    function = "main"
    change(package, lambda m: setattr(m.mlProgram.functions[function], "opset", "CoreML99"))
    refused(package, "the operator set 'CoreML99'; known are CoreML5, ")
    (package / MODEL).write_bytes(data)
    change(
        package,
        lambda m: first(m, "linear").inputs["angle"].CopyFrom(first(m, "linear").inputs["weight"]),
    )
    refused(package, "operator linear '.*': got an unexpected keyword argument 'angle'")
    (package / MODEL).write_bytes(data)
    change(
        package,
        lambda m: setattr(first(m, "linear").inputs["weight"].arguments[0], "name", "ghost"),
    )
    refused(package, "operator linear '.*' uses 'ghost', which is not there")
    (package / MODEL).write_bytes(data)
    change(package, lambda m: first(m, "linear").inputs.pop("weight"))
    refused(package, "operator linear '.*': missing a required argument: 'weight'")


def test_a_result_of_another_shape_than_declared_names_the_operator(package: Path) -> None:
    def edit(model: Any) -> None:
        shape = first(model, "linear").outputs[0].type.tensorType.dimensions
        shape[1].constant.size = 15

    with (
        mil.open_session(change(package, edit)) as session,
        pytest.raises(
            InvalidArtifact,
            match=r"linear '.*' cannot run: it gives \(1, 16\), .* declares \(1, 15\)",
        ),
    ):
        session.run({"x": np.zeros((1, 8), np.float32)})


def test_messages_that_do_not_fit_together(package: Path) -> None:
    data = (package / MODEL).read_bytes()
    change(package, lambda m: first(m, "const").ClearField("outputs"))
    refused(package, "m.mlpackage holds a damaged program: ")
    (package / MODEL).write_bytes(data)

    def picture(model: Any) -> None:
        image = model.description.input[0].type.imageType
        image.width, image.height, image.colorSpace = 8, 1, 20

    refused(change(package, picture), "holds a damaged program: not enough values to unpack")


def test_without_inputs(package: Path) -> None:
    refused(change(package, lambda m: m.description.ClearField("input")), "the model has no inputs")


def test_a_neural_network_can_be_inspected_only(tmp_path: Path) -> None:
    model = Model_pb2.Model(specificationVersion=4)
    model.neuralNetwork.layers.add().name = "layer"
    path = tmp_path / "old.mlmodel"
    path.write_bytes(model.SerializeToString())
    refused(path, "holds a neuralNetwork, not an ML Program: it can be inspected, not run")


@pytest.mark.parametrize(
    "kind",
    [
        "float",
        "fp16",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int4",
        "uint1",
        "uint2",
        "uint3",
        "uint4",
        "uint6",
    ],
)
def test_values_are_those_that_coremltools_wrote(kind: str, tmp_path: Path) -> None:
    """Its writer is C++ of its own; 37 values end in the middle of a byte."""
    bits = int(kind.strip("uintfloap") or 32)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if kind[0] != "u" else (0, 2**bits)
    rng = np.random.default_rng(0)
    if kind in ("float", "fp16"):
        values = rng.normal(size=37).astype(np.float32 if kind == "float" else np.float16)
    else:
        width = max(bits, 8)
        values = rng.integers(low, high, 37).astype(f"{'u' * (kind[0] == 'u')}int{width}")
    writer = BlobWriter(str(tmp_path / "weight.bin"))
    written = values.view(np.uint16) if kind == "fp16" else values
    offset = getattr(writer, f"write_{kind}_data")(written)
    del writer
    name = {"float": "float32", "fp16": "float16"}.get(kind, kind)
    found = Blobs(tmp_path / "weight.bin").read(offset, name, 37)
    np.testing.assert_array_equal(found, values)


def test_random_damage_never_crashes(package: Path) -> None:
    """Bytes changed at random in either file: it runs, or it is refused in one line."""
    rng = random.Random(0)
    files = [package / MODEL, package / WEIGHTS]
    originals = [file.read_bytes() for file in files]
    refusals = []
    for _ in range(150):
        index = rng.randrange(2)
        data = bytearray(originals[index])
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        files[index].write_bytes(data)
        try:
            with mil.open_session(package) as session:
                session.run({s.name: np.zeros(s.shape, s.dtype) for s in session.inputs})
        except EdgeskinError as error:
            refusals.append(str(error))
        files[index].write_bytes(originals[index])
    assert 0 < len(refusals) < 150
    assert not any("\n" in line for line in refusals)
