"""Samples and sensors as a trace for Perfetto (ui.perfetto.dev, trace_processor), in protobuf.

A result is a process of the trace, all of them beginning at 0. Its track of queries holds, in
order, what the runner did: read the image, and the query with its parts inside. A sensor is a
track of its own.

The sensors' clock is that of the samples, which are kept relative to the first one. The runner
reads the sensors before the warm-up, before the first sample, in between and at the end: so the
second reading stands for the first sample's begin, which it precedes by some milliseconds at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.timed_parts import timed_parts
from edgeskin.benchmarks.result import Latency, SensorReading
from edgeskin.errors import InvalidResult, MissingPackage
from edgeskin.files import atomic

if TYPE_CHECKING:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

_NS = 1e6  # in a millisecond
_SEQUENCE = 1  # all packets are of one writer
_Reading = tuple[int, float]
"""A moment on the sensors' clock in ns, and a value."""


def write_trace(found: Sequence[Found], path: Path, *, force: bool = False) -> None:
    """Write the trace of every result that was timed.

    Raises:
        InvalidResult: None was.
        MissingPackage: perfetto.
        CannotWrite: The file exists and `force` is False, or the operating system refuses.
    """
    trace = _Trace(_new_trace())
    for part in timed_parts(found):
        if part.result.latency is not None:
            trace.add(part.title, part.result.latency)
    if not trace.processes:
        raise InvalidResult(
            "no result was timed: bench with --protocol quick, standard or sustained"
        )
    with atomic(path, force=force) as fresh:
        fresh.write_bytes(trace.trace.SerializeToString())


def _new_trace() -> Trace:
    try:
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"{error.name} is not installed, which makes traces: pip install 'edgeskin[report]'"
        ) from error
    return Trace()


class _Trace:
    """A trace that grows by a process a result."""

    def __init__(self, trace: Trace):
        self.trace, self.processes, self._tracks = trace, 0, 0

    def add(self, title: str, latency: Latency) -> None:
        """The queries and the sensors of one result."""
        self.processes += 1
        process = self._track(title)
        sensors, samples = latency.sensors, latency.samples
        first_ns = round(samples.read_ms[0] * _NS) if samples.read_ms else 0
        base_ns = sensors[0].at_ns if sensors else 0
        if len(sensors) > 1:
            first_ns = max(first_ns, sensors[1].at_ns - base_ns)
        queries = self._track("queries", process)
        if len(sensors) > 1:
            warmup = f"warm-up, {latency.warmup.runs} runs"
            before_ns = first_ns - round(samples.read_ms[0] * _NS) if samples.read_ms else first_ns
            self._slice(queries, warmup, 0, before_ns)
        self._samples(queries, latency, first_ns)
        for name, unit, readings in _counters(sensors):
            track = self._track(name, process, unit)
            for at_ns, value in readings:
                self._count(track, at_ns - base_ns, value)

    def _samples(self, track: int, latency: Latency, first_ns: int) -> None:
        samples = latency.samples
        rows = zip(
            samples.image, samples.at_ms, samples.read_ms,
            samples.pre_ms, samples.run_ms, samples.post_ms, strict=True,
        )  # fmt: skip
        for image, at_ms, read_ms, *parts in rows:
            start = first_ns + round(at_ms * _NS)
            self._slice(track, "read", start - round(read_ms * _NS), start)
            end = start + sum(round(ms * _NS) for ms in parts)
            self._begin(track, "query", start, image=image)
            for name, ms in zip(("pre", "run", "post"), parts, strict=True):
                self._slice(track, name, start, start + round(ms * _NS))
                start += round(ms * _NS)
            self._end(track, end)

    def _track(self, name: str, parent: int | None = None, unit: str | None = None) -> int:
        """A new track: a process without a parent, a counter with a unit."""
        self._tracks += 1
        packet: Any = self.trace.packet.add()
        packet.trusted_packet_sequence_id = _SEQUENCE
        track = packet.track_descriptor
        track.uuid = self._tracks
        if parent is None:
            track.process.pid, track.process.process_name = self.processes, name
        else:
            track.parent_uuid, track.name = parent, name
        if unit is not None:
            track.counter.unit_name = unit
        return self._tracks

    def _slice(self, track: int, name: str, start_ns: int, end_ns: int) -> None:
        self._begin(track, name, start_ns)
        self._end(track, end_ns)

    def _begin(self, track: int, name: str, at_ns: int, **facts: int) -> None:
        event = self._event(track, at_ns)
        event.type, event.name = event.TYPE_SLICE_BEGIN, name
        for key, value in facts.items():
            annotation = event.debug_annotations.add()
            annotation.name, annotation.int_value = key, value

    def _end(self, track: int, at_ns: int) -> None:
        event = self._event(track, at_ns)
        event.type = event.TYPE_SLICE_END

    def _count(self, track: int, at_ns: int, value: float) -> None:
        event = self._event(track, at_ns)
        event.type, event.double_counter_value = event.TYPE_COUNTER, value

    def _event(self, track: int, at_ns: int) -> Any:
        packet: Any = self.trace.packet.add()
        packet.timestamp, packet.trusted_packet_sequence_id = at_ns, _SEQUENCE
        packet.track_event.track_uuid = track
        return packet.track_event


def _counters(sensors: Sequence[SensorReading]) -> Iterator[tuple[str, str, list[_Reading]]]:
    """Each sensor's name, its unit and its readings."""
    known: dict[tuple[str, str], list[_Reading]] = defaultdict(list)
    for reading in sensors:
        for zone, millidegrees in reading.thermal_mc.items():
            known[f"temperature, {zone}", "°C"].append((reading.at_ns, millidegrees / 1000))
        for core, khz in reading.clock_khz.items():
            if isinstance(khz, int):
                known[f"clock, {core}", "MHz"].append((reading.at_ns, khz / 1000))
        for supply, facts in reading.power.items():
            for name, value in facts.items():
                if isinstance(value, int):
                    known[f"power, {supply} {name}", "as the kernel says"].append(
                        (reading.at_ns, value)
                    )
    for before, after in pairwise(sensors):
        for name, share in _busy(before, after).items():
            known[name, "%"].append((before.at_ns, 100 * share))
    for (name, unit), readings in known.items():
        yield name, unit, readings


def _busy(before: SensorReading, after: SensorReading) -> dict[str, float]:
    """Shares of processor time from one reading to the next: of all cores, and ours of one."""
    found = {}
    first, last = (_ticks(reading.cpu_ticks) for reading in (before, after))
    total = sum(last) - sum(first)
    if len(first) == len(last) >= 5 and total > 0:
        idle = last[3] + last[4] - first[3] - first[4]
        found["load, all cores"] = 1 - idle / total
    if (passed := after.at_ns - before.at_ns) > 0:
        found["load, the runner, of one core"] = (after.own_cpu_ns - before.own_cpu_ns) / passed
    return found


def _ticks(line: str) -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq and steal of /proc/stat; guests are in user.

    Empty where the device does not tell.
    """
    return [int(word) for word in line.split()[1:9] if word.isdigit()]
