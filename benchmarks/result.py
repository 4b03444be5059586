"""A result: one artifact on one device, every raw sample, and what speaks against believing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeskin.benchmarks.runner.events import Event, Events
from edgeskin.errors import RunFailed

PARTS = ("pre", "run", "post")
ENOUGH_QUERIES = 1024
HOT_MC = 60_000
DRIFT = 0.03
THROTTLED = 1.10
BUSY = 0.05
BATTERY_LOW = 20
CLOCK_STEP_NS = 1_000_000_000


def latency(events: Events) -> dict[str, Any]:
    """The latency part: loads, first inferences, percentiles and every sample, of one run.

    Times are in milliseconds: `pre` from the image to the input tensor, `run` the inference,
    `post` from the outputs to the answer, `whole` their sum; `read`, the image from the file
    into memory, is no part of it. Percentiles are interpolated linearly between samples; warm-up
    is left out of them.
    """
    samples = events.named("sample")
    if not samples:
        raise RunFailed(f"the runner measured nothing: {events.last_words()}")
    return {
        "library_ms": events.one("runtime")["library_ns"] / 1e6,
        "loads": [_load(*pair) for pair in zip(events.named("load"), _firsts(events), strict=True)],
        "warmup": {**events.one("warm"), "run_ms": _ms(events.named("warmup"), "run")},
        "summary": {part: _percentiles(_ms(samples, part)) for part in (*PARTS, "whole")},
        "throttle_ratio": throttle_ratio(samples),
        "samples": {
            "image": [sample["image"] for sample in samples],
            "at_ms": [(sample["at_ns"] - samples[0]["at_ns"]) / 1e6 for sample in samples],
            **{f"{part}_ms": _ms(samples, part) for part in ("read", *PARTS)},
        },
        "sensors": events.named("sensors"),
        "memory_kb": {event["when"]: event["peak_kb"] for event in events.named("memory")},
        "operators": operators(events),
    }


def throttle_ratio(samples: Sequence[Event]) -> float:
    """Median inference of the last tenth of the samples over that of the first tenth."""
    runs = [sample["run_ns"] for sample in samples]
    tenth = max(1, len(runs) // 10)
    return float(np.median(runs[-tenth:]) / np.median(runs[:tenth]))


def operators(events: Events) -> dict[str, Any]:
    """Which operators ran where and how long, as far as the runtime tells; empty if it does not.

    Returns:
        `plan`: the operators that the runtime ran, in order, with ONNX Runtime's `provider`;
        `delegated`: those inside a TFLite delegate; `placement`: TFLite's graph before and after
        delegation. Times are `mean_ms`.
    """
    found: dict[str, Any] = {}
    for profile in events.named("profile"):
        for key, name in (("operators", "plan"), ("delegated", "delegated")):
            found[name] = [_operator(entry) for entry in profile.get(key, [])]
    for placement in events.named("placement"):
        found["placement"] = {key: placement[key] for key in ("graph", "plan")}
    return found


def onnx_operators(trace: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The nodes of ONNX Runtime's own profile (a Chrome trace), in order of their first run."""
    found: dict[str, Event] = {}
    for event in trace:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        args = event["args"]
        node = found.setdefault(
            event["name"],
            {
                "name": args["op_name"],
                "index": len(found),
                "provider": args["provider"],
                "runs": 0,
                "total_ns": 0,
            },
        )
        node["runs"] += 1
        node["total_ns"] += 1000 * int(event["dur"])
    return list(found.values())


