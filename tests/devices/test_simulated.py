"""Accelerators by their makers' own software: what they take, what they compute, who is refused."""

from __future__ import annotations

import copy
import os
import platform
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import torch
from qualcomm import npu
from simulated_gpu import need_simulated_gpu
from timm.models.edgenext import CrossCovarianceAttn, PositionalEncodingFourier
from tiny_network import tiny_job
from torch import Tensor, nn

import edgeskin
from edgeskin.artifacts import Precision, read_metadata
from edgeskin.benchmarks import steps
from edgeskin.benchmarks.bench import bench_all
from edgeskin.benchmarks.devices import Device
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.devices.simulated import SIMULATORS, SimulatedLink
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.placement import place
from edgeskin.benchmarks.protocol import PROTOCOLS
from edgeskin.benchmarks.result import BenchResult, read_result
from edgeskin.benchmarks.runner.events import Events
from edgeskin.benchmarks.summarize import assigned
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.cli.bench import _of_accelerator
from edgeskin.converters.selfcheck import images
from edgeskin.errors import DeviceLost, MissingPackage, NotSupportedHere, RunFailed, UnknownName
from edgeskin.formats import FORMATS, read_network
from edgeskin.formats.network import COMPILED
from edgeskin.verbs import try_on

Convert = Callable[..., Path]


@pytest.fixture(scope="module")
def gpu() -> None:
    need_simulated_gpu()


def on(what: str, artifact: Path, pack: Pack, out: Path) -> BenchResult:
    with Device(SimulatedLink(what, out / "work")) as device:
        [result] = bench_all([artifact], pack, device, out, protocol=PROTOCOLS["quick"])
    [path] = out.glob("*.json")
    assert read_result(path) == result
    assert result.latency is None  # its times mean nothing
    assert result.device.simulated.startswith(what)
    assert result.accuracy.bit_equal_inputs == 1.0
    return result


def lowest_db(result: BenchResult) -> float:
    assert result.accuracy.host is not None
    return min(part.sqnr_db for part in result.accuracy.host.agreement.values())


def portable(precision: Precision, folder: Path) -> Path:
    path = folder / f"tiny-{precision}.onnx"
    FORMATS["onnx"].convert(replace(tiny_job(precision), portable=True), path)
    return path


@npu
@pytest.mark.slow
def test_the_npu_takes_a_portable_int8_file_whole(tiny_pack: Pack, tmp_path: Path) -> None:
    result = on("htp", portable("int8", tmp_path), tiny_pack, tmp_path / "out")
    assert result.assigned is not None
    assert result.assigned.whole
    assert result.assigned.left.total() == 0
    assert result.assigned.taken["Conv"] > 0
    assert lowest_db(result) >= 30
    lines = _of_accelerator(result)
    total = result.assigned.taken.total()
    assert lines[0] == f"qnn.virtual took {total} of {total} operators"
    assert "simulated" in lines[-1]


@npu
@pytest.mark.slow
def test_the_npu_refuses_what_was_made_for_this_cpu(
    tiny_file: Convert, tiny_pack: Pack, tmp_path: Path
) -> None:
    with pytest.raises(RunFailed, match="ONNX Runtime: "):
        on("htp", tiny_file("onnx", "int8"), tiny_pack, tmp_path / "out")


@npu
@pytest.mark.slow
def test_float_in_the_npu_is_float16(tiny_pack: Pack, tmp_path: Path) -> None:
    result = on("htp:SM8750", portable("fp32", tmp_path), tiny_pack, tmp_path / "out")
    assert result.assigned is not None
    assert result.assigned.whole
    assert result.device.simulated == "htp:SM8750"
    assert 40 <= lowest_db(result) < 110


@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
def test_the_gpu_computes_in_float16_unless_asked(
    tiny_file: Convert, tiny_pack: Pack, tmp_path: Path
) -> None:
    artifact = tiny_file("tflite", "fp32")
    half = on("gpu", artifact, tiny_pack, tmp_path / "half")
    full = on("gpu:fp32", artifact, tiny_pack, tmp_path / "full")
    assert half.assigned is not None
    assert half.assigned.whole
    assert half.device.simulated == "gpu:fp16"
    assert 35 < lowest_db(half) < lowest_db(full) - 20


