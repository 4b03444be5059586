"""A Keras file becomes a network that computes what Keras does; bad ones are one line."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeskin.calibration.rewrites import export
from edgeskin.errors import InvalidArtifact, NotSupportedHere, NotTrusted
from edgeskin.metrics import sqnr_db
from edgeskin.sources import keras_model
from edgeskin.sources.keras_model import read_keras
from edgeskin.sources.source_model import SourceModel
from edgeskin.sources.without_transposes import without_transposes

SIZE = 16


@cache
def keras() -> Any:
    return keras_model._keras()


def network(*, size: int | None = SIZE) -> Any:
    """A rescaling, a batch norm, a gate, padding on one side, a residual, two named outputs."""
    layers = keras().layers
    keras().utils.set_random_seed(0)
    image = keras().Input((size, size, 3), name="photo")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(8, 3, padding="same", strides=2, use_bias=False, name="stem")(x)
    norm = layers.BatchNormalization(name="norm")
    x = layers.ReLU(6.0)(norm(x))
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depth")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid", name="gate")(gate)
    x = layers.Add()([x, layers.Multiply()([y, gate])])
    numbers = np.random.default_rng(0)
    for weight in norm.weights:
        weight.assign(numbers.uniform(0.5, 1.5, weight.shape))
    features = layers.GlobalAveragePooling2D()(x)
    outputs = {
        "severity": layers.Dense(4, name="last")(features),
        "pixels": layers.Conv2D(2, 1, name="pixel_scores")(x),
    }
    return keras().Model(image, outputs)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keras") / "skin.keras"
    network().save(path)
    return path


@pytest.fixture(scope="module")
def source(saved: Path) -> SourceModel:
    return read_keras(saved)


def pixels(source: SourceModel) -> Any:
    return np.random.default_rng(1).uniform(0, 255, source.input.shape).astype(np.float32)


def test_a_file_says_its_input_and_outputs_in_their_order(source: SourceModel) -> None:
    assert source.name == "skin"
    assert (source.input.name, source.input.shape, source.layout) == (
        "photo",
        (1, SIZE, SIZE, 3),
        "NHWC",
    )
    named = {output.name: output.shape for output in source.outputs}
    assert named == {"pixels": (1, SIZE // 2, SIZE // 2, 2), "severity": (1, 4)}
    assert source.runtime.startswith("Keras 3.")


def test_the_network_computes_what_keras_predicts(source: SourceModel) -> None:
    image = pixels(source)
    answers = source.answer(image)
    with torch.inference_mode():
        ours = source.network(torch.from_numpy(image))
    for theirs, tensor, output in zip(answers, ours, source.outputs, strict=True):
        assert theirs.shape == tuple(tensor.shape) == output.shape
        # float32 rounding over a few layers; a batch norm in its weights changes no more.
        assert sqnr_db(theirs, tensor.numpy()) > 110.0


def test_nothing_of_keras_remains_in_its_graph(source: SourceModel) -> None:
    class Nchw(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return source.network(x.permute(0, 2, 3, 1))

    graph = without_transposes(export(Nchw(), torch.zeros(1, 3, SIZE, SIZE)))
    operators = [n.target.__name__ for n in graph.graph.nodes if n.op == "call_function"]
    assert operators.count("permute.default") == 1  # the map of pixels, which is NHWC in Keras
    assert operators.count("conv2d.default") == 4
    assert not {"subtract.Tensor", "rsqrt.default", "clone.default"} & set(operators)


def test_layers_are_called_as_keras_calls_them(source: SourceModel) -> None:
    assert isinstance(source.network, nn.Module)
    names = {name.partition(".")[0] for name, _ in source.network.named_parameters()}
    assert names == {"stem", "depth", "gate", "pixel_scores", "last"}


def test_a_rescaling_says_which_pixels_it_expects(source: SourceModel) -> None:
    assert source.hints.mean == (0.0, 0.0, 0.0)
    assert source.hints.std == pytest.approx((1 / 255,) * 3)
    assert "0 to 255" in source.hints.notes[0]


def test_hdf5_under_another_name_gives_the_same_and_a_bare_network_no_hints(tmp_path: Path) -> None:
    layers = keras().layers
    model = keras().Sequential(
        [
            keras().Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model.save(tmp_path / "model.h5")
    path = (tmp_path / "model.h5").rename(tmp_path / "from_2019.bin")
    source = read_keras(path)
    assert source.input.shape == (1, 8, 8, 1)
    assert source.hints.mean is None
    assert "--normalization" in source.hints.notes[0]
    image = pixels(source)
    ours = source.network(torch.from_numpy(image))[0].detach().numpy()
    assert sqnr_db(source.answer(image)[0], ours) > 110.0


def test_an_open_size_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "open.keras"
    layers = keras().layers
    image = keras().Input((None, None, 3))
    keras().Model(image, layers.Conv2D(2, 1)(image)).save(path)
    with pytest.raises(InvalidArtifact, match="takes images of any size"):
        read_keras(path)
    assert read_keras(path, input_size=(6, 10)).outputs[0].shape == (1, 6, 10, 2)


def code(tmp_path: Path, layer: Any) -> Path:
    path = tmp_path / "code.keras"
    keras().Sequential([keras().Input((4, 4, 3)), layer, keras().layers.Flatten()]).save(path)
    return path


def test_a_lambda_is_not_run_unasked(tmp_path: Path) -> None:
    path = code(tmp_path, keras().layers.Lambda(lambda x: 2.0 * x, name="double"))
    with pytest.raises(NotTrusted, match="'double' is a Lambda.*not run.*--trust"):
        read_keras(path)
    source = read_keras(path, trust=True)
    image = pixels(source)
    assert np.array_equal(source.answer(image)[0], 2.0 * image.reshape(1, -1))


OWN = """
from pathlib import Path
import keras
Path(__file__).with_name("imported").touch()
@keras.saving.register_keras_serializable(package="own")
class Scale(keras.layers.Layer):
    def call(self, x):
        return 3.0 * x
