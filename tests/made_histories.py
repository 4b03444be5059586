"""Histories whose law is known: what a device's results would hold, run after run.

`python tests/made_histories.py` prints the table of docs/history.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.report.history.history_documents import Better, Series, Trend
from edgeskin.benchmarks.report.history.history_folder import Stored
from edgeskin.benchmarks.report.history.trends import trends_of

NOISE = 0.0175
"""Of one run against the next, as a share: 1.5 to 2 % on a phone that nothing else runs on."""
LAWS = ("normal", "heavy")
"""Heavy: Student's t of 3 degrees, of the same standard deviation."""
_OWN = {"p50_ms": 0.3, "p90_ms": 0.5, "p99_ms": 1.5, "whole_p50_ms": 0.3, "whole_p90_ms": 0.5}
"""Noise of a figure's own beside that of the run, in parts of it."""
_OTHERS: Mapping[str, tuple[float, str, Better]] = {
    "load_ms": (5.0, "ms", "lower"),
    "memory_mb": (0.3, "MB", "lower"),
    "size_mb": (0.0, "MB", "lower"),
    "sqnr_db": (0.0, "dB", "higher"),
    "equal_decisions": (0.0, "ratio", "higher"),
    "severity_accuracy": (0.0, "ratio", "higher"),
    "severity_accuracy_loss": (0.0, "ratio", "lower"),
}
FIGURES = (*_OWN, *_OTHERS)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def series_of(figure: str) -> Series:
    return Series(
        device="adb:X1", model="skin", target="tflite", precision="int8", accelerator="xnnpack",
        pack="0" * 64, protocol="standard", figure=figure,
    )  # fmt: skip


def stored(
    figure: str, values: Sequence[float], unit: str = "ms", better: Better | None = "lower"
) -> list[Stored]:
    """A series of one value a day."""
    series = series_of(figure)
    return [
        Stored(f"{i:04d}", _START + timedelta(i), f"v{i}", False, series, unit, better, (), value)
        for i, value in enumerate(values)
    ]


def draw(random: np.random.Generator, law: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Of mean 0 and standard deviation 1."""
    if law == "heavy":
        return random.standard_t(3, shape) / np.sqrt(3.0)
    return random.standard_normal(shape)


def device(
    seed: int, runs: int, law: str = "normal", *, at: int | None = None, by: float = 0.04
) -> list[list[Stored]]:
    """The twelve figures of one file on one device; from run `at` on it is slower, `by` a share.

    Returns:
        By run, so that a history up to a run is the first of them.
    """
    random = np.random.default_rng(seed)
    shared = draw(random, law, (runs,))
    slower = np.where(np.arange(runs) >= (runs if at is None else at), 1.0 + by, 1.0)
    columns = []
    for figure, own in _OWN.items():
        noise = NOISE * (shared + own * draw(random, law, (runs,)))
        columns.append(stored(figure, (10.0 * (1.0 + noise) * slower).tolist()))
    for figure, (own, unit, better) in _OTHERS.items():
        values = 10.0 * (1.0 + NOISE * own * draw(random, law, (runs,)))
        columns.append(stored(figure, values.tolist(), unit, better))
    return [list(run) for run in zip(*columns, strict=True)]


def looks(runs: Sequence[list[Stored]], after: Sequence[int]) -> Iterator[tuple[Trend, ...]]:
    """What `history` says after so many runs."""
    for count in after:
        yield trends_of([figure for run in runs[:count] for figure in run], 0.01, "t")


def beyond(trends: Sequence[Trend]) -> bool:
    """Whether a latest value is worse than its threshold."""
    return any(trend.state == "worse" for trend in trends)


def changed(trends: Sequence[Trend]) -> bool:
    """Whether some level has changed for the worse."""
    return any(change.worse for trend in trends for change in trend.changes)


def delays(law: str, histories: int, runs: int, at: int) -> tuple[list[int], list[int]]:
    """How many runs it takes to notice 4 % from run `at` on.

    Returns:
        By history, the runs until a change is dated to within three of it, and until that or a
        value beyond its threshold; `runs` + 1 where none is.
    """
    dated, either = [], []
    for seed in range(histories):
        history = device(1000 + seed, at + runs, law, at=at)
        first = run = runs + 1
        for run, trends in enumerate(looks(history, range(at + 1, at + runs + 1)), 1):
            if beyond(trends):
                first = min(first, run)
            if any(c.worse and abs(c.index - at) <= 3 for t in trends for c in t.changes):
                break
        else:
            run = runs + 1
        dated.append(run)
        either.append(min(run, first))
    return dated, either


def alarms(law: str, histories: int, after: Sequence[int]) -> dict[str, list[list[bool]]]:
    """What is called where nothing changed, by history and by look, of the two."""
    calls: dict[str, list[list[bool]]] = {"threshold": [], "change": []}
    for seed in range(histories):
        every = list(looks(device(seed, after[-1], law), after))
        calls["threshold"].append([beyond(trends) for trends in every])
        calls["change"].append([changed(trends) for trends in every])
    return calls


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for name in LAWS:
        print(f"{name} noise of {100 * NOISE:.2f} %, {count} histories of 200 runs, 12 figures")
        dated, either = delays(name, count, 50, 150)
        for way, took in (("a change", dated), ("a change or a value beyond", either)):
            low, middle, high = np.percentile(took, (10, 50, 90), method="nearest")
            print(f"  4 % from run 151 on, {way}: {middle} runs (10 to 90 %: {low} to {high})")
        print(f"  the first slow run is beyond: {np.mean(np.array(either) == 1):.0%}")
        for way, calls in alarms(name, count, range(20, 201, 20)).items():
            share, end = np.mean(calls), np.mean(np.array(calls)[:, -1])
            print(f"  nothing planted, {way}: {share:.2%} of looks, {end:.1%} of the last ones")
        for way, calls in alarms(name, count // 8, range(9, 201)).items():
            ever = np.any(calls, axis=1).mean()
            print(f"  nothing planted, {way}, looked at after each run: {ever:.0%} of histories")
