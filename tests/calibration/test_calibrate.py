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

from edgeskin.calibration import METHODS
from edgeskin.calibration.calibrate import calibrate
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
    program = calibrate(network, spec, images[:8], method=method)
    normalize = AppModel(nn.Identity(), spec).normalize
    inputs = [normalize(torch.from_numpy(image)[None]) for image in images[8:]]
    for head in range(2):
        reference = torch.cat([network(x)[head] for x in inputs])
        # 8 bits give at most 50 dB for one full-scale tensor; about 20 tensors in a row
        # cost up to 10 log10(20) = 13 dB. A misplaced scale costs far more.
        assert sqnr_db(reference, torch.cat([program.module(x)[head] for x in inputs])) > 30


def test_the_callers_network_is_left_as_it_was(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    calibrate(network, spec, images[:2])
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_record_says_how_the_scales_were_found(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    program = calibrate(network, spec, images[:3], method="minmax")
    assert program.scheme == "w8a8"
    assert program.calibration["method"] == "minmax"
    assert program.calibration["images"] == 3
    assert program.calibration["sha256"] == [
        hashlib.sha256(image.tobytes()).hexdigest() for image in images[:3]
    ]
    assert program.calibration["tools"]["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize("method", METHODS)
def test_progress_reaches_the_caller_and_nothing_reaches_stdout(
    method: str,
    network: nn.Module,
    spec: Spec,
    images: Images,
    capfd: pytest.CaptureFixture[str],
) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def tell(what: str, done: int, total: int) -> None:
        seen.setdefault(what, []).append((done, total))

    calibrate(network, spec, images[:3], method=method, tell=tell)
    assert seen.pop("correcting biases") == [(i + 1, 8) for i in range(8)]  # of 8 layers
    assert set(seen) == {"calibrating"} | ({"calibrating by NNCF"} if method == "nncf" else set())
    assert all(counts == [(1, 3), (2, 3), (3, 3)] for counts in seen.values())
    assert capfd.readouterr().out == ""


def test_unknown_scheme_and_method(network: nn.Module, spec: Spec, images: Images) -> None:
    with pytest.raises(UnknownName, match=r"no scheme 'w4a4'; there are w8a8"):
        calibrate(network, spec, images, scheme="w4a4")
    with pytest.raises(
        UnknownName, match=r"no calibration method 'best'; there are mse, percentile"
    ):
        calibrate(network, spec, images, method="best")


def test_no_images_flat_images_and_wrong_images(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    for few in ([], images[:1]):
        with pytest.raises(InvalidData, match=f"needs at least 2 images and got {len(few)}"):
            calibrate(network, spec, few)
    flat = [np.full((32, 32, 3), grey, np.uint8) for grey in (0, 128)]
    with pytest.raises(InvalidData, match="each of the 2 calibration images is one flat colour"):
        calibrate(network, spec, flat)
    with pytest.raises(ShapeMismatch, match=r"image 1 is uint8 \(16, 32, 3\)"):
        calibrate(network, spec, [images[0], images[1][:16]])
    with pytest.raises(ShapeMismatch, match="image 0 is float32"):
        calibrate(network, spec, [images[0].astype(np.float32)] * 2)  # type: ignore[list-item]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_named(
    value: float, network: nn.Module, spec: Spec, images: Images
) -> None:
    network.project.weight.data[0, 0] = value
    with pytest.raises(InvalidRun, match=r"weights 'project\.weight' hold NaN or infinity"):
        calibrate(network, spec, images)


def test_the_first_layer_with_an_infinite_activation_is_named(
    network: nn.Module, spec: Spec, images: Images
) -> None:
    network.project.weight.data.fill_(3e38)
    network.project.bias.data.fill_(3e38)
    with pytest.raises(InvalidRun, match=r"layer 'project' gives NaN or infinity"):
        calibrate(network, spec, images)


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
        calibrate(network, spec, images, method="minmax")


def test_a_network_without_layers_and_one_that_cannot_be_exported(
    spec: Spec, images: Images
) -> None:
    class Untraceable(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (x if x.sum() > 0 else -x,)

    with pytest.raises(InvalidRun, match="no convolution or linear layer"):
        calibrate(nn.Sequential(nn.ReLU()), spec, images, method="minmax")
    with pytest.raises(InvalidRun, match="cannot be exported to a graph"):
        calibrate(Untraceable(), spec, images)


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
