"""Results as two Parquet tables, joined by the column `result`.

`results.parquet` has a row a result, `samples.parquet` a row a query; a pipeline has a row for the
whole and one for each stage. Columns carry their unit in their name. What a result does not tell
is null; times of an emulator or a simulator are there, and `no_times` says that they are no
device's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.limits import all_groups, no_times
from edgeskin.benchmarks.report.report_documents import Row
from edgeskin.benchmarks.report.report_rows import rows_of_results
from edgeskin.benchmarks.result import BenchResult, Percentiles, PipelineResult
from edgeskin.errors import MissingPackage
from edgeskin.evaluation import MetricChange
from edgeskin.files import atomic
from edgeskin.version import __version__

RESULTS, SAMPLES = "results.parquet", "samples.parquet"
_PARTS = ("pre", "run", "post", "whole")
_PERCENTILES = ("p50_ms", "p90_ms", "p99_ms", "mean_ms", "min_ms")
_SAMPLES = ("image", "at_ms", "read_ms", "pre_ms", "run_ms", "post_ms")


def write_tables(found: Sequence[Found], folder: Path, *, force: bool = False) -> None:
    """Write both tables into `folder`.

    Raises:
        MissingPackage: pyarrow.
        CannotWrite: A table exists and `force` is False, or the operating system refuses.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "pyarrow is not installed, which writes Parquet: pip install 'edgeskin[report]'"
        ) from error
    every = list(_every(found))
    results, samples = _schemas(pyarrow)
    rows = rows_of_results([one for one, _ in every])
    made = (_result(*one, row) for one, row in zip(every, rows, strict=True))
    tables = {
        RESULTS: pyarrow.table(_columns(results, made), schema=results),
        SAMPLES: pyarrow.table(_samples(every), schema=samples),
    }
    for name, table in tables.items():
        with atomic(folder / name, force=force) as fresh:
            parquet.write_table(table, fresh, compression="zstd")


def _every(found: Sequence[Found]) -> Iterator[tuple[Found, str]]:
    """Each result, and of a pipeline's the stages behind it, by name."""
    for one in found:
        yield one, ""
        if isinstance(one.result, PipelineResult):
            for stage, result in one.result.stages.items():
                yield Found(one.path, result), stage


def _result(found: Found, stage: str, row: Row) -> dict[str, object]:
    result = found.result
    artifact, device, engine = result.artifact, result.device, result.engine
    return {
        "result": row.number,
        "source": found.path.name,
        "edgeskin": result.edgeskin,
        "model": artifact.model,
        "stage": stage,
        "file": artifact.name,
        "sha256": artifact.sha256,
        "target": row.target,
        "precision": artifact.precision,
        "io": artifact.io,
        "size_bytes": artifact.bytes,
        "device": device.name,
        "title": row.title,
        "system": device.system,
        "machine": device.machine,
        "emulated": device.emulated,
        "simulated": device.simulated,
        "runtime": engine.runtime,
        "runtime_version": engine.version,
        "accelerator": engine.accelerator,
        "kernels": engine.kernels,
        "threads": engine.threads,
        "protocol": None if result.protocol is None else result.protocol.name,
        "no_times": no_times(result),
        **_times(result),
        "operators_taken": None if row.taken is None else row.taken[0],
        "operators": None if row.taken is None else row.taken[1],
        "pack_sha256": result.pack.sha256,
        "images": result.pack.images,
        "bit_equal_inputs": result.accuracy.bit_equal_inputs,
        "sqnr_db": row.sqnr_db,
        "equal_decisions": row.equal_decisions,
        "unverified": result.unverified,
        "doubts": list(result.doubts or ()),
        "metrics": [{"metric": n, **_change(m)} for n, m in result.accuracy.metrics.items()],
        "groups": list(_groups(result)),
    }


