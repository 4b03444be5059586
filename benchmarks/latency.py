"""Latency of models on this machine, measured side by side, every sample kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.predictor import Predictor


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single inferences, in the order measured; warm-up left out."""

    samples_ms: tuple[float, ...]

    @property
    def p50_ms(self) -> float:
        """Median (linear interpolation)."""
        return float(np.percentile(self.samples_ms, 50))

    @property
    def p90_ms(self) -> float:
        return float(np.percentile(self.samples_ms, 90))


def measure(
    predictors: Mapping[str, Predictor],
    pixels: Sequence[NDArray[np.uint8]],
    *,
    runs: int = 100,
    warmup_runs: int = 10,
) -> dict[str, Latency]:
    """Time preprocessed pixels to decoded outputs, batch 1, the models taking turns.

    Turns of one inference each: whatever else the machine does meanwhile falls
    on all of them alike. Monotonic clock.
    """
    samples: dict[str, list[float]] = {name: [] for name in predictors}
    for run in range(warmup_runs + runs):
        image = pixels[run % len(pixels)]
        for name, predictor in predictors.items():
            start = time.perf_counter_ns()
            predictor.run(image)
            taken = (time.perf_counter_ns() - start) / 1e6
            if run >= warmup_runs:
                samples[name].append(taken)
    return {name: Latency(tuple(values)) for name, values in samples.items()}


def main() -> None:
    """`python -m edgeskin.benchmarks.latency FILE...`: a JSON document with every sample."""
    import json
    import platform
    import sys
    from contextlib import ExitStack
    from pathlib import Path

    from edgeskin.predictor import load

    with ExitStack() as stack:
        predictors = {Path(f).name: stack.enter_context(load(f)) for f in sys.argv[1:]}
        size = next(iter(predictors.values())).spec.input
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (8, size.height, size.width, 3), np.uint8)
        found = measure(predictors, list(pixels), runs=200, warmup_runs=20)
    rows = {
        name: {
            "p50_ms": round(x.p50_ms, 3),
            "p90_ms": round(x.p90_ms, 3),
            "samples_ms": x.samples_ms,
        }
        for name, x in found.items()
    }
    machine = f"{platform.system()} {platform.machine()}, {platform.processor() or 'CPU unnamed'}"
    print(json.dumps({"machine": machine, "threads": 1, "models": rows}))


if __name__ == "__main__":
    main()
