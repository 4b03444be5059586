"""Results: percentiles, doubts and operators, from events written here by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edgeskin.benchmarks import summarize
from edgeskin.benchmarks.accuracy import Accuracy, HostAgreement
from edgeskin.benchmarks.devices import Facts, open_device
from edgeskin.benchmarks.doubts import doubts as doubts_about
from edgeskin.benchmarks.doubts import unverified
from edgeskin.benchmarks.result import Assigned, Part
from edgeskin.benchmarks.runner.events import Events
from edgeskin.benchmarks.runner.request import Engine
from edgeskin.errors import RunFailed


def sensors(at_s: float, **changes: Any) -> dict[str, Any]:
    """A reading of a device on which nothing is wrong: 2 cores, idle but for us."""
    ticks = int(at_s * 100)
    return {
        "event": "sensors",
        "at_ns": int(at_s * 1e9),
        "realtime_ns": int((1_000_000 + at_s) * 1e9),
        "own_cpu_ns": int(at_s * 1e9),
        "cpu_ticks": f"cpu  {ticks} 0 0 {ticks} 0 0 0 0 0 0",
        "load": "1.00 1.00 1.00 1/100 99",
        "thermal_mc": {"thermal_zone0 cpu": 40_000},
        "clock_khz": {"cpu0": 1_800_000},
        "governor": {"cpu0": "performance"},
        "power": {"battery": {"type": "Battery", "capacity": 80}},
    } | changes


def run(run_ms: list[float], *readings: dict[str, Any], stable: bool = True) -> Events:
    """The events of a latency run whose inferences took these times."""
    events = Events()
    events.all = [
        {"event": "runtime", "version": "X 1", "library_ns": 2_000_000},
        {"event": "load", "cold": True, "load_ns": 50_000_000},
        {"event": "first", "image": 0, "pre_ns": 1, "run_ns": 9_000_000, "post_ns": 1},
        {"event": "warmup", "image": 0, "at_ns": 0, "pre_ns": 1, "run_ns": 99, "post_ns": 1},
        {"event": "warm", "runs": 1, "stable": stable},
        *readings,
        *(
            {
                "event": "sample",
                "image": i % 7,
                "at_ns": i * 10_000_000,
                "read_ns": 50_000,
                "pre_ns": 200_000,
                "run_ns": int(ms * 1e6),
                "post_ns": 10_000,
            }
            for i, ms in enumerate(run_ms)
        ),
        {"event": "memory", "when": "measured", "rss_kb": 1, "peak_kb": 2},
        {"event": "end", "ok": True},
    ]
    return events


def doubts(events: Events, after: int | None = None, **facts: Any) -> list[str]:
    before, then = Facts(**facts), Facts(thermal_status=after)
    return list(doubts_about(summarize.latency(events), before, then))


STEADY = [5.0] * 1024


def test_percentiles_are_numpy_s_and_warm_up_is_left_out() -> None:
    times = [float(x) for x in range(1, 102)]
    summary = summarize.latency(run(times)).summary
    assert summary.run.p50_ms == pytest.approx(51.0)
    assert summary.run.p90_ms == pytest.approx(91.0)  # (101 - 1) * 0.9 + 1
    assert summary.run.p99_ms == pytest.approx(100.0)
    assert summary.whole.p50_ms == pytest.approx(51.21)
    assert summary.pre.min_ms == pytest.approx(0.2)


def test_every_sample_is_kept() -> None:
    samples = summarize.latency(run([3.0, 4.0, 5.0])).samples
    assert samples.run_ms == (3.0, 4.0, 5.0)
    assert samples.at_ms == (0.0, 10.0, 20.0)
    assert samples.image == (0, 1, 2)


def test_a_quiet_run_has_no_doubts() -> None:
    assert doubts(run(STEADY, sensors(0), sensors(60))) == []


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (run(STEADY[:100]), "too few samples: 100"),
        (run(STEADY, stable=False), "unstable: warm-up"),
        (run([*STEADY, *[5.3] * 1024]), "unstable: the halves' medians are 5 and 5.3 ms"),
        (run([*STEADY, *[8.0] * 1024]), "throttled: the last tenth took 1.60 times"),
        (run(STEADY, sensors(0), sensors(9, thermal_mc={"z": 71_000})), "hot: 71 degrees"),
        (run(STEADY, sensors(0, governor={"cpu0": "schedutil"})), "governor schedutil"),
        (run(STEADY, sensors(0, power={"b": {"capacity": 12}})), "battery low: 12 %"),
        # 1000 ticks more in 10 s than our own 10 s: another core was busy all the time.
        (
            run(STEADY, sensors(0), sensors(10, cpu_ticks="cpu  2000 0 0 0 0 0 0 0 0 0")),
            "1.00 cores",
        ),
        (run(STEADY, sensors(0), sensors(9, realtime_ns=0)), "clock was set by -1000009 s"),
    ],
)
def test_each_doubt_is_said(events: Events, said: str) -> None:
    assert any(said in doubt for doubt in doubts(events)), doubts(events)


def test_an_emulated_device_and_its_problems_are_doubts() -> None:
    found = doubts(run(STEADY), emulated=True, problems=("battery at 9 %",))
    assert found[0] == "battery at 9 %"
    assert found[1].startswith("emulated")


def test_a_thermal_status_that_rose_is_a_doubt() -> None:
    """Android tells it to no program that may not ask the system's services."""
    assert doubts(run(STEADY), thermal_status=1, after=2) == [
        "throttled: Android's thermal status rose to 2"
    ]
    assert doubts(run(STEADY), thermal_status=1, after=1) == []


