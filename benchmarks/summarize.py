"""The latency part of a result, from the runner's events."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeskin.benchmarks.result import (
    CPU,
    Assigned,
    Latency,
    Load,
    Operators,
    OperatorTime,
    Part,
    Percentiles,
    Placement,
    Samples,
    SensorReading,
    Summary,
    Warmup,
)
from edgeskin.benchmarks.runner.events import Event, Events
from edgeskin.errors import RunFailed

PARTS = ("pre", "run", "post")


def latency(events: Events) -> Latency:
    """Loads, first inferences, percentiles and every sample of one run.

    Raises:
        RunFailed: The runner measured nothing.
    """
    samples = events.named("sample")
    if not samples:
        raise RunFailed(f"the runner measured nothing: {events.last_words()}")
    pairs = zip(events.named("load"), events.named("first"), strict=True)
    return Latency(
        library_ms=events.one("runtime")["library_ns"] / 1e6,
        loads=tuple(_load(load, first) for load, first in pairs),
        warmup=_warmup(events),
        summary=summary_of(samples),
        throttle_ratio=throttle_ratio(samples),
        samples=_samples(samples),
        sensors=tuple(SensorReading.from_json(event) for event in events.named("sensors")),
        memory_kb={event["when"]: event["peak_kb"] for event in events.named("memory")},
        operators=operators(events),
    )


def summary_of(samples: Sequence[Event]) -> Summary:
    """Percentiles of each part of the queries, and of their sum."""
    return Summary(
        pre=_percentiles(_ms(samples, "pre")),
        run=_percentiles(_ms(samples, "run")),
        post=_percentiles(_ms(samples, "post")),
        whole=_percentiles(_ms(samples, *PARTS)),
    )


def throttle_ratio(samples: Sequence[Event]) -> float:
    """Median inference of the last tenth of the samples over that of the first tenth."""
    runs = [sample["run_ns"] for sample in samples]
    tenth = max(1, len(runs) // 10)
    return float(np.median(runs[-tenth:]) / np.median(runs[:tenth]))


def operators(events: Events) -> Operators:
    """What the last profile and the last placement of the run say; empty where there is none."""
    plan, delegated, placement = None, None, events.last("placement")
    if profile := events.last("profile"):
        plan, delegated = (
            tuple(map(_operator, profile.get(key, ()))) for key in ("operators", "delegated")
        )
    return Operators(
        plan=plan,
        delegated=delegated,
        placement=Placement(graph=placement["graph"], plan=placement["plan"])
        if placement
        else None,
    )


def assigned(events: Events) -> Assigned | None:
    """What the accelerator took, where the runtime says so."""
    if (told := events.last("assigned")) is None:
        return None
    if "whole" in told:
        return _by_litert(told, events.noise)
    parts = [
        Part(provider=part["provider"], operators=dict(Counter(part["operators"])))
        for part in told["parts"]
    ]
    return Assigned(
        provider=told["provider"],
        whole=bool(parts) and all(part.provider != CPU for part in parts),
        parts=tuple(sorted(parts, key=lambda part: part.provider == CPU)),
    )


_REFUSED = "Following operations are not supported by GPU delegate:"
_SPLIT = re.compile(r"operations will run on the GPU, and .* (\d+) operations will run on the CPU")


def _by_litert(told: Event, noise: Sequence[str]) -> Assigned:
    """LiteRT's API says whether the GPU took all; its delegate prints the rest when it does not."""
    count: int = told["operators"]
    because: dict[str, None] = {}  # each session says it again
    left, listing = 0 if told["whole"] else None, False
    for line in noise:
        if split := _SPLIT.search(line):
            left, listing = int(split[1]), False
        elif line.endswith(_REFUSED):
            listing = True
        elif listing:
            because[line] = None
    return Assigned(
        provider=told["provider"],
        whole=told["whole"],
        counted=None if left is None else (count - left, count),
        left_because=tuple(because),
    )


def onnx_operators(trace: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The nodes of ONNX Runtime's own profile (a Chrome trace), in order of their first run."""
    found: dict[str, Event] = {}
    for event in trace:
        if event.get("cat") != "Node" or not event["name"].endswith(_KERNEL):
            continue
        args = event["args"]
        node = found.setdefault(
            event["name"],
            {
                "name": args["op_name"],
                "node": event["name"].removesuffix(_KERNEL),
                "index": len(found),
                "provider": args["provider"],
                "runs": 0,
                "total_ns": 0,
            },
        )
        node["runs"] += 1
        node["total_ns"] += 1000 * int(event["dur"])
    return list(found.values())


_KERNEL = "_kernel_time"


def _load(load: Event, first: Event) -> Load:
    return Load(cold=load["cold"], load_ms=load["load_ns"] / 1e6, first_ms=first["run_ns"] / 1e6)


def _warmup(events: Events) -> Warmup:
    warm, runs = events.one("warm"), events.named("warmup")
    return Warmup(runs=warm["runs"], stable=warm["stable"], run_ms=_ms(runs, "run"))


def _samples(samples: Sequence[Event]) -> Samples:
    return Samples(
        image=tuple(sample["image"] for sample in samples),
        at_ms=tuple((sample["at_ns"] - samples[0]["at_ns"]) / 1e6 for sample in samples),
        read_ms=_ms(samples, "read"),
        pre_ms=_ms(samples, "pre"),
        run_ms=_ms(samples, "run"),
        post_ms=_ms(samples, "post"),
    )


def _operator(entry: Mapping[str, Any]) -> OperatorTime:
    return OperatorTime(
        name=entry["name"],
        index=entry.get("index"),
        provider=entry.get("provider"),
        node=entry.get("node"),
        mean_ms=entry["total_ns"] / max(1, entry["runs"]) / 1e6,
    )


def _ms(samples: Sequence[Event], *parts: str) -> tuple[float, ...]:
    """The sum of these parts, of each sample."""
    return tuple(sum(sample[f"{part}_ns"] for part in parts) / 1e6 for sample in samples)


def _percentiles(values: Sequence[float]) -> Percentiles:
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return Percentiles(
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        mean_ms=float(np.mean(values)),
        min_ms=float(np.min(values)),
    )
