"""The small network as a fixture, images for it, and its program."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from samples import acne_spec
from small_network import SIZE, SmallNet, make_network

from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.program import Program
from edgeskin.spec import InputSpec, Spec


@pytest.fixture(scope="session")
def spec() -> Spec:
    half = (0.5, 0.5, 0.5)
    return acne_spec(input=InputSpec(height=SIZE, width=SIZE, resize="squash", mean=half, std=half))


@pytest.fixture
def network() -> SmallNet:
    """A fresh one: tests may break it."""
    return make_network()


@pytest.fixture(scope="session")
def images() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    return list(coarse.repeat(4, axis=1).repeat(4, axis=2))


@pytest.fixture(scope="session")
def program(spec: Spec, images: list[NDArray[np.uint8]]) -> Program:
    return calibrate_network(make_network(), spec, images[:8], method="minmax")
