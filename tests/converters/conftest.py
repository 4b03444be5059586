"""Converted files, made in this process, once a session for each combination."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from remembered import remembered
from small_files import network, spec
from tiny_network import LABELS, tiny_job

from edgeskin.artifacts import Io, Metadata, Precision
from edgeskin.converters.model import Job
from edgeskin.formats import FORMATS

Convert = Callable[..., Path]


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """`converted(target, precision, io="app")`: the tiny network as a file."""

    @remembered
    def make(target: str, precision: Precision, io: Io = "app") -> Path:
        path = tmp_path_factory.mktemp("converted") / f"tiny-{precision}{FORMATS[target].suffix}"
        FORMATS[target].convert(tiny_job(precision, io), path)
        return path

    return make


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images of exactly the tiny network's size, so that preprocessing does nothing."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(11)
    lines = ["file,split,severity,count"]
    for i in range(20):
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 40)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,test,{LABELS[rng.integers(3)]},{rng.integers(1, 10)}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """`make(target, precision, io="app")`: the small network as a file."""

    @remembered
    def convert(target: str, precision: Precision, io: Io = "app") -> Path:
        path = tmp_path_factory.mktemp("small") / f"small-{precision}{FORMATS[target].suffix}"
        FORMATS[target].convert(Job(network(precision), Metadata(spec(), io, precision)), path)
        return path

    return convert