@npu
@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
def test_placement_runs_nothing(tiny_file: Convert, tmp_path: Path) -> None:
    npu = place(portable("int8", tmp_path), "htp:SM8650")
    assert npu.whole
    assert npu.taken["Conv"] > 0
    gpu = place(tiny_file("tflite", "fp32"), "gpu")
    assert gpu.whole
    assert gpu.parts is None
    count = len(read_network(tiny_file("tflite", "fp32")).operators)
    assert gpu.operators == (count, count)
    assert (npu.partitions, gpu.partitions) == (1, 1)
    assert try_on(portable("int8", tmp_path), "snapdragon").whole
    assert try_on(tiny_file("tflite", "int8"), "snapdragon:SM8850").whole
    refused = try_on(tiny_file("onnx", "int8"), "snapdragon")
    assert refused.whole is False
    assert "ONNXRuntimeError" in refused.reason


@npu
@pytest.mark.slow
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_a_file_compiled_for_a_chip(
    target: str, tiny_file: Convert, tiny_pack: Pack, tmp_path: Path
) -> None:
    source = portable("int8", tmp_path) if target == "onnx" else tiny_file(target, "int8")
    compiled = tmp_path / f"compiled{source.suffix}"
    tried = try_on(source, "snapdragon:SM8750", keep=compiled)
    assert tried.whole
    known = read_metadata(compiled)
    assert replace(known, compiled=None) == read_metadata(source)
    assert known.compiled is not None
    assert known.compiled.chip == "SM8750"
    assert f"QAIRT {known.compiled.sdk} for SM8750" == tried.by
    assert b"soc_type=SM8750;arch=79" in compiled.read_bytes()
    apart = on("htp:SM8750", source, tiny_pack, tmp_path / "apart")
    result = on("htp:SM8750", compiled, tiny_pack, tmp_path / "out")
    assert result.accuracy.host is None  # nothing here runs it
    assert result.accuracy.agreement == apart.accuracy.agreement
    for what in ("htp", "htp:SM8650"):
        with pytest.raises(NotSupportedHere, match="is compiled for SM8750, not for SM8"):
            on(what, compiled, tiny_pack, tmp_path / what)
    with (
        Device(HostLink(tmp_path / "work")) as host,
        pytest.raises(NotSupportedHere, match=r"compiled for SM8750: --device simulated:htp:SM87"),
    ):
        bench_all([compiled], tiny_pack, host, tmp_path / "host", protocol=None)
    audit = edgeskin.inspect(compiled)
    assert audit.metadata.precision == "int8"
    assert audit.fast_path.off == ()


class Cut(nn.Module):
    """The tiny network with a function behind its stem and behind its depthwise convolution."""

    def __init__(self, tiny: Any, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.tiny, self.function = tiny, function

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.function(self.tiny.stem(x))
        x = x + self.function(self.tiny.depthwise(x))
        features = self.tiny.pool(x).flatten(1)
        return (*(head(features) for head in self.tiny.heads), self.tiny.pixels(x))


@npu
@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "function", "left", "because"),
    [
        (
            "onnx",
            torch.sinh,
            {"Sinh": 2},
            r"Sinh node_\w+: Operators of type `Sinh` are not supported by QNN EP",
        ),
        (
            "tflite",
            torch.atan,
            {"ATAN2": 2},
            r"Atan2, operator \d+: not supported in Qualcomm Compiler",
        ),
    ],
)
def test_a_file_in_parts_is_compiled_where_they_are_allowed(
    target: str, function: Any, left: dict[str, int], because: str, tiny_pack: Pack, tmp_path: Path
) -> None:
    job = tiny_job("fp32")
    network = Cut(job.network, function).eval()
    source = tmp_path / f"source{FORMATS[target].suffix}"
    compiled = source.with_stem("compiled")
    FORMATS[target].convert(replace(job, network=network, portable=True), source)
    for allowed in (None, 2):
        tried = try_on(source, "snapdragon:SM8750", keep=compiled, max_partitions=allowed)
        # Two operators that it does not have, one behind the other, leave three parts.
        assert (tried.whole, tried.accepted, tried.partitions) == (False, False, 3)
        assert tried.left == left
        assert tried.operators == tried.taken + 2
        assert len(tried.left_because) == 2
        assert all(re.fullmatch(because, line) for line in tried.left_because)
        assert not compiled.exists()
    tried = try_on(source, "snapdragon:SM8750", keep=compiled, max_partitions=3)
    assert (tried.whole, tried.accepted) == (False, True)
    types = Counter(op.type for op in read_network(compiled).operators)
    assert sum(types[name] for name in COMPILED) == 3
    assert {name: count for name, count in types.items() if name not in COMPILED} == left
    assert read_metadata(compiled).compiled is not None
    again = try_on(compiled, "snapdragon:SM8750", max_partitions=3)
    assert (again.accepted, again.partitions, again.left) == (True, 3, left)
    if target == "onnx":
        apart = on("htp:SM8750", source, tiny_pack, tmp_path / "apart")
        result = on("htp:SM8750", compiled, tiny_pack, tmp_path / "out")
        assert apart.assigned is not None
        assert (apart.assigned.partitions, apart.assigned.left) == (3, left)
        assert result.accuracy.agreement == apart.accuracy.agreement
    else:
        with pytest.raises(NotSupportedHere, match="is not compiled whole"):
            on("htp:SM8750", compiled, tiny_pack, tmp_path / "out")


