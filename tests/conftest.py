"""Shared fixtures: small phantoms sets and an untrained run, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import acne_spec

from edgeskin.data.phantoms import write_set


@pytest.fixture(scope="session")
def phantom_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 train, 8 val and 16 test phantoms of 72 pixels."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, train=24, val=8, test=16, size=72)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained MobileNetV3-Small run with the acne heads, 64 x 64 pixels."""
    import torch

    from edgeskin.models.network import build
    from edgeskin.models.run import save_run

    torch.manual_seed(0)
    spec = acne_spec()
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    save_run(folder, spec, build(spec).eval())
    return folder
