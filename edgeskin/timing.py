"""Several things timed side by side in one process, round by round."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Samples = dict[str, list[float]]


def interleave(
    turns: Mapping[str, Callable[[], object]], rounds: int, warmup: int
) -> dict[str, Samples]:
    """Times of each function, round by round: `cpu_ms` and `wall_ms`, without warm-up rounds.

    A turn is two calls, of which the second counts: the first brings a model's
    own weights back into the caches that the others emptied, as in a stream of
    frames. The order rotates from round to round.

    What is on one thread is best judged by the process's CPU time: on an idle
    machine it is the time on the clock, and on a busy one it leaves out the
    moments when another process had the core.
    """
    names = list(turns)
    samples: dict[str, Samples] = {name: {"cpu_ms": [], "wall_ms": []} for name in names}
    with _no_garbage_collection():
        for count in range(warmup + rounds):
            first = count % max(1, len(names))
            for name in names[first:] + names[:first]:
                run = turns[name]
                run()
                cpu, wall = time.process_time_ns(), time.perf_counter_ns()
                run()
                wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
                if count >= warmup:
                    samples[name]["cpu_ms"].append(round(cpu / 1e6, 4))
                    samples[name]["wall_ms"].append(round(wall / 1e6, 4))
    return samples


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch garbage collection off while timing, and back to what it was."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def machine() -> str:
    """The system and the processor, which say what a latency is worth elsewhere."""
    processor = platform.processor()
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        names = [s for s in listed.read_text().splitlines() if s.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return f"{platform.system()} {platform.machine()}, {processor or 'CPU unnamed'}"