def doubts(
    latency: Mapping[str, Any], facts: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    """Why these figures may be wrong, a sentence each; empty where nothing speaks against them.

    Args:
        latency: As `latency` gives it.
        facts: Of the device, as `probe` found it before; its `problems` come first.
        after: The same right after. Of that, only what no sensor of the runner sees counts.
    """
    found = list(facts.get("problems", ()))
    if (after.get("thermal_status") or 0) > (facts.get("thermal_status") or 0):
        found.append(f"throttled: Android's thermal status rose to {after['thermal_status']}")
    if facts.get("emulated"):
        found.append("emulated: numerics are the device's, times mean nothing")
    samples, sensors = latency["samples"]["run_ms"], latency["sensors"]
    if len(samples) < ENOUGH_QUERIES:
        found.append(f"too few samples: {len(samples)}, for percentiles {ENOUGH_QUERIES}")
    if not latency["warmup"]["stable"]:
        found.append("unstable: warm-up ended before two blocks of runs agreed within 2 %")
    halves = [float(np.median(part)) for part in np.array_split(samples, 2)]
    if abs(halves[1] / halves[0] - 1) > DRIFT:
        found.append(f"unstable: the halves' medians are {halves[0]:.3g} and {halves[1]:.3g} ms")
    if (ratio := latency["throttle_ratio"]) > THROTTLED:
        found.append(f"throttled: the last tenth took {ratio:.2f} times as long as the first")
    return [*found, *_of_sensors(sensors)]


def _of_sensors(sensors: Sequence[Event]) -> list[str]:
    found = []
    hottest = max((t for s in sensors for t in s["thermal_mc"].values()), default=0)
    if hottest > HOT_MC:
        found.append(f"hot: {hottest / 1000:.0f} degrees C while measuring")
    governors = {name for s in sensors for name in s["governor"].values()}
    if moving := governors - {"performance", "userspace"}:
        found.append(f"clock not fixed: governor {', '.join(sorted(moving))}")
    levels = [p.get("capacity", 100) for s in sensors for p in s["power"].values()]
    if levels and min(levels) < BATTERY_LOW:
        found.append(f"battery low: {min(levels)} %")
    if len(sensors) > 1:
        if (busy := background_load(sensors)) is not None and busy > BUSY:
            found.append(f"background load: other processes used {busy:.2f} cores")
        elapsed = [sensors[-1][key] - sensors[0][key] for key in ("at_ns", "realtime_ns")]
        if abs(elapsed[1] - elapsed[0]) > CLOCK_STEP_NS:
            seconds = (elapsed[1] - elapsed[0]) / 1e9
            found.append(
                f"the device's clock was set by {seconds:+.0f} s; durations are not affected"
            )
    return found


def background_load(sensors: Sequence[Event]) -> float | None:
    """Cores that other processes used between the first and the last reading; None if unknown.

    From /proc/stat (ticks of 10 ms: user, nice, system, irq, softirq) minus our own CPU time.
    """
    first, last = sensors[0], sensors[-1]
    busy = [[int(x) for x in s["cpu_ticks"].split()[1:8]] for s in (first, last)]
    elapsed_s = (last["at_ns"] - first["at_ns"]) / 1e9
    if min(map(len, busy)) < 7 or elapsed_s < 1:
        return None
    used = [sum(ticks) - ticks[3] - ticks[4] for ticks in busy]  # all but idle and iowait
    own_s = (last["own_cpu_ns"] - first["own_cpu_ns"]) / 1e9
    return max(0.0, (used[1] - used[0]) / 100 - own_s) / elapsed_s


def _firsts(events: Events) -> list[Event]:
    return events.named("first")


def _load(load: Event, first: Event) -> dict[str, Any]:
    return {
        "cold": load["cold"],
        "load_ms": load["load_ns"] / 1e6,
        "first_ms": first["run_ns"] / 1e6,
    }


def _operator(entry: Mapping[str, Any]) -> dict[str, Any]:
    mean_ms = entry["total_ns"] / max(1, entry["runs"]) / 1e6
    told = {key: entry[key] for key in ("name", "index", "provider") if key in entry}
    return {**told, "mean_ms": mean_ms}


def _ms(samples: Sequence[Event], part: str) -> list[float]:
    if part == "whole":
        return [sum(sample[f"{p}_ns"] for p in PARTS) / 1e6 for sample in samples]
    return [sample[f"{part}_ns"] / 1e6 for sample in samples]


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return {
        "p50_ms": float(p50),
        "p90_ms": float(p90),
        "p99_ms": float(p99),
        "mean_ms": float(np.mean(values)),
        "min_ms": float(np.min(values)),
    }
