"""SavedModels, on a TensorFlow in a process of its own; what is none needs no TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edgeskin.errors import InvalidArtifact, MissingPackage
from edgeskin.metrics import sqnr_db
from edgeskin.sources import saved_model
from edgeskin.sources.saved_model import read_saved_model

TENSORFLOW_PYTHON = (
    sys.executable if find_spec("tensorflow") else os.environ.get(saved_model.PYTHON)
)
on_tensorflow = pytest.mark.skipif(
    not TENSORFLOW_PYTHON,
    reason="NOT TESTED: SavedModels; EDGESKIN_TENSORFLOW_PYTHON names no Python that has "
    "tensorflow and tf2onnx",
)

MAKE = """
import sys
import tensorflow as tf
folder = sys.argv[1]

class Model(tf.Module):
    def __init__(self):
        super().__init__()
        self.stem = tf.Variable(tf.random.stateless_normal((3, 3, 3, 8), (1, 2)))
        self.last = tf.Variable(tf.random.stateless_normal((1, 1, 8, 2), (3, 4)))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    def open(self, image):
        x = tf.nn.relu6(tf.nn.conv2d(image, self.stem, 2, "SAME"))
        return {"b": tf.reduce_mean(x, (1, 2)), "a": tf.nn.conv2d(x, self.last, 1, "SAME")}

    @tf.function(input_signature=[tf.TensorSpec((None, 12, 16, 3), tf.float32)])
    def fixed(self, image):
        return self.open(image)

    @tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 3), tf.float32)] * 2)
    def two(self, image, other):
        return {"sum": image + other}

    @tf.function(input_signature=[tf.TensorSpec((1, 7), tf.float32)])
    def numbers(self, x):
        return {"twice": 2.0 * x}

model = Model()
for name, signatures in {
    "fixed": {"serving_default": model.fixed, "other": model.open},
    "open": {"serving_default": model.open},
    "two": {"serving_default": model.two},
    "numbers": {"serving_default": model.numbers},
    "unnamed": {"a": model.fixed, "b": model.open},
}.items():
    tf.saved_model.save(model, f"{folder}/{name}", signatures=signatures)
tf.saved_model.save(tf.Module(), f"{folder}/none")

v1 = tf.compat.v1
with v1.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    image = v1.placeholder(tf.float32, (None, 12, 16, 3), "image")
    weight = v1.get_variable("w", (3, 3, 3, 4))
    scores = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(image, weight, 1, "SAME")), (1, 2))
    session.run(v1.global_variables_initializer())
    v1.saved_model.simple_save(session, f"{folder}/v1", {"image": image}, {"scores": scores})
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of SavedModels."""
    folder = tmp_path_factory.mktemp("saved")
    subprocess.run(
        [TENSORFLOW_PYTHON, "-I", "-c", MAKE, str(folder)], check=True, capture_output=True
    )
    return folder


@on_tensorflow
@pytest.mark.slow
@pytest.mark.parametrize(("name", "outputs"), [("fixed", ("a", "b")), ("v1", ("scores",))])
def test_what_is_written_computes_what_tensorflow_does(
    models: Path, tmp_path: Path, name: str, outputs: tuple[str, ...]
) -> None:
    path, file = models / name, tmp_path / "model.onnx"
    python = saved_model._python()
    facts = saved_model._facts(saved_model._ask(python, "convert", path, file, 0, 0))
    assert facts.outputs == outputs
    session = onnxruntime.InferenceSession(file)
    [image] = session.get_inputs()
    assert image.shape == [1, 12, 16, 3]
    pixels = np.random.default_rng(0).random(image.shape, np.float32)
    answers = saved_model._answer(python, path, facts, pixels)
    for theirs, ours in zip(answers, session.run(None, {image.name: pixels}), strict=True):
        assert sqnr_db(theirs, ours) > 110.0  # float32 rounding of sums in another order


@on_tensorflow
@pytest.mark.slow
def test_a_saved_model_is_a_network_with_its_own_names(models: Path) -> None:
    source = read_saved_model(models / "fixed")
    assert (source.name, source.input.name, source.input.shape) == (
        "fixed",
        "image",
        (1, 12, 16, 3),
    )
    assert {output.name: output.shape for output in source.outputs} == {
        "a": (1, 6, 8, 2),
        "b": (1, 8),
    }
    assert "not other" in source.hints.notes[0]
    pixels = np.random.default_rng(0).random(source.input.shape, np.float32)
    with torch.inference_mode():
        ours = source.network(torch.from_numpy(pixels))
    for theirs, tensor in zip(source.answer(pixels), ours, strict=True):
        assert sqnr_db(theirs, tensor.numpy()) > 110.0


@on_tensorflow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "has no signature. Save it with one"),
        ("unnamed", "2 signatures and no serving_default: a, b"),
        ("two", "takes 2 inputs, not one: 'image' .*'other'|'other' .*'image'"),
        ("numbers", "which is no image"),
        ("open", "of no fixed size: say which height and width"),
    ],
)
def test_what_is_no_network_of_one_image_is_one_line(
    models: Path, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(InvalidArtifact, match=message) as refused:
        saved_model._ask(
            saved_model._python(), "convert", models / name, tmp_path / "model.onnx", 0, 0
        )
    assert "\n" not in str(refused.value)


@on_tensorflow
@pytest.mark.slow
def test_an_open_size_is_filled_in_and_a_damaged_graph_refused(
    models: Path, tmp_path: Path
) -> None:
    python, file = saved_model._python(), tmp_path / "model.onnx"
    saved_model._ask(python, "convert", models / "open", file, 20, 24)
    assert onnxruntime.InferenceSession(file).get_inputs()[0].shape == [1, 20, 24, 3]
    (tmp_path / "damaged").mkdir()
    whole = (models / "open" / "saved_model.pb").read_bytes()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidArtifact, match=r"TensorFlow 2\S* cannot load .*damaged"):
        saved_model._ask(python, "convert", tmp_path / "damaged", file, 0, 0)


@pytest.mark.parametrize(
    ("files", "asked", "message"),
    [
        (["frozen.pb"], "frozen.pb", "is a frozen graph.*tf.saved_model.save"),
        (["checkpoint", "model.index"], "", "is a checkpoint: weights without their network"),
        (["model.meta"], "model.meta", "is a checkpoint"),
        (["readme.txt"], "", "is no SavedModel: a folder with saved_model.pb"),
        ([], "missing", "is no SavedModel"),
    ],
)
def test_what_is_no_saved_model_says_what_to_export(
    tmp_path: Path, files: list[str], asked: str, message: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InvalidArtifact, match=message):
        read_saved_model(tmp_path / asked)


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="TensorFlow is here")
def test_without_tensorflow_the_line_says_where_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(saved_model.PYTHON, raising=False)
    with pytest.raises(MissingPackage, match=r"edgeskin\[tensorflow\].*EDGESKIN_TENSORFLOW_PYTHON"):
        saved_model._python()


def test_an_interpreter_that_has_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(MissingPackage, match="which does not run"):
        saved_model._ask(str(tmp_path / "python"), "convert", tmp_path, "x.onnx", 0, 0)
    if find_spec("tensorflow") is None:
        with pytest.raises(MissingPackage, match="No module named 'tensorflow'"):
            saved_model._ask(sys.executable, "convert", tmp_path, "x.onnx", 0, 0)
