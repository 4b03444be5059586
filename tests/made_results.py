"""Results as `bench` leaves them, made here: a pack, outputs, and samples whose law is known."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from samples import acne_spec

from edgeskin import __version__
from edgeskin.benchmarks import accuracy, pack
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.doubts import doubts
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import PROTOCOLS
from edgeskin.benchmarks.result import (
    ArtifactIdentity,
    BenchedDevice,
    BenchResult,
    Harness,
    Latency,
    Load,
    Operators,
    PackIdentity,
    Samples,
    Warmup,
)
from edgeskin.benchmarks.runner.request import EngineUsed
from edgeskin.benchmarks.summarize import summary_of
from edgeskin.spec import ClassificationHead
from edgeskin.subgroups import Grouping

LABELS = ("mild", "moderate", "severe")
SPEC = acne_spec(name="skin", heads=(ClassificationHead(name="severity", labels=LABELS),))


def make_pack(
    folder: Path, images: int = 400, seed: int = 0, side: int = 16, labels: tuple[str, ...] = LABELS
) -> Pack:
    """Images of noise; the float model is right on 9 of 10, and there are two groups, by tone."""
    spec = acne_spec(name="skin", heads=(ClassificationHead(name="severity", labels=labels),))
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, images)
    decided = np.where(np.arange(images) % 10 == 9, (truth + 1) % 3, truth)
    rows = _probabilities(decided)
    names = ("light", "dark")
    groups = {"tone": Grouping.of([names[i % 2] for i in range(images)], "as stated", names)}
    subject = pack.Subject("faces", "test", None, spec, False, {"severity": truth}, groups)
    entries = [
        pack.Entry(
            random.integers(0, 256, (side, side, 3), np.uint8),
            f"{seed:032x}{i:032x}",
            {"severity": rows[i : i + 1]},
        )
        for i in range(images)
    ]
    folder.mkdir(parents=True)
    pack.write(folder, subject, entries)
    return pack.read(folder)


def _probabilities(decided: Any) -> Any:
    return np.where(np.eye(3)[decided] == 1, 0.8, 0.1).astype(np.float32)


def outputs_with(of: Pack, flips: int = 0, noise: float = 0.01, seed: int = 0) -> dict[str, Any]:
    """The float model's outputs with a little noise; the first `flips` right ones become wrong."""
    random = np.random.default_rng(seed)
    rows = of.reference["severity"].copy()
    right = np.flatnonzero(rows.argmax(axis=1) == of.truth["severity"])[:flips]
    rows[right] = np.roll(rows[right], 1, axis=1)
    rows = rows + random.uniform(-noise, noise, rows.shape).astype(np.float32)
    return {"severity": (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)}


def make_result(
    folder: Path,
    of: Pack,
    *,
    file: str = "skin-int8.tflite",
    device: str = "host",
    flips: int = 0,
    run_ms: float | None = 10.0,
    queries: int = 1100,
    size: int = 4_000_000,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Write `DEVICE--FILE.json` and its outputs; `run_ms` is the median of a gamma law.

    Args:
        run_ms: None: not timed.
        changes: Replace whole fields of the result.
    """
    found = outputs_with(of, flips, seed=seed)
    facts = Facts(
        system="Linux 6.1", machine="aarch64", board="Board One", cpu="Cortex-A78",
        emulated=device.startswith("emulated"),
    )  # fmt: skip
    latency = None if run_ms is None else make_latency(run_ms, queries, len(of), seed)
    fields: dict[str, Any] = {
        "edgeskin": __version__,
        "artifact": ArtifactIdentity(
            name=file, sha256=hashlib.sha256(file.encode()).hexdigest(), bytes=size,
            precision=Path(file).stem.rpartition("-")[2], io="app", model=of.spec.name,
        ),
        "pack": PackIdentity(
            name="pack", sha256=of.sha256, images=len(of),
            source_sha256=tuple(item.source_sha256 for item in of.items),
        ),
        "device": BenchedDevice(**dict(facts), name=device),
        "harness": Harness(machine="x86_64", system="Linux"),
        "engine": EngineUsed(
            runtime="tflite", library="libLiteRt.so", accelerator="xnnpack",
            version="LiteRT, API of 2.3", kernels="neon", sha256={},
        ),
        "accuracy": _accuracy(of, found, flips, seed),
    }  # fmt: skip
    if latency is not None:
        fields |= {
            "protocol": PROTOCOLS["standard"],
            "latency": latency,
            "device_after": facts,
            "doubts": doubts(latency, facts, facts),
        }
    result = BenchResult(**(fields | changes))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{device.replace(':', '-')}--{file}.json"
    path.write_text(json.dumps(result.to_json()), encoding="utf-8")
    np.savez(path.with_suffix(".npz"), **found)
    return path


def _accuracy(of: Pack, found: Any, flips: int, seed: int) -> accuracy.Accuracy:
    """Of `outputs_with(of, flips, seed=seed)`; kept, for its resamples take two seconds."""
    key = (of.sha256, flips, seed)
    if key not in _ACCURACIES:
        _ACCURACIES[key] = accuracy.report(of, found, bit_equal_inputs=1.0)
    return _ACCURACIES[key]


_ACCURACIES: dict[tuple[str, int, int], accuracy.Accuracy] = {}


def make_latency(run_ms: float, queries: int, images: int, seed: int) -> Latency:
    """Queries of 0.5 ms around an inference of `run_ms` in the median, a tenth above it at most."""
    random = np.random.default_rng(seed)
    times = run_ms * (0.9 + random.gamma(4.0, 0.025, queries))
    times *= run_ms / np.median(times)
    samples = [
        {"pre_ns": 400_000, "run_ns": int(ms * 1e6), "post_ns": 100_000} for ms in times.tolist()
    ]
    return Latency(
        library_ms=2.0,
        loads=(Load(cold=True, load_ms=30.0, first_ms=2 * run_ms),),
        warmup=Warmup(runs=32, stable=True, run_ms=(run_ms,) * 32),
        summary=summary_of(samples),
        throttle_ratio=1.0,
        samples=Samples(
            image=tuple(i % images for i in range(queries)),
            at_ms=tuple(float(x) for x in np.cumsum(times)),
            read_ms=(0.1,) * queries,
            pre_ms=(0.4,) * queries,
            run_ms=tuple(times.tolist()),
            post_ms=(0.1,) * queries,
        ),
        sensors=(),
        memory_kb={"end": 60_000},
        operators=Operators(),
    )
