"""Broken artifacts are refused for what is wrong with them; good ones are not refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from mutations.table import MUTATIONS, Mutation
from mutations.world import World
from samples import SEVERITY, acne_spec

from edgeskin.spec import ClassificationHead

pytestmark = pytest.mark.slow
Made = Callable[[int, str], Path]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("mutants"))


@pytest.fixture(scope="session")
def made(world: World) -> Made:
    """`made(index, target)`: the file of a mutation, once for all commands."""
    return cache(lambda index, target: MUTATIONS[index].make(world, target))


CASES = [
    pytest.param(index, target, how, id=f"{m.name}-{m.precision}-{target}-{how}")
    for index, m in enumerate(MUTATIONS)
    for target in m.formats
    for how in m.refused
]


@pytest.mark.parametrize(("index", "target", "how"), CASES)
def test_it_is_refused_for_what_is_wrong(
    index: int, target: str, how: str, world: World, made: Made
) -> None:
    mutation: Mutation = MUTATIONS[index]
    code, line = mutation.refusal(world, how, made(index, target))
    assert code in (1, 2), "it passed"
    assert re.search(mutation.refused[how], line), line


GOOD = [
    *((t, p, "app") for t in ("onnx", "tflite", "coreml") for p in ("fp32", "fp16", "int8")),
    *(("onnx", p, "tensor") for p in ("fp32", "fp16", "int8")),
    *((t, "int8", "tensor") for t in ("tflite", "coreml")),
]


@pytest.mark.parametrize(("target", "precision", "io"), GOOD)
def test_good_files_pass(target: str, precision: str, io: str, world: World) -> None:
    path, job = world.file(target, precision, io), world.job(precision, io)
    for how in ("convert", "verify", *["verify program"] * (job.int8 and io == "app")):
        assert world.refusal(how, path, job) == (0, ""), how
    if (precision, io) == ("fp32", "app"):
        assert world.refusal("inspect", path, job) == (0, "")


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("onnx", {"scheme": "w8"}),
        ("onnx", {"scheme": "w8a8_symmetric"}),
        ("tflite", {"exclude": ["network.depthwise.*"]}),
        ("onnx", {"exclude": ["network.depthwise.*"]}),
        ("onnx", {"exclude": ["network.stem.*", "network.heads.*"]}),
    ],
)
def test_good_files_of_other_programs_pass(
    target: str, options: dict[str, object], tmp_path: Path, world: World
) -> None:
    other = World(tmp_path)
    other.run = world.run  # type: ignore[misc]
    other.data = world.data  # type: ignore[misc]
    other.program = world.with_run(world.calibrated(**options))  # type: ignore[misc]
    path, job = other.file(target, "int8"), other.job("int8")
    for how in ("convert", "verify", "verify program"):
        assert other.refusal(how, path, job) == (0, ""), how


def test_a_network_of_torchvision_passes(tmp_path: Path) -> None:
    heads = (ClassificationHead(name="severity", labels=SEVERITY),)
    arch = {"arch": "torchvision.models:squeezenet1_1", "arch_args": {"num_classes": 4}}
    foreign = World(tmp_path, acne_spec(heads=heads, **arch))
    path, job = foreign.file("onnx", "fp32"), foreign.job("fp32")
    for how in ("convert", "verify"):
        assert foreign.refusal(how, path, job) == (0, ""), how