def test_throttle_ratio_is_last_tenth_over_first() -> None:
    times = np.linspace(10.0, 20.0, 1000)
    samples = run(list(times)).named("sample")
    # Medians of the first and last 100 of a straight line.
    assert summarize.throttle_ratio(samples) == pytest.approx(
        np.median(times[-100:]) / np.median(times[:100]), rel=1e-6
    )


def test_onnx_operators_are_summed_by_node() -> None:
    node = {"cat": "Node", "args": {"op_name": "Conv", "provider": "CPUExecutionProvider"}}
    trace = [
        {"cat": "Session", "name": "model_run", "dur": 99, "args": {}},
        {**node, "name": "conv1_kernel_time", "dur": 30},
        {**node, "name": "conv1_fence_before", "dur": 1},
        {**node, "name": "conv1_kernel_time", "dur": 50},
    ]
    [found] = summarize.onnx_operators(trace)
    assert (found["name"], found["runs"], found["total_ns"]) == ("Conv", 2, 80_000)


def test_a_cut_line_is_no_event() -> None:
    events = Events.of(
        ['{"event":"start"}', "INFO: hello", '{"event":"sample","run', "edgeskin-exit 0"]
    )
    assert [event["event"] for event in events.all] == ["start"]
    assert not events.ended_well
    with pytest.raises(RunFailed, match="INFO: hello"):
        events.check_ended(open_device("host"))


def test_a_runner_s_own_reason_is_what_is_told() -> None:
    line = json.dumps({"event": "end", "ok": False, "error": "no such model"})
    with pytest.raises(RunFailed, match="host: the program ended with code 2 .no such model."):
        Events.of([line.replace(": ", ":"), "edgeskin-exit 2"]).check_ended(open_device("host"))


NPU = Part(provider="npu", operators={"Conv": 3})
LEFT = Part(provider="CPUExecutionProvider", operators={"Resize": 1})


@pytest.mark.parametrize(
    ("accelerator", "parts", "equal", "why"),
    [
        ("none", None, 1.0, None),
        ("xnnpack", None, 0.5, None),
        ("gpu", None, 0.5, "the runtime does not say what gpu took"),
        ("qnn", (NPU, LEFT), 0.5, None),
        ("qnn", (NPU, LEFT), 1.0, "its outputs are the CPU's, bit by bit: it probably ran there"),
        ("qnn", (LEFT,), None, "npu took nothing"),
        ("qnn", (NPU,), None, None),
    ],
)
def test_whether_an_accelerator_was_used(
    accelerator: str, parts: tuple[Part, ...] | None, equal: float | None, why: str | None
) -> None:
    engine = Engine(runtime="onnx", library="lib", accelerator=accelerator)
    took = parts and Assigned(provider="npu", whole=LEFT not in parts, parts=parts)
    host = None if equal is None else HostAgreement.model_construct(bit_equal={"count": equal})
    found = Accuracy.model_construct(host=host)
    assert unverified(engine, took or None, found) == why


@pytest.mark.parametrize(
    ("counted", "why"),
    [
        ((6, 16), None),
        ((0, 16), "WebGPU took nothing"),
        (None, "WebGPU does not say how much it took"),
    ],
)
def test_a_part_that_is_only_counted(counted: tuple[int, int] | None, why: str | None) -> None:
    engine = Engine.model_construct(accelerator="webgpu")
    took = Assigned(provider="WebGPU", whole=False, counted=counted)
    assert unverified(engine, took, Accuracy.model_construct(host=None)) == why