@npu
@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "because"),
    [
        ("onnx", r"Reshape \w+: refused by Qualcomm's library, error 3110"),
        (
            "tflite",
            r"Reshape, operator \d+: refused by Qualcomm's library, error 3110 "
            r"\(\[1,16,20,24\] to \[4,4,5,4,8,3\]\)",
        ),
    ],
)
def test_an_operator_that_the_npu_has_for_fewer_dimensions(
    target: str, because: str, tmp_path: Path
) -> None:
    def mixed(x: Tensor) -> Tensor:
        high = x.reshape(1, 4, 4, 5, 4, 8, 3).permute(0, 2, 1, 4, 3, 6, 5)
        return high.reshape(x.shape)

    job, source = tiny_job("fp32"), tmp_path / f"source{FORMATS[target].suffix}"
    network = Cut(job.network, mixed).eval()
    FORMATS[target].convert(replace(job, network=network, portable=True), source)
    tried = try_on(source, "snapdragon:SM8750")
    assert tried.whole is False
    assert any(re.fullmatch(because, line) for line in tried.left_because)


@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
def test_the_gpu_says_what_it_leaves_and_why(tiny_pack: Pack, tmp_path: Path) -> None:
    def xor(x: Tensor) -> Tensor:
        return torch.bitwise_xor((10 * x).to(torch.int32), 3).to(torch.float32)

    job, source = tiny_job("fp32"), tmp_path / "source.tflite"
    FORMATS["tflite"].convert(replace(job, network=Cut(job.network, xor).eval()), source)
    tried = try_on(source, "gpu")
    assert (tried.whole, tried.partitions, tried.left) == (False, None, {})
    assert tried.operators == len(read_network(source).operators)
    assert 0 < tried.taken < tried.operators - 2
    assert tried.left_because == ("BITWISE_XOR: Not supported op BITWISE_XOR",)
    result = on("gpu", source, tiny_pack, tmp_path / "out")
    assert result.assigned.operators == (tried.taken, tried.operators)
    assert _of_accelerator(result)[:2] == [
        f"WebGPU took {tried.taken} of {tried.operators} operators",
        "BITWISE_XOR: Not supported op BITWISE_XOR",
    ]
    assert result.unverified is None


