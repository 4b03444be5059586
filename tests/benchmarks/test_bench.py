"""The native runner on this machine: real files, both runtimes, float and INT8."""

from __future__ import annotations

import json
import platform
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskin.artifacts import read_metadata
from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.bench import bench_all, bench_artifact, result_path
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import PROTOCOLS
from edgeskin.benchmarks.report.viewers.operator_times import node_times
from edgeskin.benchmarks.result import Latency, Operators, read_result
from edgeskin.benchmarks.runner.libraries import library
from edgeskin.benchmarks.setup import Choice, Setup
from edgeskin.benchmarks.steps import Steps
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidPack, MissingSymbol, NotSupportedHere, RunFailed, UnknownName
from edgeskin.formats import format_of, open_session
from edgeskin.measured import read_measured
from edgeskin.predictor import Predictor, load
from edgeskin.preprocess import preprocess
from edgeskin.runtimes import Kernels

pytestmark = pytest.mark.slow
SHORT = replace(
    PROTOCOLS["quick"], warmup_runs=32, warmup_s=0.1, queries=40, profile_runs=3, sensor_ms=5
)
IDENTITY = {"version", "edgeskin", "artifact", "pack", "device", "harness", "engine"}
Convert = Callable[..., Path]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Device]:
    with Device(HostLink(tmp_path / "device")) as device:
        yield device


def on_python(artifact: Path, pack: Pack, kernels: Kernels = "fast") -> dict[str, Any]:
    metadata = read_metadata(artifact)
    session = open_session(artifact, kernels=kernels)
    with Predictor(metadata.spec, session, metadata.io) as predictor:
        return predictor.run_all(
            preprocess(pack.image(i), pack.spec.input) for i in range(len(pack))
        )


@pytest.mark.parametrize(
    ("target", "precision", "io", "kernels"),
    [
        ("tflite", "fp32", "app", "fast"),
        ("tflite", "int8", "app", "fast"),
        ("tflite", "int8", "tensor", "fast"),  # int8 in and out
        ("tflite", "fp32", "app", "reference"),
        ("tflite", "int8", "tensor", "reference"),
        ("onnx", "fp32", "app", "fast"),
        ("onnx", "int8", "app", "fast"),
        ("onnx", "fp32", "tensor", "fast"),
    ],
)
def test_the_device_computes_what_the_runtime_s_own_python_does(
    target: str,
    precision: str,
    io: str,
    kernels: Kernels,
    tiny_file: Convert,
    tiny_pack: Pack,
    host: Device,
    tmp_path: Path,
) -> None:
    artifact = tiny_file(target, precision, io)
    choice = Choice(accelerator="reference" if kernels == "reference" else None)
    began = datetime.now(UTC)
    result = bench_artifact(artifact, tiny_pack, host, tmp_path, protocol=SHORT, choice=choice)
    assert began < result.harness.at < datetime.now(UTC)
    images = [item.source_sha256 for item in tiny_pack.items]
    found = read_measured(result_path(tmp_path, "host", artifact)).of(artifact, images)
    for name, expected in on_python(artifact, tiny_pack, kernels).items():
        # The same version of the runtime: the same bits, by whichever API.
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    assert result.accuracy.bit_equal_inputs == 1.0
    check_latency(result.latency)
    check_operators(result.latency.operators, "onnx" if target == "onnx" else kernels)
    check_nodes(result.latency.operators, artifact)
    # The file on disk is the same document.
    assert read_result(result_path(tmp_path, "host", artifact)) == result


def check_latency(latency: Latency) -> None:
    samples = latency.samples
    assert len(samples.run_ms) == SHORT.queries
    assert [load.cold for load in latency.loads] == [True, False]
    assert all(x > 0 for part in (samples.pre_ms, samples.run_ms, samples.post_ms) for x in part)
    assert np.all(np.diff(samples.at_ms) > 0)
    assert latency.warmup.runs >= SHORT.warmup_runs
    assert len(latency.sensors) >= 3  # before and after warm-up, and at the end
    assert latency.memory_kb["measured"] >= latency.memory_kb["loaded"] > 1000


def check_operators(operators: Operators, kernels: str) -> None:
    """Which ran where: all in XNNPACK, all in TFLite itself, all in ONNX Runtime's CPU provider."""
    if kernels == "onnx":
        assert {op.provider for op in operators.plan} == {"CPUExecutionProvider"}
    elif kernels == "reference":
        assert operators.delegated == ()
        assert operators.placement.plan == operators.placement.graph
        assert len(operators.plan) == len(operators.placement.graph)
    else:
        [delegate] = operators.placement.plan
        assert delegate.name == "TfLiteXNNPackDelegate"
        assert delegate.replaces == tuple(range(len(operators.placement.graph)))
    names = [op.name for op in (operators.delegated if kernels == "fast" else operators.plan)]
    assert any("conv" in name.lower() for name in names), operators


