"""The runner on emulated arm64 devices: both runtimes, float and INT8, against this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lab.jetson import Jetson
from lab.phone import Phone

from edgeskin.benchmarks.bench import bench_all, bench_artifact, result_path
from edgeskin.benchmarks.devices import Device, together
from edgeskin.benchmarks.devices.nvidia import EngineTimes
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import PROTOCOLS
from edgeskin.benchmarks.result import BenchResult, read_result

pytestmark = pytest.mark.slow
FILES = {
    "jetson": [("tflite", "fp32"), ("onnx", "int8")],
    "phone": [("tflite", "int8"), ("onnx", "fp32")],
}
NVIDIA = {
    "trtexec": """echo '[I] engine built'
        echo '[{"computeMs": 1.25, "latencyMs": 1.5}]' > trtexec-times.json""",
    "tegrastats": "while :; do echo 'RAM 2448/7620MB GR3D_FREQ 97%@[624]'; sleep 0.2; done",
}
SHORT = replace(PROTOCOLS["quick"], warmup_runs=2, warmup_s=0, queries=10, loads=1, profile_runs=2)


def test_a_board_and_a_phone_at_once(
    lab_jetson: Jetson,
    lab_phone: Phone,
    tiny_file: Callable[..., Path],
    tiny_pack: Pack,
    tmp_path: Path,
) -> None:
    devices = {lab_jetson.open(): FILES["jetson"], lab_phone.open(): FILES["phone"]}
    files = {device.name: [tiny_file(*kind) for kind in kinds] for device, kinds in devices.items()}

    def work(device: Device) -> list[BenchResult]:
        with device:
            pack = one_shard(tiny_pack)
            return bench_all(files[device.name], pack, device, tmp_path, protocol=SHORT)

    found = together(list(devices), work)
    for device, kinds in devices.items():
        results = found[device.name]
        assert isinstance(results, list), results
        for (target, precision), result in zip(kinds, results, strict=True):
            check(result, target, precision, device.name)


def test_the_cable_is_pulled_while_it_runs(
    lab_phone: Phone, tiny_file: Callable[..., Path], tiny_pack: Pack, tmp_path: Path
) -> None:
    pulled: list[str] = []

    def pull_and_plug(what: str, done: int, total: int) -> None:
        if what.endswith("images") and not pulled:
            pulled.append(what)
            lab_phone.box.stop()
            lab_phone.box.start()

    with lab_phone.open() as device:
        result = bench_artifact(
            tiny_file("tflite", "int8"),
            tiny_pack,
            device,
            tmp_path,
            protocol=None,
            progress=pull_and_plug,
        )
        device.clean()
    assert pulled
    assert result.accuracy.images == len(tiny_pack)
    assert result.accuracy.bit_equal_inputs == 1.0


def test_both_tools_beside_a_run(
    lab_jetson: Jetson, tiny_file: Callable[..., Path], tiny_pack: Pack, tmp_path: Path
) -> None:
    """The programs are stand-ins: that TensorRT builds an engine only a Jetson can show."""
    for name, lines in NVIDIA.items():
        lab_jetson.box.write(f"usr/local/bin/{name}", f"#!/bin/sh\n{lines}\n", 0o755)
    artifact = tiny_file("onnx", "fp32")
    with lab_jetson.open() as device:
        result = bench_artifact(artifact, one_shard(tiny_pack), device, tmp_path, protocol=SHORT)
        device.clean()
    for name in NVIDIA:
        lab_jetson.box.remove(f"usr/local/bin/{name}")
    assert isinstance(result.trtexec, EngineTimes)
    assert result.trtexec.compute_ms == (1.25,)
    assert result.trtexec.log == ("[I] engine built",)
    assert result.tegrastats[0]["gpu_percent"] == 97
    assert read_result(result_path(tmp_path, device.name, artifact)) == result


def one_shard(pack: Pack) -> Pack:
    """The images of the first shard alone."""
    n = len(pack.members(0))
    return replace(
        pack,
        items=pack.items[:n],
        shards=pack.shards[:1],
        truth={name: values[:n] for name, values in pack.truth.items()},
        groups={
            by: replace(grouping, labels=grouping.labels[:n])
            for by, grouping in pack.groups.items()
        },
        reference={name: values[:n] for name, values in pack.reference.items()},
    )


def check(result: BenchResult, target: str, precision: str, device: str) -> None:
    accuracy = result.accuracy
    assert result.engine.kernels == "neon"
    assert accuracy.bit_equal_inputs == 1.0, device
    # float32 in another order; int8 kernels of XNNPACK round as on x86, ONNX Runtime's may differ
    # in the last step here and there.
    limit = 100 if precision == "fp32" else 35
    for name, output in accuracy.host.agreement.items():
        assert output.sqnr_db > limit, (device, target, precision, name)
    assert len(result.latency.samples.run_ms) == SHORT.queries
    operators = result.latency.operators
    assert operators.plan or operators.delegated
    if target == "tflite":
        plan = operators.placement.plan
        assert any(op.name == "TfLiteXNNPackDelegate" for op in plan), plan
