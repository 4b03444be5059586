"""Calibration end to end on a small network, and what it refuses."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule

from edgeskin.calibration import METHODS, SCHEMES
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    aten,
    attribute,
    computations,
    layers,
)
from edgeskin.calibration.rewrites import flatten
from edgeskin.errors import InvalidData, InvalidRun, ShapeMismatch, UnknownName
from edgeskin.models.app_model import AppModel
from edgeskin.spec import Spec

Images = list[NDArray[np.uint8]]


def sqnr_db(reference: Tensor, candidate: Tensor) -> float:
    noise = (reference - candidate).square().sum()
    return 10 * math.log10(reference.square().sum() / noise)


@pytest.mark.parametrize("method", METHODS)
def test_a_program_agrees_with_its_float_network(
    method: str, network: nn.Module, spec: Spec, images: Images
) -> None:
    program = calibrate_network(network, spec, images[:8], method=method)
    normalize = AppModel(nn.Identity(), spec).normalize
    inputs = [normalize(torch.from_numpy(image)[None]) for image in images[8:]]
    for head in range(2):
        reference = torch.cat([network(x)[head] for x in inputs])
        # 8 bits give at most 50 dB for one full-scale tensor; about 20 tensors in a row
        # cost up to 10 log10(20) = 13 dB. A misplaced scale costs far more.
        assert sqnr_db(reference, torch.cat([program.module(x)[head] for x in inputs])) > 30


def test_the_network_is_exported_once(
    network: nn.Module, spec: Spec, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported, export = [], torch.export.export

    def counted(module: nn.Module, *rest: object) -> torch.export.ExportedProgram:
        exported.append(module)
        return export(module, *rest)

    monkeypatch.setattr(torch.export, "export", counted)
    calibrate_network(network, spec, images[:2])
    assert exported == [network]


def test_small_steps_are_not_shared_among_threads(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    threads: dict[str, int] = {}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        calibrate_network(
            network,
            spec,
            images[:2],
            progress=lambda what, done, total: threads.update({what: torch.get_num_threads()}),
        )
        assert threads == {"calibrating": 2, "correcting biases": 1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_callers_network_is_left_as_it_was(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    calibrate_network(network, spec, images[:2])
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_record_says_how_the_scales_were_found(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    program = calibrate_network(network, spec, images[:3], method="minmax")
    assert program.scheme == "w8a8"
    assert program.calibration.method == "minmax"
    assert program.calibration.images == 3
    assert program.calibration.sha256 == tuple(
        hashlib.sha256(image.tobytes()).hexdigest() for image in images[:3]
    )
    assert program.calibration.tools["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize("method", METHODS)
def test_progress_reaches_the_caller_and_nothing_reaches_stdout(
    method: str,
    network: nn.Module,
    spec: Spec,
    images: Images,
    capfd: pytest.CaptureFixture[str],
) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(what: str, done: int, total: int) -> None:
        seen.setdefault(what, []).append((done, total))

    calibrate_network(network, spec, images[:3], method=method, progress=progress)
    assert seen.pop("correcting biases") == [(i + 1, 8) for i in range(8)]  # of 8 layers
    assert set(seen) == {"calibrating"} | ({"calibrating by NNCF"} if method == "nncf" else set())
    assert all(counts == [(1, 3), (2, 3), (3, 3)] for counts in seen.values())
    assert capfd.readouterr().out == ""


def test_unknown_scheme_and_method(network: nn.Module, spec: Spec, images: Images) -> None:
    with pytest.raises(UnknownName, match=r"no scheme 'w4a4'; there are w8a8"):
        calibrate_network(network, spec, images, scheme="w4a4")
    with pytest.raises(
        UnknownName, match=r"no calibration method 'best'; there are mse, percentile"
    ):
        calibrate_network(network, spec, images, method="best")
    with pytest.raises(UnknownName, match="'nncf' finds ranges for 8 bits, w8a16 has 16"):
        calibrate_network(network, spec, images, scheme="w8a16", method="nncf")


def test_no_images_flat_images_and_wrong_images(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    for few in ([], images[:1]):
        with pytest.raises(InvalidData, match=f"needs at least 2 images and got {len(few)}"):
            calibrate_network(network, spec, few)
    flat = [np.full((32, 32, 3), grey, np.uint8) for grey in (0, 128)]
    with pytest.raises(InvalidData, match="each of the 2 calibration images is one flat colour"):
        calibrate_network(network, spec, flat)
    with pytest.raises(ShapeMismatch, match=r"image 1 is uint8 \(16, 32, 3\)"):
        calibrate_network(network, spec, [images[0], images[1][:16]])
    with pytest.raises(ShapeMismatch, match="image 0 is float32"):
        calibrate_network(network, spec, [images[0].astype(np.float32)] * 2)  # type: ignore[list-item]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_named(
    value: float, network: nn.Module, spec: Spec, images: Images
) -> None:
    network.project.weight.data[0, 0] = value
    with pytest.raises(InvalidRun, match=r"weights 'project\.weight' hold NaN or infinity"):
        calibrate_network(network, spec, images)


def test_the_first_layer_with_an_infinite_activation_is_named(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    network.project.weight.data.fill_(3e38)
    network.project.bias.data.fill_(3e38)
    with pytest.raises(InvalidRun, match=r"layer 'project' gives NaN or infinity"):
        calibrate_network(network, spec, images)


def test_an_infinite_activation_that_a_clamp_hides_is_named(spec: Spec, images: Images) -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            y = self.first(x)
            return (self.second(y.sigmoid() + y.clamp(0, 1)).mean((2, 3)),)

    network = Hidden()
    network.first.weight.data.fill_(3e38)
    with pytest.raises(InvalidRun, match=r"layer 'first' has the scale inf"):
        calibrate_network(network, spec, images, method="minmax")


def test_a_network_without_layers_and_one_that_cannot_be_exported(
    spec: Spec, images: Images
) -> None:
    class Untraceable(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (x if x.sum() > 0 else -x,)

    with pytest.raises(InvalidRun, match="no convolution or linear layer"):
        calibrate_network(nn.Sequential(nn.ReLU()), spec, images, method="minmax")
    with pytest.raises(InvalidRun, match="cannot be exported to a graph"):
        calibrate_network(Untraceable(), spec, images)


OFFLINE = """
    import os, socket
    def refuse(*args, **kwargs):
        raise SystemExit("a socket was opened")
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
    from edgeskin.calibration.by_nncf import import_nncf
    import_nncf()
    from nncf.telemetry import telemetry
    telemetry.start_session("nncf")
    print(type(telemetry).__name__, os.listdir(os.environ["HOME"]))
