"""A package as an app sees it: images, classifiers, precision, shapes, what lies between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import types
from mil_programs import floats
from torch import nn

from edgeskin import metrics
from edgeskin.errors import NotSupportedHere, ShapeMismatch
from edgeskin.formats import open_session
from edgeskin.formats.coreml import session as coreml
from edgeskin.runtimes import TensorSpec, mil
from edgeskin.runtimes.mil.__main__ import main
from edgeskin.runtimes.mil.crosscheck import compare, feeds_of

PIXELS = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3), dtype=np.uint8)


def small_network() -> nn.Module:
    """Convolutions, a residual, attention over pixels, two norms, a pool: the usual parts."""
    torch.manual_seed(0)

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6())
            self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish())
            self.norm = nn.LayerNorm(8)
            self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            x = x + self.deep(x)
            x = nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear")
            tokens = self.norm(x.flatten(2).transpose(1, 2))
            tokens = tokens + self.mix(tokens, tokens, tokens, need_weights=False)[0]
            return self.head(nn.functional.gelu(tokens).mean(1))

    return Small().eval()


def converted(network: nn.Module, example: torch.Tensor, path: Path, **options: Any) -> Path:
    exported = torch.export.export(network, (example,)).run_decompositions({})
    model = ct.convert(
        exported,
        inputs=[ct.TensorType(name="x", shape=tuple(example.shape), dtype=np.float32)],
        outputs=[ct.TensorType(name="y", dtype=np.float32)],
        skip_model_load=True,
        **options,
    )
    model.save(str(path))
    return path


@pytest.fixture(scope="module")
def network_and_input() -> tuple[nn.Module, torch.Tensor]:
    return small_network(), torch.from_numpy(floats(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("precision", "arithmetic", "least", "most"),
    [
        # 24-bit sums in two orders: their errors are some 10 roundings of 2^-24, or 130 dB.
        (ct.precision.FLOAT32, "full", 110, 200),
        # float16 keeps 11 bits: a rounding is 2^-11 / sqrt(12) of the value at most, and on
        # average over a binade 74 dB below it. Weights alone, then 20 results more: 10 lg 20 less.
        (ct.precision.FLOAT16, "full", 60, 90),
        (ct.precision.FLOAT16, "as_saved", 50, 80),
    ],
)
def test_a_network_agrees_with_torch(
    network_and_input: tuple[nn.Module, torch.Tensor],
    tmp_path: Path,
    precision: Any,
    arithmetic: Any,
    least: float,
    most: float,
) -> None:
    network, x = network_and_input
    path = converted(network, x, tmp_path / "m.mlpackage", compute_precision=precision)
    with torch.no_grad():
        expected = network(x).numpy()
    with mil.open_session(path, arithmetic=arithmetic) as session:
        found = session.run({"x": x.numpy()})["y"]
    assert least < metrics.sqnr_db(expected, found) < most


@pytest.mark.parametrize(
    ("layout", "pick"),
    [
        (ct.colorlayout.RGB, lambda p: p),
        (ct.colorlayout.BGR, lambda p: p[..., ::-1]),
        (ct.colorlayout.GRAYSCALE, lambda p: p[..., :1]),
    ],
)
def test_image_input_with_scale_and_bias(tmp_path: Path, layout: Any, pick: Any) -> None:
    channels = 1 if layout == ct.colorlayout.GRAYSCALE else 3
    bias = [0.5, -0.25, 2.0][:channels]
    example = torch.zeros(1, channels, 4, 6)
    exported = torch.export.export(nn.Conv2d(channels, 2, 1).eval(), (example,))
    model = ct.convert(
        exported.run_decompositions({}),
        inputs=[
            ct.ImageType(
                name="image",
                shape=tuple(example.shape),
                color_layout=layout,
                scale=1 / 127,
                bias=bias if channels > 1 else bias[0],
            )
        ],
        outputs=[ct.TensorType(name="y", dtype=np.float32)],
        compute_precision=ct.precision.FLOAT32,
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
    )
    model.save(str(tmp_path / "m.mlpackage"))
    weight, offset = (p.detach() for p in exported.module().parameters())
    pixels = np.ascontiguousarray(pick(PIXELS)) if channels == 1 else PIXELS
    with mil.open_session(tmp_path / "m.mlpackage") as session:
        assert session.inputs == (TensorSpec("image", (1, 4, 6, channels), "uint8"),)
        found = session.run({"image": pixels})["y"]
    x = np.moveaxis(pick(PIXELS).astype(np.float64), -1, 1) / 127
    x = x + np.reshape(bias, (1, channels, 1, 1))
    expected = np.einsum("oc,nchw->nohw", weight.numpy()[:, :, 0, 0], x)
    np.testing.assert_allclose(found, expected + offset.numpy().reshape(1, 2, 1, 1), atol=1e-5)


def test_classifier_gives_the_label_and_probabilities_in_the_order_of_classes(save: Any) -> None:
    def build(x: Any) -> Any:
        return mb.softmax(x=mb.mul(x=x, y=np.float32(2)), name="p")

    for labels, dtype in ((["mild", "none", "severe"], "str"), ([3, 7, 11], "int64")):
        config = ct.ClassifierConfig(labels)
        path = save(build, mb.TensorSpec(shape=(1, 3)), classifier_config=config)
        with mil.open_session(path) as session:
            assert session.classes == tuple(labels)
            assert session.outputs[0] == TensorSpec("classLabel", (), dtype)
            found = session.run({"x": np.float32([[0.1, 0.9, -1]])})
        assert found["classLabel"] == labels[1]
        weights = np.exp(2 * np.float64([0.1, 0.9, -1]))
        np.testing.assert_allclose(found["classLabel_probs"], weights / weights.sum(), atol=1e-3)


def test_float16_overflows_as_saved_and_not_in_full(save: Any) -> None:
    """65504 is the largest float16: a square of 300 does not fit, its root would again."""

    def build(x: Any) -> Any:
        return mb.cast(x=mb.sqrt(x=mb.square(x=mb.cast(x=x, dtype="fp16"))), dtype="fp32")

    path = save(build, mb.TensorSpec(shape=(1, 2)), compute_precision=ct.precision.FLOAT32)
    feed = {"x": np.float32([[300, -100]])}
    with mil.open_session(path) as session:
        assert next(iter(session.run(feed).values())).tolist() == [[np.inf, 100]]
    with mil.open_session(path, arithmetic="full") as session:
        assert next(iter(session.run(feed).values())).tolist() == [[300, 100]]
        assert session.runtime.endswith("every float in float32)")


def test_each_result_is_rounded_to_float16_once(save: Any) -> None:
    """Of a sum of 4096 ones and a half in float16: added one by one it would stop at 2048."""

    def build(x: Any) -> Any:
        return mb.cast(x=mb.reduce_sum(x=x, axes=[1]), dtype="fp32")

    path = save(build, mb.TensorSpec(shape=(1, 4097), dtype=types.fp16))
    x = np.ones((1, 4097), np.float16)
    x[0, 0] = 0.5
    with mil.open_session(path) as session:
        found = next(iter(session.run({"x": x}).values()))
    assert found.tolist() == [4096.0]  # 4096.5, to steps of 4


def test_inner_gives_every_tensor_in_its_type(save: Any) -> None:
    def build(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="half")
        q = mb.quantize(input=x, scale=np.float16(0.25), output_dtype="int8", name="q")
        d = mb.dequantize(input=q, scale=np.float16(0.25), name="d")
        return mb.cast(x=mb.relu(x=d, name="r"), dtype="fp32", name="y")

    path = save(build, mb.TensorSpec(shape=(1, 3)), compute_precision=ct.precision.FLOAT32)
    with mil.open_session(path) as session:
        inner = session.inner({"x": np.float32([[-1, 0.3, 100]])})
    assert list(inner) == ["half", "q", "d", "r", "y"]
    assert {name: array.dtype.name for name, array in inner.items()} == {
        "half": "float16",
        "q": "int8",
        "d": "float16",
        "r": "float16",
        "y": "float32",
    }
    assert inner["q"].tolist() == [[-4, 1, 127]]
    assert inner["d"].tolist() == [[-1, 0.25, 31.75]]
    assert inner["y"].tolist() == [[0, 0.25, 31.75]]


def test_flexible_shapes_take_any_size(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    traced = torch.jit.trace(network, torch.zeros(1, 3, 16, 16))
    size = ct.RangeDim(8, 64, default=16)
    model = ct.convert(
        traced,
        inputs=[ct.TensorType(name="x", shape=(1, 3, size, size))],
        outputs=[ct.TensorType(name="y", dtype=np.float32)],
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    model.save(str(tmp_path / "m.mlpackage"))
    with mil.open_session(tmp_path / "m.mlpackage") as session:
        assert session.inputs[0].shape == (1, 3, -1, -1)
        for height in (9, 31):
            x = floats(1, 3, height, 12)
            expected = network(torch.from_numpy(x)).detach().numpy()
            np.testing.assert_allclose(session.run({"x": x})["y"], expected, atol=1e-5)


def test_control_flow(save: Any) -> None:
    """Doubles until the sum passes 100; then one branch of two."""

    def build(x: Any) -> Any:
        def small(v: Any) -> Any:
            return mb.less(x=mb.reduce_sum(x=v, axes=[0], keep_dims=False), y=100.0)

        grown = mb.while_loop(_cond=small, _body=lambda v: (mb.mul(x=v, y=2.0),), loop_vars=(x,))
        high = mb.greater(x=mb.reduce_sum(x=grown, axes=[0], keep_dims=False), y=150.0)
        return mb.cond(
            pred=high,
            _true_fn=lambda: mb.sub(x=grown, y=1.0),
            _false_fn=lambda: mb.add(x=grown, y=1.0),
        )

    path = save(build, mb.TensorSpec(shape=(3,)), compute_precision=ct.precision.FLOAT32)
    with mil.open_session(path) as session:
        for x in ([1, 2, 3], [10, 20, 3]):  # sums grow to 192, and to 132
            found = next(iter(session.run({"x": np.float32(x)}).values()))
            grown = np.array(x) * 2.0 ** np.ceil(np.log2(100 / sum(x)))
            np.testing.assert_array_equal(found, grown + (-1 if grown.sum() > 150 else 1))


def test_feeds_are_checked_and_results_are_the_callers(save: Any) -> None:
    path = save(
        lambda x: mb.identity(x=x, name="y"),
        mb.TensorSpec(shape=(1, 2)),
        compute_precision=ct.precision.FLOAT32,
    )
    with open_session(path) as session:
        assert session.runtime.startswith("MIL semantics, not an Apple device (PyTorch ")
        assert not session.native
        with pytest.raises(ShapeMismatch, match=r"the model takes \['x'\]"):
            session.run({"z": np.zeros((1, 2), np.float32)})
        x = np.ones((1, 2), np.float32)
        found = next(iter(session.run({"x": x}).values()))
        found += 1
        assert x.tolist() == [[1, 1]]


def test_compare_says_how_far_two_sessions_agree(save: Any) -> None:
    def build(x: Any) -> Any:
        return mb.mul(x=x, y=np.float32(1 / 3), name="y")

    path = save(build, mb.TensorSpec(shape=(1, 64)))
    with mil.open_session(path) as saved, mil.open_session(path, arithmetic="full") as full:
        found = compare(full, saved, feeds_of(full.inputs, []))
    ((name, value),) = found.items()
    assert name == saved.outputs[0].name
    assert 60 < value < 85  # two roundings to 11 bits


def test_core_ml_itself_is_named_where_it_is_missing(
    save: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(lambda x: mb.relu(x=x), mb.TensorSpec(shape=(1, 2)))
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(NotSupportedHere, match=r"^not run: Core ML predicts on macOS only$"):
        coreml.CoreMLSession(path)
    assert main([str(path)]) == 2
    said = capsys.readouterr().err
    assert said.endswith("edgeskin: not run: Core ML predicts on macOS only\n")