class Attending(nn.Module):
    """The tiny network with EdgeNeXt's attention: five axes, L2 norms and a place made of sines."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = copy.deepcopy(network)
        self.place, self.attention = PositionalEncodingFourier(dim=16), CrossCovarianceAttn(16, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.network.stem(x)
        placed = x + self.place((1, *x.shape[2:]))
        x = x + self.attention(placed.flatten(2).mT).mT.reshape(x.shape)
        features = self.network.pool(x).flatten(1)
        return (*(4.0 * head(features) for head in self.network.heads), self.network.pixels(x))


@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_gpu_takes_attention_whole(
    precision: Precision, tiny_pack: Pack, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    job, source = tiny_job("fp32"), tmp_path / "source.tflite"
    network, spec = Attending(job.network).eval(), job.metadata.spec
    if precision == "int8":
        network = calibrate_network(network, spec, images(spec.input), method="minmax").module
    metadata = replace(job.metadata, precision=precision)
    FORMATS["tflite"].convert(
        replace(job, network=network, metadata=metadata, portable=True), source
    )
    assert try_on(source, "gpu").whole
    result = on("gpu:fp32", source, tiny_pack, tmp_path / "out")
    assert result.assigned.whole


@npu
@pytest.mark.slow
def test_another_file_of_the_same_name_is_compiled_anew(tiny_file: Convert, tmp_path: Path) -> None:
    artifact, folder = tmp_path / "model.tflite", tmp_path / "parts"
    for_npu = SIMULATORS["htp"].prepared
    shutil.copy(tiny_file("tflite", "int8"), artifact)
    first = for_npu(artifact, "SM8750", folder)
    assert for_npu(artifact, "SM8750", folder) == first
    shutil.copy(tiny_file("tflite", "fp32"), artifact)
    second = for_npu(artifact, "SM8750", folder)
    assert second != first
    assert second.read_bytes() != first.read_bytes()


@npu
@pytest.mark.slow
def test_images_run_side_by_side_and_are_taken_up(
    tiny_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, out = portable("int8", tmp_path), tmp_path / "out"
    monkeypatch.setattr(steps, "_SIDE_BY_SIDE", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    started: list[str] = []
    start = Device.start

    def counted(self: Device, *arguments: Any, **options: Any) -> Any:
        if self.name == "simulated:htp":
            started.append(options["log"])
            if len(started) == len(tiny_pack):
                raise DeviceLost("unplugged")
        return start(self, *arguments, **options)

    monkeypatch.setattr(Device, "start", counted)
    with pytest.raises(DeviceLost):
        on("htp", artifact, tiny_pack, out)
    assert not list(out.glob("*.json"))
    result = on("htp", artifact, tiny_pack, out)
    assert len(set(started)) == len(tiny_pack) >= 3
    assert len(started) <= len(tiny_pack) + 2  # the lost one again, and who ran beside it
    assert not (out / ".parts").exists() or not list((out / ".parts").iterdir())
    whole = on("htp", artifact, tiny_pack, tmp_path / "again")
    assert result.accuracy == whole.accuracy


@pytest.mark.parametrize(
    ("told", "whole", "taken", "left"),
    [
        ({"provider": "npu", "parts": []}, False, 0, {}),
        (
            {
                "provider": "npu",
                "parts": [
                    {"provider": "CPUExecutionProvider", "operators": ["Resize", "Resize"]},
                    {"provider": "npu", "operators": ["Conv", "Add", "Conv"]},
                ],
            },
            False,
            3,
            {"Resize": 2},
        ),
    ],
)
def test_what_was_taken(
    told: dict[str, Any], whole: bool, taken: int, left: dict[str, int]
) -> None:
    found = assigned(Events(all=[{"event": "assigned", **told}]))
    assert found is not None
    assert (found.whole, found.taken.total(), found.left) == (whole, taken, left)
    assert assigned(Events()) is None


@pytest.mark.parametrize(
    ("whole", "noise", "operators", "because"),
    [
        (True, [], (16, 16), ()),
        (False, [], None, ()),  # of a version that prints it in other words
        (
            False,
            [
                "INFO: Loaded.",
                "ERROR: Following operations are not supported by GPU delegate:",
                "CONV_3D: Operation is not supported.",
                "6 operations will run on the GPU, and the remaining 10 operations will run on "
                "the CPU.",
                "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
            ]
            * 2,
            (6, 16),
            ("CONV_3D: Operation is not supported.",),
        ),
        (
            False,
            [
                "ERROR: Following operations are not supported by GPU delegate:",
                "CUMSUM: Operation is not supported.",
                "No operations will run on the GPU, and all 16 operations will run on the CPU.",
            ],
            (0, 16),
            ("CUMSUM: Operation is not supported.",),
        ),
    ],
)
def test_what_litert_prints_of_the_gpu(
    whole: bool, noise: list[str], operators: tuple[int, int] | None, because: tuple[str, ...]
) -> None:
    told = {"event": "assigned", "provider": "WebGPU", "whole": whole, "operators": 16}
    found = assigned(Events(all=[told], noise=noise))
    assert found is not None
    assert (found.whole, found.operators, found.left_because) == (whole, operators, because)


@pytest.mark.usefixtures("gpu")
def test_a_file_of_another_runtime(tiny_file: Convert, tiny_pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(NotSupportedHere, match="takes tflite files"):
        on("gpu", tiny_file("onnx", "fp32"), tiny_pack, tmp_path / "out")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("tpu", "no simulator 'tpu'; there are htp, gpu"),
        ("htp:SM9999", "no chip 'SM9999'"),
        ("gpu:int4", "no GPU arithmetic 'int4'"),
    ],
)
def test_what_nobody_simulates(
    what: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(UnknownName, match=reason):
        SimulatedLink(what, tmp_path)


def test_other_machines_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(NotSupportedHere, match=r"is for Linux x86_64; this is \w+ aarch64"):
        SimulatedLink("htp", tmp_path)


def test_without_the_package_its_licence_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(MissingPackage, match=r"Qualcomm_LICENSE\.pdf.*edgeskin\[qualcomm\]"):
        SimulatedLink("htp", tmp_path)
