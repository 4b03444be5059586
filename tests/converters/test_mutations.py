"""Broken artifacts are refused for what is wrong with them; good ones are not refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mutants import MUTATIONS, Mutation, World

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("mutants"))


@pytest.mark.parametrize(
    ("mutation", "target", "how"),
    [
        pytest.param(
            mutation, target, how, id=f"{mutation.name}-{mutation.precision}-{target}-{how}"
        )
        for mutation in MUTATIONS
        for target in mutation.formats
        for how in mutation.refused
    ],
)
def test_it_is_refused_for_what_is_wrong(
    mutation: Mutation, target: str, how: str, world: World
) -> None:
    code, line = world.refusal(how, world.made(mutation, target), mutation.precision)
    assert code in (1, 2), "it passed"
    assert re.search(mutation.refused[how], line), line


GOOD = [(t, p, "app") for t in ("onnx", "tflite", "coreml") for p in ("fp32", "fp16", "int8")]
GOOD += [("onnx", p, "tensor") for p in ("fp32", "fp16", "int8")] + [("tflite", "int8", "tensor")]


@pytest.mark.parametrize(("target", "precision", "io"), GOOD)
def test_good_files_pass(target: str, precision: str, io: str, world: World) -> None:
    path: Path = world.file(target, precision, io)
    for how in ("verify", "inspect", *["verify program"] * (precision == "int8")):
        assert world.refusal(how, path) == (0, ""), how
