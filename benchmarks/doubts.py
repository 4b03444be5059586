"""What speaks against believing a result.

Of a latency heat, moving clocks, other processes, few samples; of an accelerator that nobody knows
whether it was used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeskin.benchmarks.accuracy import Accuracy
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.result import Assigned, Latency, SensorReading
from edgeskin.benchmarks.runner.request import ANYWHERE, Engine

ENOUGH_QUERIES = 1024
HOT_MC = 60_000
DRIFT = 0.03
THROTTLED = 1.10
BUSY = 0.05
BATTERY_LOW = 20
CLOCK_STEP_NS = 1_000_000_000
CPUS = (*ANYWHERE, "xnnpack")
"""Accelerators' names that are the CPU itself."""


def doubts(latency: Latency, facts: Facts, after: Facts) -> tuple[str, ...]:
    """Why these figures may be wrong, a sentence each; empty where nothing speaks against them.

    Args:
        facts: Of the device before the run; its `problems` come first.
        after: The same right after. Of that, only what no sensor of the runner sees counts.
    """
    found = list(facts.problems)
    if after.thermal_status and after.thermal_status > (facts.thermal_status or 0):
        found.append(f"throttled: Android's thermal status rose to {after.thermal_status}")
    if facts.emulated:
        found.append("emulated: numerics are the device's, times mean nothing")
    samples = latency.samples.run_ms
    if len(samples) < ENOUGH_QUERIES:
        found.append(f"too few samples: {len(samples)}, for percentiles {ENOUGH_QUERIES}")
    if not latency.warmup.stable:
        found.append("unstable: warm-up ended before two blocks of runs agreed within 2 %")
    halves = [float(np.median(part)) for part in np.array_split(samples, 2)]
    if abs(halves[1] / halves[0] - 1) > DRIFT:
        found.append(f"unstable: the halves' medians are {halves[0]:.3g} and {halves[1]:.3g} ms")
    if (ratio := latency.throttle_ratio) > THROTTLED:
        found.append(f"throttled: the last tenth took {ratio:.2f} times as long as the first")
    return (*found, *_of_sensors(latency.sensors))


def _of_sensors(sensors: Sequence[SensorReading]) -> list[str]:
    found = []
    hottest = max((t for s in sensors for t in s.thermal_mc.values()), default=0)
    if hottest > HOT_MC:
        found.append(f"hot: {hottest / 1000:.0f} degrees C while measuring")
    governors = {str(name) for s in sensors for name in s.governor.values()}
    if moving := governors - {"performance", "userspace"}:
        found.append(f"clock not fixed: governor {', '.join(sorted(moving))}")
    levels = [int(p.get("capacity", 100)) for s in sensors for p in s.power.values()]
    if levels and min(levels) < BATTERY_LOW:
        found.append(f"battery low: {min(levels)} %")
    if len(sensors) > 1:
        if (busy := background_load(sensors)) is not None and busy > BUSY:
            found.append(f"background load: other processes used {busy:.2f} cores")
        offsets_ns = [s.realtime_ns - s.at_ns for s in (sensors[0], sensors[-1])]
        if abs(step_ns := offsets_ns[1] - offsets_ns[0]) > CLOCK_STEP_NS:
            seconds = step_ns / 1e9
            found.append(
                f"the device's clock was set by {seconds:+.0f} s; durations are not affected"
            )
    return found


def background_load(sensors: Sequence[SensorReading], *, shortest_s: float = 1.0) -> float | None:
    """Cores that other processes used between the first and the last reading; None if unknown.

    From /proc/stat (ticks of 10 ms: user, nice, system, irq, softirq) minus our own CPU time.

    Args:
        shortest_s: Of readings that are closer nothing is said, in seconds: each core's ticks tell
            its load to 0.01 / seconds.
    """
    first, last = sensors[0], sensors[-1]
    busy = [[int(x) for x in s.cpu_ticks.split()[1:8]] for s in (first, last)]
    elapsed_s = (last.at_ns - first.at_ns) / 1e9
    if min(map(len, busy)) < 7 or elapsed_s < shortest_s:
        return None
    used = [sum(ticks) - ticks[3] - ticks[4] for ticks in busy]  # all but idle and iowait
    own_s = (last.own_cpu_ns - first.own_cpu_ns) / 1e9
    return max(0.0, (used[1] - used[0]) / 100 - own_s) / elapsed_s


def unverified(engine: Engine, assigned: Assigned | None, accuracy: Accuracy) -> str | None:
    """Why nobody knows that the accelerator computed the outputs; None where that is known.

    The CPU's own kernels need no proof.
    """
    if engine.accelerator in CPUS:
        return None
    host = accuracy.host
    if host is not None and host.bit_equal and all(share == 1 for share in host.bit_equal.values()):
        return "its outputs are the CPU's, bit by bit: it probably ran there"
    if assigned is None:
        return f"the runtime does not say what {engine.accelerator} took"
    if assigned.whole:
        return None
    if assigned.operators is None:
        return f"{assigned.provider} does not say how much it took"
    return None if assigned.operators[0] else f"{assigned.provider} took nothing"
