"""Results as rows of one table, model by model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgeskin.benchmarks.report.budget import NO_LIMITS, Budget
from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.limits import (
    MB,
    all_groups,
    checks,
    most_lost,
    no_times,
    peak_memory_mb,
    unheld,
)
from edgeskin.benchmarks.report.release import judge, summarize
from edgeskin.benchmarks.report.report_documents import Report, Row, Times, WorstGroup
from edgeskin.benchmarks.result import BenchResult, PipelineResult
from edgeskin.evaluation import MetricChange
from edgeskin.formats import FORMATS
from edgeskin.version import __version__


def report_on(found: Sequence[Found], budget: Budget) -> Report:
    """The report of these results, models and rows in the order of their first result."""
    models: dict[str, list[Row]] = {}
    rows = rows_of_results(found, budget)
    for row in rows:
        models.setdefault(row.model, []).append(row)
    return Report(
        edgeskin=__version__,
        budget=budget,
        models=tuple(summarize(model, each) for model, each in models.items()),
        remarks=unheld(budget, rows),
    )


def rows_of_results(found: Sequence[Found], budget: Budget = NO_LIMITS) -> list[Row]:
    """A row a result, in their order."""
    return [_row(number, one.result, budget) for number, one in enumerate(found, 1)]


def _row(number: int, result: BenchResult, budget: Budget) -> Row:
    accuracy, device = result.accuracy, result.device
    checked = checks(result, budget.on(device.name))
    sqnr_db = float(np.min([part.sqnr_db for part in accuracy.agreement.values()]))
    verdict, reason = judge(result, checked, sqnr_db)
    return Row(
        number=number,
        model=result.artifact.model,
        file=result.artifact.name,
        sha256=result.artifact.sha256,
        target=_target(result),
        precision=result.artifact.precision,
        device=device.name,
        title=device.board or device.cpu or device.machine,
        engine=_engine(result),
        accelerator=result.engine.accelerator,
        pack=result.pack.sha256,
        images=result.pack.images,
        measured_at=result.harness.at,
        size_mb=result.artifact.bytes / MB,
        times=_times(result),
        no_times=no_times(result),
        memory_mb=peak_memory_mb(result),
        taken=_taken(result),
        metric=next((c.metric for c in checked if c.metric), None) or _most_lost(accuracy.metrics),
        metrics=accuracy.metrics,
        worst_groups=tuple(_worst_groups(result)),
        sqnr_db=sqnr_db,
        equal_decisions=min(accuracy.equal_decisions.values(), default=None),
        doubts=(*_unverified(result), *(result.doubts or ())),
        checks=checked,
        verdict=verdict,
        reason=reason,
    )


def _target(result: BenchResult) -> str:
    if isinstance(result, PipelineResult):
        return "pipeline"
    name = result.artifact.name
    return next((t for t, f in FORMATS.items() if name.endswith(f.suffixes)), result.engine.runtime)


def _engine(result: BenchResult) -> str:
    used = result.engine
    accelerator = "" if used.accelerator == "none" else f", {used.accelerator}"
    return f"{used.version}{accelerator}"


def _times(result: BenchResult) -> Times | None:
    if no_times(result) is not None:
        return None
    if isinstance(result, PipelineResult):
        assert result.whole_p50_ms is not None  # or `no_times` says why
        return Times(
            load_ms=None, p50_ms=None, p90_ms=None, p99_ms=None,
            whole_p50_ms=result.whole_p50_ms, whole_p90_ms=None,
        )  # fmt: skip
    latency = result.latency
    assert latency is not None
    run, whole = latency.summary.run, latency.summary.whole
    return Times(
        load_ms=latency.loads[0].load_ms,
        p50_ms=run.p50_ms,
        p90_ms=run.p90_ms,
        p99_ms=run.p99_ms,
        whole_p50_ms=whole.p50_ms,
        whole_p90_ms=whole.p90_ms,
    )


def _taken(result: BenchResult) -> tuple[int, int] | None:
    """Operators that were taken, of all: by the provider's record, or by TFLite's delegates."""
    if (assigned := result.assigned) is not None and assigned.operators is not None:
        return assigned.operators
    placement = result.latency and result.latency.operators.placement
    if not placement:
        return None
    replaced = sum(len(node.replaces or ()) for node in placement.plan)
    return replaced, len(placement.graph)


def _most_lost(metrics: Mapping[str, MetricChange]) -> str | None:
    """Of ratios, else of the others, whose units differ."""
    return most_lost(metrics, ratio=True) or most_lost(metrics, ratio=False)


def _worst_groups(result: BenchResult) -> Iterator[WorstGroup]:
    """Of each grouping and each of its metrics."""
    for by, parts in all_groups(result).items():
        for metric in parts.gaps:
            if (found := parts.worst(metric)) is None:
                continue
            name, group = found
            change = (group.metrics or {})[metric]
            images = group.labelled(metric)
            yield WorstGroup(by=by, metric=metric, group=name, images=images, change=change)


def _unverified(result: BenchResult) -> tuple[str, ...]:
    return (f"unverified: {result.unverified}",) if result.unverified else ()