def _times(result: BenchResult) -> dict[str, float | None]:
    """Of a query's parts, of loading, and the peak memory; of a pipeline the whole's median."""
    if isinstance(result, PipelineResult):
        return {"whole_p50_ms": result.whole_p50_ms}
    if (latency := result.latency) is None:
        return {}
    parts: dict[str, Percentiles] = dict(latency.summary)
    return {
        "load_ms": latency.loads[0].load_ms,
        "first_ms": latency.loads[0].first_ms,
        **{f"{part}_{p}": getattr(parts[part], p) for part in _PARTS for p in _PERCENTILES},
        "throttle_ratio": latency.throttle_ratio,
        "peak_memory_kb": max(latency.memory_kb.values()),
    }


def _change(metric: MetricChange) -> dict[str, object]:
    return {
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "reference": metric.reference,
        "candidate": metric.candidate,
        "change": metric.change.value,
        "change_low": metric.change.low,
        "change_high": metric.change.high,
    }


def _groups(result: BenchResult) -> Iterator[dict[str, object]]:
    for by, parts in all_groups(result).items():
        for name, group in parts.groups.items():
            for metric, change in (group.metrics or {}).items():
                facts: dict[str, object] = {
                    "by": by,
                    "group": name,
                    "images": group.labelled(metric),
                    "metric": metric,
                }
                yield facts | _change(change)


def _samples(every: Sequence[tuple[Found, str]]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {name: [] for name in ("result", "query", *_SAMPLES)}
    for number, (found, _) in enumerate(every, 1):
        if (latency := found.result.latency) is None:
            continue
        queries = len(latency.samples.image)
        columns["result"] += [number] * queries
        columns["query"] += range(queries)
        for name in _SAMPLES:
            columns[name] += getattr(latency.samples, name)
    return columns


def _columns(schema: Any, rows: Iterator[dict[str, object]]) -> dict[str, list[object]]:
    """Rows as columns, null where a row has nothing."""
    columns: dict[str, list[object]] = {name: [] for name in schema.names}
    for row in rows:
        for name, column in columns.items():
            column.append(row.get(name))
    return columns


def _schemas(pa: Any) -> tuple[Any, Any]:
    """Of the results and of the samples."""
    whole, number, text, flag = pa.int64(), pa.float64(), pa.string(), pa.bool_()
    change = [
        ("unit", text), ("higher_is_better", flag), ("reference", number), ("candidate", number),
        ("change", number), ("change_low", number), ("change_high", number),
    ]  # fmt: skip
    group = [("by", text), ("group", text), ("images", whole), ("metric", text), *change]
    texts_before = ("source", "edgeskin", "model", "stage", "file", "sha256", "target")
    texts = ("device", "title", "system", "machine")
    engine = ("simulated", "runtime", "runtime_version", "accelerator", "kernels")
    times = [
        "load_ms", "first_ms", *(f"{part}_{p}" for part in _PARTS for p in _PERCENTILES),
        "throttle_ratio",
    ]  # fmt: skip
    results = [
        ("result", whole),
        *((name, text) for name in (*texts_before, "precision", "io")),
        ("size_bytes", whole),
        *((name, text) for name in texts),
        ("emulated", flag),
        *((name, text) for name in engine),
        ("threads", whole),
        ("protocol", text),
        ("no_times", text),
        *((name, number) for name in times),
        *((name, whole) for name in ("peak_memory_kb", "operators_taken", "operators")),
        ("pack_sha256", text),
        ("images", whole),
        *((name, number) for name in ("bit_equal_inputs", "sqnr_db", "equal_decisions")),
        ("unverified", text),
        ("doubts", pa.list_(text)),
        ("metrics", pa.list_(pa.struct([("metric", text), *change]))),
        ("groups", pa.list_(pa.struct(group))),
    ]
    samples = [("result", whole), ("query", whole), ("image", whole)]
    samples += [(name, number) for name in _SAMPLES[1:]]
    made_by = {"edgeskin": __version__}
    return pa.schema(results, metadata=made_by), pa.schema(samples, metadata=made_by)
