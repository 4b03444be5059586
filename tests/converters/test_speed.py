"""INT8 beside float: the verdict, the float network, and what convert says of a slow file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from acne_network import ARCH
from samples import acne_spec
from tiny_network import network, tiny_job, tiny_spec

from edgeskin.artifacts import Artifact, Metadata, read_manifest
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.graphs import DEQUANTIZE, QUANTIZE
from edgeskin.calibration.program import Program, dequantized, save_program
from edgeskin.calibration.record import RunIdentity
from edgeskin.cli.convert import cost_on_cpu
from edgeskin.cli.main import run
from edgeskin.conversion import CpuCost, Speed
from edgeskin.converters.convert import convert_files
from edgeskin.converters.model import Job
from edgeskin.converters.options import ConversionOptions
from edgeskin.converters.selfcheck import images
from edgeskin.converters.speed import cpu_cost, float_network, rate
from edgeskin.estimate import Estimate
from edgeskin.formats import FORMATS
from edgeskin.metrics import sqnr_db
from edgeskin.models.architectures import build
from edgeskin.models.run import load_run, save_run


def times(median: float, spread: float = 0.01) -> np.ndarray[Any, Any]:
    """101 rounds around `median` milliseconds; the same noise in every call."""
    return median * (1 + spread * np.random.default_rng(3).standard_normal(101))


@pytest.mark.parametrize(
    ("int8", "fp16", "slower", "advice"),
    [
        (0.5, None, False, "int8"),
        (1.0, None, False, "int8"),
        (1.01, None, False, "int8"),  # what memory layout alone may do
        (1.5, 1.0, True, "fp16"),  # as fast as fp32, and half its size
        (1.5, 1.3, True, "fp32"),
    ],
)
def test_verdict(int8: float, fp16: float | None, slower: bool, advice: str) -> None:
    found = rate(
        {"fp32": times(1.0), "int8": times(int8)} | ({"fp16": times(fp16)} if fp16 else {}), 101
    )
    assert (found.slower, found.advice) == (slower, advice)
    # The noise is common to both, as on a busy machine, and cancels in the ratio.
    assert found.ratio is not None
    assert found.p50_ms is not None
    assert found.ratio.value == pytest.approx(int8, rel=1e-6)
    assert found.p50_ms["int8"] == pytest.approx(int8, rel=0.01)


def test_a_difference_within_the_noise_is_none() -> None:
    noise = np.random.default_rng(5)
    slow, fast = (value * noise.lognormal(0, 0.5, 21) for value in (1.1, 1.0))
    assert not rate({"fp32": fast, "int8": slow}, 21).slower  # the interval reaches below 1


def test_a_program_without_its_quantize_steps() -> None:
    graph = network("int8")
    floats = dequantized(graph)  # type: ignore[arg-type]
    assert not {QUANTIZE, DEQUANTIZE} & {node.target for node in floats.graph.nodes}
    x = torch.randn(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pairs = zip(network("fp32")(x), floats(x), strict=True)
    # Only the rounding of int8 weights is left: 127 steps to either side, so about 40 dB.
    for expected, found in pairs:
        assert sqnr_db(expected.numpy(), found.numpy()) > 30


def test_the_float_network_is_that_of_the_very_weights() -> None:
    job = tiny_job("int8")
    assert float_network(job, None)[1] == "the program without its quantize steps"
    trained = network("fp32")
    assert float_network(job, trained) == (trained, "the run that it was calibrated from")


@pytest.mark.slow
def test_int8_is_timed_beside_its_own_run(tmp_path: Path) -> None:
    """And beside the program's own weights where the run is another's."""
    spec = acne_spec(arch=ARCH)
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_run(tmp_path / f"run{seed}", spec, build(spec).eval())
    run = load_run(tmp_path / "run0")
    program = calibrate_network(run.network, spec, images(spec.input), method="minmax")
    origin = {"run": RunIdentity(name="run0", sha256=run.sha256)}
    record = program.calibration.model_copy(update=origin)
    save_program(tmp_path / "p.pt2", replace(program, calibration=record))
    for name, origin in (("run0", "the run that it"), ("run1", "the program without")):
        (made,) = convert_files(
            tmp_path / name,
            ["onnx"],
            ["int8"],
            tmp_path / f"of-{name}",
            program=tmp_path / "p.pt2",
        )
        assert made.speed is not None
        assert (made.speed.float or "").startswith(origin)


@pytest.mark.slow
def test_times_are_in_the_manifest(tmp_path: Path) -> None:
    source, out = tmp_path / "tiny.pt2", tmp_path / "out"
    save_program(source, Program(tiny_spec(), "w8a8", module=network("int8")))  # type: ignore[arg-type]
    made = convert_files(source, ["onnx", "coreml"], ["int8"], out)
    entries = read_manifest(out)
    assert [a.speed for a in made] == [entries[a.path.name].speed for a in made]
    onnx, coreml = (a.speed.to_json() if a.speed else {} for a in made)
    assert {"int8", "fp32"} <= onnx["p50_ms"].keys()
    assert 0 < onnx["ratio"]["low"] <= onnx["ratio"]["value"] <= onnx["ratio"]["high"]
    assert onnx["rounds"] >= 20
    assert onnx["for_speed"] is True
    if sys.platform != "darwin":  # MIL's meaning is no speed of Core ML
        assert coreml == {"not_run": "not timed: Core ML predicts on macOS only"}
    assert sorted(path.name for path in out.iterdir()) == sorted([*entries, "manifest.json"])


@pytest.mark.slow
def test_what_several_destinations_cost_on_the_cpu(tmp_path: Path) -> None:
    job = replace(tiny_job("int8"), portable=True)
    path = tmp_path / "tiny.onnx"
    FORMATS["onnx"].convert(job, path)
    cost = cpu_cost(job, "onnx", path)
    assert cost.p50_ms is not None
    assert cost.ratio is not None
    assert 0 < cost.ratio.low <= cost.ratio.value <= cost.ratio.high
    expected = cost.p50_ms["several"] / cost.p50_ms["alone"]
    assert cost.ratio.value == pytest.approx(expected, rel=0.1)  # medians of few microseconds
    source, out = tmp_path / "tiny.pt2", tmp_path / "out"
    save_program(source, Program(tiny_spec(), "w8a8", module=network("int8")))  # type: ignore[arg-type]
    for options, timed in (
        (ConversionOptions(destinations=("cpu", "snapdragon")), True),
        (ConversionOptions(destinations=("cpu", "snapdragon"), timing=False), False),
        (ConversionOptions(destinations=("snapdragon",)), False),
    ):
        (made,) = convert_files(source, ["onnx"], ["int8"], out, options, force=True)
        (entry,) = read_manifest(out).values()
        assert (entry.cpu_cost is not None and entry.cpu_cost.ratio is not None) is timed
        line = cost_on_cpu(made) or ""
        assert ("times the time of one for the CPU alone here" in line) is timed
        assert line.endswith(": --no-timing") is (not timed and "cpu" in options.destinations)


def test_a_file_that_costs_nothing_is_the_same_file(tmp_path: Path) -> None:
    spec, path = tiny_spec(), tmp_path / "tiny.onnx"
    # TensorRT's form, which has no rewrites that are for CPUs alone.
    program = calibrate_network(
        network("fp32"), spec, images(spec.input), method="minmax", scheme="w8a8_symmetric"
    )
    job = Job(program.module, Metadata(spec, "app", "int8"), portable=True)
    FORMATS["onnx"].convert(job, path)
    assert cpu_cost(job, "onnx", path) == CpuCost(same=True)


SLOW = Speed(
    runtime="ONNX Runtime 1.0",
    machine="Linux x86_64, Some CPU",
    p50_ms={"int8": 3.0, "fp32": 2.0, "fp16": 2.5},
    ratio=Estimate(value=1.5, low=1.4, high=1.6),
    slower=True,
    advice="fp32",
)


@pytest.mark.parametrize(
    ("portable", "for_speed", "code", "advice"),
    [
        (False, True, 1, "Use --precision fp32."),
        (False, False, 0, "Use --precision fp32."),
        (True, False, 0, "It is for other processors: measure it there."),
    ],
)
def test_convert_says_where_int8_loses(
    portable: bool,
    for_speed: bool,
    code: int,
    advice: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no success, unless the scheme is for size or accuracy, or the file for elsewhere."""
    made = Artifact(
        path=Path("a-int8.onnx"),
        target="onnx",
        precision="int8",
        io="app",
        sha256="",
        size_bytes=10,
        conversion_s=1.0,
        speed=SLOW.model_copy(update={"for_speed": for_speed}),
        destinations=("gpu",) if portable else ("cpu",),
    )
    monkeypatch.setattr("edgeskin.converters.from_source.convert", lambda *args, **options: [made])
    assert run(["convert", "program.pt2", "--out", "out"]) == code
    shown = capsys.readouterr()
    assert "3.00 (2.00)" in shown.out
    assert shown.err == (
        "edgeskin: a-int8.onnx is slower than float here: 3.00 ms, fp32 2.00 ms, fp16 2.50 ms "
        "(1.50 times fp32, 95 % interval 1.40 to 1.60; ONNX Runtime 1.0, one thread, "
        f"Linux x86_64, Some CPU). {advice}\n"
    )
