"""Core ML packages: everybody opens the model that the manifest names, and nothing outside."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pytest

from edgeskin.artifacts import read_metadata
from edgeskin.converters.audit.examine import audit
from edgeskin.converters.audit.inspect import inspect
from edgeskin.errors import InvalidArtifact
from edgeskin.formats import open_cutter, open_session, read_network

HOLD = "Data/com.apple.CoreML"
MODEL, WEIGHTS = f"{HOLD}/model.mlmodel", f"{HOLD}/weights"


@pytest.fixture
def package(tiny_file: Any, tmp_path: Path) -> Path:
    """A copy of the tiny network in INT8."""
    path: Path = shutil.copytree(tiny_file("coreml", "int8"), tmp_path / "m.mlpackage")
    return path


def outputs(path: Path) -> list[Any]:
    with open_session(path) as session:
        (given,) = session.inputs
        pixels = np.random.default_rng(0).integers(0, 256, given.shape).astype(given.dtype)
        return list(session.run({given.name: pixels}).values())


def test_everybody_reads_the_model_that_the_manifest_names(
    package: Path, tiny_file: Any, tmp_path: Path
) -> None:
    """A float model beside the INT8 one of the usual place; the manifest points to it."""
    float_file = tiny_file("coreml", "fp32")
    shutil.copytree(float_file / HOLD, package / HOLD / "float")
    model_files.manifest(package, "com.apple.CoreML/float/model.mlmodel")

    assert read_metadata(package).precision == "fp32"
    assert audit(package).multiply_adds == audit(float_file).multiply_adds
    assert audit(package).multiply_adds.int8_share == 0.0
    for found, expected in zip(outputs(package), outputs(float_file), strict=True):
        np.testing.assert_array_equal(found, expected)
    network = read_network(package)
    part = tmp_path / "part.mlpackage"
    open_cutter(package, network).cut(network.inputs, network.outputs[:1], part)
    with open_session(part) as session:
        assert [spec.name for spec in session.outputs] == list(network.outputs[:1])
        assert session.outputs[0].dtype == "float32"


def elsewhere_by_name(package: Path) -> None:
    model_files.manifest(package, "../../outside/model.mlmodel")


def elsewhere_by_link(package: Path) -> None:
    (package / MODEL).unlink()
    (package / MODEL).symlink_to(package.parent / "outside/model.mlmodel")


def elsewhere_by_a_folder(package: Path) -> None:
    shutil.rmtree(package / "Data")
    (package / "Data").symlink_to(package.parent / "outside")
    model_files.manifest(package, "model.mlmodel")


def manifest_elsewhere(package: Path) -> None:
    (package / "Manifest.json").rename(package.parent / "outside/Manifest.json")
    (package / "Manifest.json").symlink_to(package.parent / "outside/Manifest.json")


def without_a_manifest(package: Path) -> None:
    (package / "Manifest.json").unlink()


@pytest.mark.parametrize("use", [read_metadata, audit, inspect, open_session])
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (elsewhere_by_name, "'Data/../../outside/model.mlmodel' lies outside its folder"),
        (elsewhere_by_link, r"lies outside its folder \(model.mlmodel is a link to .*; cp -rL"),
        (elsewhere_by_a_folder, r"lies outside its folder \(Data is a link to .*outside; cp -rL"),
        (manifest_elsewhere, "its Manifest.json names no model"),
        (without_a_manifest, "its Manifest.json names no model"),
    ],
)
def test_a_model_outside_the_package_is_opened_by_nobody(
    use: Callable[[Path], Any], spoil: Callable[[Path], None], why: str, package: Path
) -> None:
    """A whole model lies there: only its place speaks against it."""
    shutil.copytree(package / HOLD, package.parent / "outside")
    spoil(package)
    with pytest.raises(InvalidArtifact, match=why) as caught:
        use(package)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("use", [audit, inspect, open_session])
@pytest.mark.parametrize("name", [WEIGHTS, f"{WEIGHTS}/weight.bin"])
def test_weights_outside_the_package_are_opened_by_nobody(
    use: Callable[[Path], Any], name: str, package: Path
) -> None:
    shutil.move(package / name, package.parent / "outside")
    (package / name).symlink_to(package.parent / "outside")
    why = rf"weights outside of itself: .* \({Path(name).name} is a link to .*outside; cp -rL"
    with pytest.raises(InvalidArtifact, match=why):
        use(package)


def test_the_cutter_copies_nothing_from_outside(package: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (package / HOLD / "notes").symlink_to(tmp_path / "secret.bin")
    network = read_network(package)
    part = tmp_path / "part.mlpackage"
    with pytest.raises(InvalidArtifact, match="names a file outside of itself"):
        open_cutter(package, network).cut(network.inputs, network.outputs[:1], part)
    assert not any(file.read_bytes() == b"secret" for file in part.rglob("*") if file.is_file())


def test_links_within_the_package_are_followed(package: Path, tmp_path: Path) -> None:
    expected = outputs(package)
    for name in (MODEL, f"{WEIGHTS}/weight.bin"):
        (package / name).rename(package / Path(name).name)
        (package / name).symlink_to(package / Path(name).name)
    for found, want in zip(outputs(package), expected, strict=True):
        np.testing.assert_array_equal(found, want)
    assert audit(package).multiply_adds.int8_share > 0.9
    assert read_metadata(package).precision == "int8"
    network = read_network(package)
    first = next(op.outputs[0] for op in network.operators if op.role == "quantize")
    open_cutter(package, network).cut(network.inputs, [first], tmp_path / "part.mlpackage")
    assert read_network(tmp_path / "part.mlpackage").outputs == (first,)
