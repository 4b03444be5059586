"""A small run of a network of ours, for the tools that start processes of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from samples import acne_spec

from edgeskin.models.architectures import build
from edgeskin.models.run import save_run
from edgeskin.spec import ClassificationHead, InputSpec


def save_small(path: Path, seed: int) -> Path:
    spec = acne_spec(
        name="small",
        arch="small_networks:small",
        input=InputSpec(height=32, width=32, resize="squash", mean=(0.5,) * 3, std=(0.25,) * 3),
        heads=(ClassificationHead(name="severity", labels=tuple("abcde")),),
    )
    torch.manual_seed(seed)
    save_run(path, spec, build(spec))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(here)
    return save_small(tmp_path / "run", seed=0)


@pytest.fixture
def other(run: Path) -> Path:
    """Of the same network, with other weights."""
    return save_small(run.with_name("other"), seed=1)
