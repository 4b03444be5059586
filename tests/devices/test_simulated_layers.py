"""Layers under a simulator: every figure is its own, faults are named there, and who is refused."""

from __future__ import annotations

import copy
import math
import os
import signal
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from qualcomm import npu
from simulated_gpu import need_simulated_gpu
from small_files import BROKEN, PRODUCTS, model, network, pixels, spec
from tiny_network import network as network_of_tiny
from tiny_network import tiny_job, tiny_spec

from edgeskin.artifacts import Metadata, Precision
from edgeskin.benchmarks.devices.simulated_sessions import SimulatedSessions
from edgeskin.converters.model import Job
from edgeskin.converters.parity.documents import LayerReport, LayerRow
from edgeskin.converters.parity.layers import compare_layers
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.converters.parity.parts import Parts
from edgeskin.converters.parity.reference import Model, of_network
from edgeskin.converters.selfcheck import images
from edgeskin.errors import InvalidArtifact, NotSupportedHere, ProgramCrashed, RunFailed
from edgeskin.formats import FORMATS, read_network
from edgeskin.snapdragon.ahead_of_time import compile_for

CHIP = "SM8750"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("portable")


@cache
def portable(target: str, precision: Precision, folder: Path) -> Path:
    path = folder / f"small-{precision}{FORMATS[target].suffix}"
    job = Job(network(precision), Metadata(spec(), "app", precision), portable=True)
    FORMATS[target].convert(job, path)
    return path


def on_npu(path: Path, reference: str = "fp32") -> LayerReport:
    with SimulatedSessions(f"simulated:htp:{CHIP}") as simulator:
        simulator.check(path)
        return compare_layers(path, model(reference), pixels()[:1], elsewhere=simulator)


def by_name(report: LayerReport) -> dict[str, LayerRow]:
    return {row.name.removesuffix(" (shifted)"): row for row in report.layers}


@npu
@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_an_int8_file_by_layer_on_the_npu(target: str, folder: Path) -> None:
    path = portable(target, "int8", folder)
    report = on_npu(path)
    assert report.simulated == f"htp:{CHIP}"
    assert report.simulator.startswith(f"the NPU of a Snapdragon 8 Elite ({CHIP}) by onnxruntime")
    assert report.runtime.endswith(f"on simulated:htp:{CHIP}")
    assert report.untouched_db == math.inf, "inner tensors as outputs change no bit"
    assert report.matched_products == f"{len(PRODUCTS)} of {len(PRODUCTS)}"
    assert report.first_bad is None
    here = compare_layers(path, model(), pixels()[:1])
    assert (here.simulated, here.simulator, here.untouched_db) == ("", "", None)
    rows, rows_here = by_name(report), by_name(here)
    assert rows.keys() == rows_here.keys()
    # The same integers but for roundings: a figure is the quantization's, wherever it is computed.
    for name in PRODUCTS:
        assert rows[name].own_sqnr_db == pytest.approx(rows_here[name].own_sqnr_db, abs=3.0), name
    # And yet another processor's: some rounding falls on the other side.
    assert [row.sqnr_db for row in report.layers] != [row.sqnr_db for row in here.layers]


@npu
@pytest.mark.slow
def test_a_planted_fault_is_named_on_the_npu(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "small-int8.onnx"
    spoil(portable("onnx", "int8", folder), path, BROKEN)
    report = on_npu(path)
    assert report.bad == (BROKEN,)
    assert report.worst[0] == BROKEN


def spoil(source: Path, path: Path, name: str) -> None:
    """Reverse the output channels of the layer `name`, and their signs."""
    report = compare_layers(source, model(), pixels()[:1])
    tensor = by_name(report)[name].tensor
    held, file = read_network(source), onnx.load(source)
    layer = held.producer[held.producer[tensor].inputs[0]]
    weights = held.producer[layer.inputs[1]].inputs[0]
    (stored,) = (t for t in file.graph.initializer if t.name == weights)
    reversed_weights = np.ascontiguousarray(-numpy_helper.to_array(stored)[::-1])
    stored.CopyFrom(numpy_helper.from_array(reversed_weights, weights))
    onnx.save(file, path)


@npu
@pytest.mark.slow
def test_float_layers_are_of_float16(folder: Path) -> None:
    path = folder / "tiny-fp32.onnx"
    FORMATS["onnx"].convert(replace(tiny_job("fp32"), portable=True), path)
    report = on_tiny(path, f"simulated:htp:{CHIP}")
    assert report.precision == "fp16"
    assert report.bad == ()
    # float16 has 11 bits of significand, 66 dB; float32 leaves over 120 here.
    for name, row in by_name(report).items():
        assert 45.0 < row.own_sqnr_db < 100.0, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "lowest_db", "highest_db"),
    [("fp16", 40.0, 75.0), ("fp32", 80.0, math.inf)],  # float16 leaves 66 dB of one rounding
)
def test_layers_on_the_gpu_are_of_its_arithmetic(
    precision: str, lowest_db: float, highest_db: float, folder: Path
) -> None:
    need_simulated_gpu()
    path = portable("tflite", "fp32", folder)
    with SimulatedSessions(f"simulated:gpu:{precision}") as simulator:
        report = compare_layers(path, model(), pixels()[:1], elsewhere=simulator)
    assert (report.simulated, report.precision) == (f"gpu:{precision}", precision)
    assert report.bad == ()
    rows = by_name(report)
    for name in PRODUCTS:
        assert lowest_db < rows[name].own_sqnr_db < highest_db, name
    # Its kernels sum in another order than XNNPACK's.
    here = compare_layers(path, model(), pixels()[:1])
    assert [row.sqnr_db for row in report.layers] != [row.sqnr_db for row in here.layers]