def check_nodes(operators: Operators, artifact: Path) -> None:
    """Every product of the file has its time, whatever the runtime made of it."""
    with format_of(artifact).part("reader") as reader:
        graph = reader.read(artifact).operators
    times = node_times(operators, graph)
    products = {place for place, op in enumerate(graph) if op.role == "multiply"}
    assert products
    assert products <= times.mean_ms.keys() & times.placement.keys()
    assert times.placed_share > 0.5


def test_queries_take_the_images_in_a_random_order_each_as_often(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    result = bench_artifact(tiny_file("onnx", "fp32"), tiny_pack, host, tmp_path, protocol=SHORT)
    images = result.latency.samples.image
    counts = np.bincount(images, minlength=len(tiny_pack.members(0)))
    assert counts.max() - counts.min() <= 2  # whole rounds, but for the cut ends
    assert images[:8] != tuple(sorted(images[:8]))


def test_a_float_file_of_the_pack_s_own_model_changes_nothing(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    artifact = tmp_path / "a nurse's model.tflite"
    shutil.copy(tiny_file("tflite", "fp32"), artifact)
    [result] = bench_all([artifact], tiny_pack, host, tmp_path, protocol=None)
    accuracy = result.accuracy
    assert accuracy.changed == ()
    assert accuracy.equal_decisions["severity"] == 1.0
    for metric in accuracy.metrics.values():
        assert metric.change.value == pytest.approx(0, abs=1e-4)
    assert sum(g.images for g in accuracy.groups["severity"].groups.values()) == len(tiny_pack)
    written = json.loads(result_path(tmp_path, "host", artifact).read_text())
    assert set(written) == IDENTITY | {"accuracy"}
    assert not Path(host.link.work).exists()  # left clean


def test_a_run_that_breaks_off_goes_on_where_it_was(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    artifact = tiny_file("onnx", "int8")

    def interrupt(what: str, done: int, total: int) -> None:
        if what.endswith("images") and done == 6:  # in the second of three shards
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench_artifact(artifact, tiny_pack, host, tmp_path, protocol=None, progress=interrupt)
    assert not result_path(tmp_path, "host", artifact).exists()
    parts = next((tmp_path / ".parts").iterdir())
    before = {path.name: json.loads(path.read_text())["pid"] for path in parts.glob("*.job.json")}
    assert len(before) == 2
    seen: list[int] = []

    def watch(what: str, done: int, total: int) -> None:
        if what.endswith("images"):
            seen.append(done)

    result = bench_artifact(artifact, tiny_pack, host, tmp_path, protocol=None, progress=watch)
    assert result.accuracy.images == 12
    # The first shard was not run again, and the second's job was read, not repeated.
    assert seen == list(range(5, 13))
    assert not parts.exists()


def test_a_damaged_model_is_one_clear_line(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    artifact = tmp_path / "tiny.onnx"
    data = bytearray(tiny_file("onnx", "fp32").read_bytes())
    data[: len(data) // 4] = data[: len(data) // 4].replace(b"Conv", b"Conf")
    artifact.write_bytes(data.replace(b"Conv", b"Conf"))
    with pytest.raises(RunFailed, match="ended with code 2 .ONNX Runtime: .*Conf"):
        bench_artifact(artifact, tiny_pack, host, tmp_path / "out", protocol=None)


def test_a_foreign_library_lacks_a_symbol(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    choice = Choice(library=library("tflite", platform.machine()))
    with pytest.raises(MissingSymbol, match="undefined symbol OrtGetApiBase in libLiteRt.so"):
        bench_artifact(
            tiny_file("onnx", "fp32"), tiny_pack, host, tmp_path, protocol=None, choice=choice
        )


def test_the_gpu_s_providers_travel_with_the_runtime(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    names = {"libonnxruntime.so", "libonnxruntime_providers_shared.so"}
    names.add("libonnxruntime_providers_tensorrt.so")
    for name in names:
        (tmp_path / name).touch()
    choice = Choice(library=tmp_path / "libonnxruntime.so", accelerator="tensorrt")
    setup = Setup.of(tiny_file("onnx", "fp32"), tiny_pack, host.probe(), choice, tmp_path)
    assert set(setup.files) > names


def test_litert_s_own_api_takes_no_delegate(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    file = library("tflite", platform.machine())
    choice = Choice(library=file, accelerator="external", accelerator_library=file)
    with pytest.raises(RunFailed, match="takes no delegate such as external: pass a library"):
        bench_artifact(
            tiny_file("tflite", "fp32"), tiny_pack, host, tmp_path, protocol=None, choice=choice
        )


def test_heat_clocks_and_battery_are_read_beside_a_sustained_run(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    root = tmp_path / "board"
    for name, text in {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "45000",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1984000",
        "sys/class/power_supply/battery/capacity": "15",
        "sys/class/power_supply/battery/status": "Discharging",
        "proc/stat": "cpu  100 0 20 5000 0 0 0 0 0 0",
        "proc/loadavg": "0.10 0.20 0.30 1/99 1234",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    zone = root / "sys/class/thermal/thermal_zone0/temp"
    pushed: set[str] = set()

    def heat_later(what: str, done: int, total: int) -> None:
        if what.endswith(".request") and what not in pushed:
            pushed.add(what)
            if len(pushed) == len(tiny_pack.shards) + 1:  # that of the latency
                threading.Timer(1.0, zone.write_text, ["91000\n"]).start()

    protocol = replace(PROTOCOLS["sustained"], warmup_s=0.1, seconds=2.5, sensor_ms=100)
    settings: dict[str, Any] = {"protocol": protocol, "sensors": str(root), "progress": heat_later}
    result = bench_artifact(
        tiny_file("onnx", "int8"), tiny_pack, host, tmp_path / "out", **settings
    )
    latency = result.latency
    heat = [reading.thermal_mc["thermal_zone0 cpu-thermal"] for reading in latency.sensors]
    assert set(heat) == {45_000, 91_000}
    assert heat == sorted(heat)
    assert latency.sensors[0].clock_khz == {"cpu0": 1_984_000}
    assert latency.samples.at_ms[-1] > 2400  # the time was kept
    for doubt in ("hot: 91 degrees C", "governor schedutil", "battery low: 15 %"):
        assert any(doubt in said for said in result.doubts), result.doubts


def test_another_model_s_pack_is_refused(
    tiny_file: Convert, tiny_run: Path, phantom_set: Path, host: Device, tmp_path: Path
) -> None:
    with load(tiny_run) as reference:
        other = packs.make(reference, load_split(phantom_set, "test").take(1), tmp_path / "pack")
    with pytest.raises(InvalidPack, match="a pack of acne-test, tiny-fp32-app.onnx was made from"):
        bench_artifact(tiny_file("onnx", "fp32"), other, host, tmp_path, protocol=None)


def test_an_accelerator_that_a_runtime_has_not_is_refused(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match="onnx has no accelerator 'gpu'"):
        bench_artifact(
            tiny_file("onnx", "fp32"), tiny_pack, host, tmp_path, protocol=None,
            choice=Choice(accelerator="gpu"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ({"width": 10**9}, "1000000000 x 72"),
        ({"width": 32768, "height": 32768}, "image 0 reaches beyond the 62208 bytes of shard-000"),
        ({"offset": 2**63}, "image 0 reaches beyond the 62208 bytes of shard-000"),
        ({"offset": -1}, "image 0 reaches beyond the 62208 bytes of shard-000"),
        ({"width": 2**31}, "not readable: image 0 2147483648 72"),
    ],
)
def test_the_runner_reads_no_image_that_is_not_in_its_shard(
    place: dict[str, int],
    why: str,
    tiny_file: Convert,
    tiny_pack: Pack,
    host: Device,
    tmp_path: Path,
) -> None:
    """As no pack that is read from disk has them: the runner checks for itself."""
    first, *rest = tiny_pack.items
    spoiled = replace(tiny_pack, items=(replace(first, **place), *rest))
    with pytest.raises(RunFailed, match=why):
        bench_artifact(tiny_file("onnx", "fp32"), spoiled, host, tmp_path, protocol=None)


def test_a_name_with_a_line_break_adds_no_line_to_a_request(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    artifact = tmp_path / "tiny\nlibrary evil.so\n.onnx"
    shutil.copy(tiny_file("onnx", "fp32"), artifact)
    with pytest.raises(NotSupportedHere, match=r"'model tiny\\nlibrary evil.so.*line break"):
        bench_artifact(artifact, tiny_pack, host, tmp_path / "out", protocol=None)


def test_a_device_chooses_no_place_on_this_machine(
    tiny_file: Convert, tiny_pack: Pack, host: Device, tmp_path: Path
) -> None:
    """Of a profile that ONNX Runtime wrote there, the runner says the name."""
    (tmp_path / "secret.json").write_text("[]")
    (parts := tmp_path / "parts").mkdir()
    setup = Setup.of(tiny_file("onnx", "fp32"), tiny_pack, host.probe(), Choice(), tmp_path)
    text = setup.request(0, tiny_pack.members(0), protocol=SHORT, sensors="/")
    events = [{"event": "profile", "file": "../secret.json"}, {"event": "end", "ok": True}]
    log = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
    (parts / f"{setup.digest(text)}.jsonl").write_text(log + "edgeskin-exit 0\n")
    steps = Steps(setup, host, parts, "/", lambda what, done, total: None)
    with pytest.raises(RunFailed, match=r"'../secret.json' lies outside its folder"):
        steps.latency(SHORT)
