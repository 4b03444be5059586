"""The same decisions from every kind of file: with the app's ends, and from the bare network."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_network import network, tiny_job, tiny_spec

import edgeskin
from edgeskin.artifacts import Io, Precision
from edgeskin.errors import InvalidArtifact, InvalidRun
from edgeskin.formats import FORMATS
from edgeskin.postprocess import decisions
from edgeskin.predictor import Predictor, load
from edgeskin.runtimes import TensorSpec
from edgeskin.runtimes.pytorch import TorchSession

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Twelve smooth images, uint8 (12, 40, 48, 3)."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (12, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.array(Image.fromarray(c).resize((48, 40))) for c in coarse])


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """`artifact(target, precision, io)`: the tiny network as a file."""

    @cache
    def make(target: str, precision: Precision, io: Io) -> Path:
        path = tmp_path_factory.mktemp("files") / f"tiny{FORMATS[target].suffix}"
        FORMATS[target].convert(tiny_job(precision, io), path)
        return path

    return make


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_both_ends_decide_alike(target, precision, artifact, pixels) -> None:  # type: ignore[no-untyped-def]
    spec = tiny_spec()
    session = TorchSession(spec, network(precision))
    answers = [session.run({"image": image[None]}) for image in pixels]  # a program takes one
    expected = {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}
    decided = decisions(spec, expected)
    assert 0.05 < decided["mask"].mean() < 0.95  # it is not one answer to everything
    for io in ("app", "tensor"):
        with load(artifact(target, precision, io)) as predictor:
            assert predictor.io == io
            found = predictor.run_all(pixels)
        assert list(found) == list(spec.output_names("app"))
        for name, values in expected.items():
            assert found[name].shape == values.shape, name
            # Floats agree to rounding; INT8 kernels may round a step the other way.
            share = 1e-4 if precision == "fp32" else 0.05
            spread = float(np.ptp(values))
            np.testing.assert_allclose(found[name], values, atol=share * spread, err_msg=name)
        for name, decision in decisions(spec, found).items():
            same = float(np.mean(decision == decided[name]))
            assert same >= (1.0 if precision == "fp32" else 0.95), name


def test_sources_of_an_image_are_equal(artifact, pixels, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "face.png"
    Image.fromarray(pixels[0]).save(path)
    with edgeskin.load(artifact("onnx", "fp32", "app")) as predictor:
        first = predictor.predict(path)
        assert first == predictor.predict(str(path))
        assert first == predictor.predict(path.read_bytes())
        assert first == predictor.predict(pixels[0])
        assert first == predictor.predict(Image.fromarray(pixels[0]))
        other = predictor.predict(pixels[1])
        assert predictor.predict([path, pixels[1], path.read_bytes()]) == [first, other, first]
        assert predictor.predict([]) == []
    assert first["area"].unit == "mm2"
    assert sum(first["mask"].area_fraction.values()) == pytest.approx(1.0)


class Fixed:
    """A session with an integer input; it returns what it was fed, as int8."""

    runtime = "fixed"

    def __init__(self, scale: float | None) -> None:
        self.inputs = (TensorSpec("x", (1, 40, 48, 3), "int8", scale, -3),)
        self.outputs = (TensorSpec("severity", (1, 3), "int8", 0.5, 10),)

    def run(self, feeds):  # type: ignore[no-untyped-def]
        self.fed = feeds["x"]
        return {"severity": np.array([[10, 12, 6]], np.int8)}

    def close(self) -> None:
        pass


def test_an_integer_input_is_quantized_by_its_own_scale(pixels) -> None:  # type: ignore[no-untyped-def]
    spec = tiny_spec(heads=tiny_spec().heads[:1])
    session = Fixed(0.02)
    found = Predictor(spec, session, "tensor").run(pixels[0])  # type: ignore[arg-type]
    mean, std = np.float32(spec.input.mean), np.float32(spec.input.std)
    real = (pixels[0] / np.float32(255) - mean) / std
    expected = np.clip(np.rint(real / np.float32(0.02)) - 3, -128, 127)
    assert session.fed.dtype == np.int8
    assert np.abs(session.fed[0].astype(int) - expected).max() <= 1  # a tie of rounding
    e = np.exp([0.0, 1.0, -2.0])  # (q - 10) * 0.5
    np.testing.assert_allclose(found["severity"], [e / e.sum()], rtol=1e-6)


def test_an_integer_input_without_a_scale_is_refused(pixels) -> None:  # type: ignore[no-untyped-def]
    spec = tiny_spec(heads=tiny_spec().heads[:1])
    with pytest.raises(InvalidArtifact, match="input 'x' is int8 but has no scale"):
        Predictor(spec, Fixed(None), "tensor").run(pixels[0])  # type: ignore[arg-type]


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match=r"none\.onnx is missing"):
        load(tmp_path / "none.onnx")
    with pytest.raises(InvalidArtifact, match="is none of"):
        load(tmp_path / "model")
    with pytest.raises(InvalidRun, match="is not a run"):
        load(tmp_path)