@pytest.mark.slow
def test_what_float16_cannot_hold_is_named_on_the_gpu(tmp_path: Path) -> None:
    """A layer whose values leave the range of float16, and one that brings them back."""
    need_simulated_gpu()
    wide: Any = network_of_tiny("fp32")
    wide = copy.deepcopy(wide)
    with torch.no_grad():
        for layer, factor in ((wide.depthwise[1], 1e5), (wide.pixels, 1e-5)):
            layer.weight.mul_(factor)
            layer.bias.mul_(factor)
        for head in wide.heads:
            head.weight.mul_(1e-5)
    job, path = tiny_job("fp32"), tmp_path / "wide-fp32.tflite"
    FORMATS["tflite"].convert(replace(job, network=wide), path)
    reference = of_network("wide", tiny_spec(), wide, "")
    reports = {}
    for precision in ("fp16", "fp32"):
        with SimulatedSessions(f"simulated:gpu:{precision}") as simulator:
            reports[precision] = compare_layers(path, reference, tiny_pixels(), elsewhere=simulator)
    assert "depthwise.0" not in reports["fp32"].bad
    assert reports["fp16"].first_bad == "depthwise.0"
    rows = by_name(reports["fp16"])
    assert math.isnan(rows["depthwise.0"].own_sqnr_db), "infinities, by the GPU's own kernels"
    assert rows["stem.0"].own_sqnr_db > 40.0


def tiny_model() -> Model:
    return of_network("tiny", tiny_spec(), network_of_tiny("fp32"), "")


def tiny_pixels() -> NDArray[np.uint8]:
    return np.stack(images(tiny_spec().input))[:1]


def on_tiny(path: Path, device: str) -> LayerReport:
    with SimulatedSessions(device) as simulator:
        return compare_layers(path, tiny_model(), tiny_pixels(), elsewhere=simulator)


@npu
@pytest.mark.slow
def test_what_the_npu_does_not_take_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small-int8.onnx"  # integers outside of quantize steps, for CPUs
    FORMATS["onnx"].convert(Job(network("int8"), Metadata(spec(), "app", "int8")), path)
    with pytest.raises((NotSupportedHere, RunFailed), match="small-int8.onnx, the part that"):
        on_npu(path)


@npu
@pytest.mark.slow
def test_a_compiled_file_has_no_layers(folder: Path, tmp_path: Path) -> None:
    compiled = tmp_path / f"small-int8-{CHIP}.onnx"
    assert compile_for(portable("onnx", "int8", folder), CHIP, compiled).whole
    with pytest.raises(InvalidArtifact, match="pass the file that it was compiled from"):
        on_npu(compiled)


@npu
def test_a_simulator_that_is_ended_is_said(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny-int8.onnx"
    FORMATS["onnx"].convert(replace(tiny_job("int8"), portable=True), path)
    with (
        SimulatedSessions(f"simulated:htp:{CHIP}") as simulator,
        OpenedFile(path) as file,
        Parts(file, simulator) as parts,
    ):
        session = parts.open([parts.input], parts.network.outputs)
        feed = {parts.input: np.zeros(session.inputs[0].shape, session.inputs[0].dtype)}
        first = session.run(feed)
        assert first.keys() == set(parts.network.outputs)
        child = simulator._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(ProgramCrashed, match="crashed with SIGKILL"):
            session.run(feed)
        again = session.run(feed)  # in a process of its own once more
        for name, values in first.items():
            np.testing.assert_array_equal(again[name], values)


def test_who_takes_images_only() -> None:
    with pytest.raises(NotSupportedHere, match="takes images, and none of the values inside"):
        SimulatedSessions("emulated:cortex-a76")