"""


def test_a_layer_of_its_author_s_is_not_imported_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_layers_of_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    layer = __import__("own_layers_of_test").Scale(name="scale")
    path = code(tmp_path, layer)
    (tmp_path / "imported").unlink()
    del sys.modules["own_layers_of_test"]
    keras().saving.get_custom_objects().clear()
    with pytest.raises(NotTrusted, match="'scale' is.*own_layers_of_test:Scale.*--trust"):
        read_keras(path)
    assert not (tmp_path / "imported").exists()
    assert read_keras(path, trust=True).outputs[0].shape == (1, 48)
    assert (tmp_path / "imported").exists()


def with_config(source: Path, path: Path, change: Any) -> Path:
    """The archive `source` with its configuration changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "entry",
    [
        {"module": "os", "class_name": "system", "config": {}, "registered_name": "system"},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"class_name": "__lambda__", "config": {"code": "4wEA"}},
        {"module": None, "class_name": "Own", "config": {}, "registered_name": "pack>Own"},
        {"class_name": "Own", "config": {"name": "own"}},
    ],
    ids=["module", "function", "lambda", "registered", "as Keras 2 wrote it"],
)
def test_code_anywhere_in_a_configuration_is_refused(
    saved: Path, tmp_path: Path, entry: dict[str, object]
) -> None:
    def change(config: Any) -> None:
        config["config"]["layers"][2]["config"]["kernel_initializer"] = entry

    path = with_config(saved, tmp_path / "changed.keras", change)
    with pytest.raises(NotTrusted, match=r"--trust"):
        read_keras(path)


def weights_alone(folder: Path) -> Path:
    model = keras().Sequential([keras().Input((4,)), keras().layers.Dense(2)])
    model.save_weights(folder / "some.weights.h5")
    return folder / "some.weights.h5"


def cut(folder: Path, source: Path) -> Path:
    path = folder / source.name
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    return path


def two_inputs(folder: Path) -> Path:
    a, b = keras().Input((8, 8, 3), name="a"), keras().Input((8, 8, 3), name="b")
    keras().Model([a, b], keras().layers.Add()([a, b])).save(folder / "two.keras")
    return folder / "two.keras"


def no_image(folder: Path) -> Path:
    model = keras().Sequential([keras().Input((7,)), keras().layers.Dense(2)])
    model.save(folder / "numbers.keras")
    return folder / "numbers.keras"


def foreign_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "foreign.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    return folder / "foreign.keras"


def text(folder: Path) -> Path:
    (folder / "text.keras").write_text("hello")
    return folder / "text.keras"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (weights_alone, r"holds the weights.*model\.save\('x\.keras'\)"),
        (two_inputs, r"2 inputs, not one image: 'a' .*, 'b'"),
        (no_image, r"is no image"),
        (foreign_zip, r"zip archive and no Keras model"),
        (text, r"neither a \.keras archive nor HDF5"),
    ],
)
def test_what_is_no_whole_model_of_an_image_is_one_line(
    tmp_path: Path, make: Any, message: str
) -> None:
    with pytest.raises(InvalidArtifact, match=message) as refused:
        read_keras(make(tmp_path))
    assert "\n" not in str(refused.value)


def test_half_a_file_is_damaged(saved: Path, tmp_path: Path) -> None:
    model = keras().Sequential([keras().Input((4, 4, 3)), keras().layers.Conv2D(2, 1)])
    model.save(tmp_path / "whole.h5")
    (tmp_path / "half").mkdir()
    for whole in (saved, tmp_path / "whole.h5"):
        with pytest.raises(InvalidArtifact, match="is damaged"):
            read_keras(cut(tmp_path / "half", whole))


def test_another_backend_in_this_process_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras().config, "backend", lambda: "jax")
    with pytest.raises(NotSupportedHere, match="on its jax backend.*KERAS_BACKEND=torch"):
        read_keras(saved)


@pytest.mark.slow
def test_the_environment_is_left_as_it_was(saved: Path) -> None:
    code = (
        "import os; os.environ['KERAS_BACKEND'] = 'jax'\n"
        "from edgeskin.sources.keras_model import _keras\n"
        "print(_keras().config.backend(), os.environ['KERAS_BACKEND'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "jax"]