"""


@pytest.mark.slow
def test_nncf_sends_nothing_and_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    """In a process of its own: NNCF turns its telemetry off by itself under pytest."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OFFLINE)],
        env={"HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "MagicMock []\n"


@pytest.mark.parametrize(
    ("scheme", "method"),
    [*(("w8a8", method) for method in METHODS), *((s, "mse") for s in SCHEMES if s != "w8a8")],
)
def test_every_scale_is_a_float16_number_and_every_bias_fits(
    scheme: str, method: str, network: nn.Module, spec: Spec, images: Images
) -> None:
    network.project.weight.data[2] = 1e-12  # a dead channel whose bias is not
    network.project.bias.data[2] = 50.0
    graph = calibrate_network(network, spec, images[:4], scheme=scheme, method=method).module
    for scale in scales(graph):
        assert float(np.float16(scale)) == scale > 0
    for layer in layers(graph):
        x, weight, bias = layer.args[:3]
        if x.target is DEQUANTIZE:
            units = attribute(graph, bias) / (x.args[1] * attribute(graph, weight.args[1]))
            assert units.abs().max() < 2**31


def scales(graph: GraphModule) -> list[float]:
    """Of every step into integers and back."""
    found: list[float] = []
    for node in graph.graph.nodes:
        if node.target in (QUANTIZE, DEQUANTIZE):
            found.append(node.args[1])
        elif node.target is DEQUANTIZE_CHANNELS:
            found += attribute(graph, node.args[1]).tolist()
    return found


def test_weights_are_the_float_ones_rounded_once(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    graph = calibrate_network(network, spec, images[:4]).module
    reference = flatten(network, torch.zeros(1, 3, 32, 32))
    for layer, twin in zip(layers(graph), layers(reference), strict=True):
        integers, scale = (attribute(graph, argument) for argument in layer.args[1].args[:2])
        values = attribute(reference, twin.args[1])
        steps = scale.reshape(-1, *[1] * (values.dim() - 1))
        # Half a step, and float32 rounding of the division: rounding twice would give more.
        assert ((integers * steps - values).abs() <= 0.5 * steps * (1 + 1e-5)).all()


def test_a_lone_number_is_exact(network: nn.Module, spec: Spec, images: Images) -> None:
    graph = calibrate_network(network, spec, images[:4]).module
    reference = flatten(network, torch.zeros(1, 3, 32, 32))
    numbers = []
    for node, twin in zip(computations(graph), computations(reference), strict=True):
        if node.target is aten.add.Tensor and node.args[1].args[0].op == "get_attr":
            integers, *step = node.args[1].args
            numbers.append(DEQUANTIZE(attribute(graph, integers), *step))
            assert torch.equal(numbers[-1], attribute(reference, twin.args[1]))
    assert [number.item() for number in numbers] == [3.0, 3.0]


def test_sigmoid_keeps_tflites_scale(network: nn.Module, spec: Spec, images: Images) -> None:
    steps = {"w8a8": (1 / 256, -128), "w8a8_symmetric": (1 / 128, 0), "w8a16": (1 / 32768, 0)}
    for scheme, wanted in steps.items():
        graph = calibrate_network(network, spec, images[:4], scheme=scheme).module
        (sigmoid,) = [n for n in computations(graph) if n.target is aten.sigmoid.default]
        assert [(user.args[1], user.args[2]) for user in sigmoid.users] == [wanted]


def test_excluded_layers_stay_float_and_are_recorded(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    program = calibrate_network(network, spec, images[:4], exclude=("severity",))
    assert program.calibration.exclude == ("severity",)
    assert program.calibration.float_operators == {"linear": 1}
    assert "left in float: linear x1" in program.calibration.warnings
    with pytest.raises(UnknownName, match="no layer matches 'nothing'"):
        calibrate_network(network, spec, images[:4], exclude=("nothing",))


def test_operators_left_in_float_are_named_and_counted(spec: Spec, images: Images) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            y = self.second(self.first(x).softmax(1)).relu()
            return (y.erf().softmax(1).flatten(1),)

    program = calibrate_network(Odd(), spec, images[:4])
    assert program.calibration.float_operators == {"softmax": 2, "erf": 1}
    assert "left in float: softmax x2, erf x1" in program.calibration.warnings


def test_a_scale_that_half_of_the_images_would_not_give_is_warned_of(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    dark = [image if index % 2 else image // 8 for index, image in enumerate(images)]
    for method in ("mse", "nncf"):  # NNCF is told nothing of halves
        program = calibrate_network(network, spec, dark, method=method)
        ratios = program.calibration.half_ratios
        # The first layer has a bias, so its output does not shrink by all of the factor 8.
        assert 0.2 < ratios["stem (conv2d)"] < 7.1
        assert any("differ by more than 20%" in line for line in program.calibration.warnings)
    steady = calibrate_network(network, spec, [*images[:4]] * 2)
    assert all(ratio >= 0 for ratio in steady.calibration.half_ratios.values())


def test_sizes_that_depend_on_the_image_are_refused(spec: Spec, images: Images) -> None:
    class Picks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (self.layer(x).flatten().nonzero(),)

    with pytest.raises(InvalidRun, match="nonzero.*depends on the image") as caught:
        calibrate_network(Picks(), spec, images)
    assert "\n" not in str(caught.value)
