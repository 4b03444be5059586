"""The two colour networks as runs and files, and pipelines of them, made once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline_networks import (
    areas_spec,
    colours_spec,
    make_areas,
    make_colours,
    plain_input,
    rules,
    write_halves,
)
from remembered import remembered
from torch import nn

from edgeskin.artifacts import Metadata
from edgeskin.converters.model import Job
from edgeskin.formats import FORMATS
from edgeskin.models.exported import ExportedNetwork, load_graph, save_graph
from edgeskin.models.run import save_run
from edgeskin.pipelines.pipeline_folder import make_pipeline
from edgeskin.spec import Spec

SPECS = {"areas": areas_spec, "colours": colours_spec}
NETWORKS = {"areas": make_areas, "colours": make_colours}
Make = Callable[..., Path]


def as_graph(network: nn.Module, spec: Spec) -> nn.Module:
    """The network as a run holds one that no factory makes: no code is run to open it."""
    example = torch.zeros(1, 3, spec.input.height, spec.input.width)
    return ExportedNetwork(load_graph(save_graph(network, example)))


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`run_of("areas")`: a network as a run; with "areas64" for images of 64 x 64."""

    @remembered
    def make(name: str) -> Path:
        kind = name.removesuffix("64")
        changes = {"input": plain_input(64, 64)} if name.endswith("64") else {}
        folder = tmp_path_factory.mktemp("runs") / name
        spec = SPECS[kind](**changes)
        save_run(folder, spec, as_graph(NETWORKS[kind](), spec))
        return folder

    return make


@pytest.fixture(scope="session")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`file_of("areas", "tflite", "fp32", "app")`: a network as a file."""

    @remembered
    def make(name: str, target: str = "onnx", precision: str = "fp32", io: str = "app") -> Path:
        path = tmp_path_factory.mktemp("files") / f"{name}{FORMATS[target].suffix}"
        metadata = Metadata(SPECS[name](), io, precision)  # type: ignore[arg-type]
        FORMATS[target].convert(Job(NETWORKS[name](), metadata), path)
        return path

    return make


@pytest.fixture(scope="session")
def of_runs(run_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mask pipeline, float, of runs."""
    stages = {"areas": run_of("areas"), "colours": run_of("colours")}
    out = tmp_path_factory.mktemp("pipelines") / "runs.pipeline"
    return make_pipeline(rules("mask"), stages, out).folder


@pytest.fixture(scope="session")
def of_files(file_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`of_files("tflite")`: the mask pipeline of float files."""

    @remembered
    def make(target: str = "onnx", io: str = "app") -> Path:
        stages = {name: file_of(name, target, "fp32", io) for name in ("areas", "colours")}
        out = tmp_path_factory.mktemp("pipelines") / f"{target}.pipeline"
        return make_pipeline(rules("mask"), stages, out).folder

    return make


@pytest.fixture(scope="session")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 train and 12 test images that are red from the left on, or, every fourth, dark."""
    return write_halves(tmp_path_factory.mktemp("halves") / "set", {"train": 16, "test": 12})
