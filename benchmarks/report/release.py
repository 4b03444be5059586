"""Ship, look or stop: what the checks and the doubts of a result come to, in one sentence.

- stop: a limit is missed, or the outputs are no numbers.
- look: nothing is missed, but something is not known: an interval reaches over its limit, a limit
  could not be checked or none is set for the device, a gap between groups grew, nobody knows that
  the accelerator was used, or times are in doubt that a limit is held against.
- ship: every limit is held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeskin.benchmarks.report.limits import grown_groups
from edgeskin.benchmarks.report.report_documents import (
    ORDER,
    Check,
    ModelReport,
    Row,
    Verdict,
    worst,
)
from edgeskin.benchmarks.result import BenchResult

TIMED = ("max_latency_ms", "max_memory_mb")
"""Limits that doubts of a latency speak against."""


def judge(result: BenchResult, checks: Sequence[Check], sqnr_db: float) -> tuple[Verdict, str]:
    """The verdict on one result, and its reason."""
    if math.isnan(sqnr_db):
        return "stop", "an output is no number"
    missed = [check.line for check in checks if check.state == "missed"]
    if missed:
        return "stop", _first(missed)
    reasons = [check.line for check in checks if check.state in ("unsure", "not measured")]
    if not checks:
        reasons.append("no limit is set for this device")
    if "max_group_gap" not in (check.limit for check in checks):
        reasons += grown_groups(result)
    if result.unverified:
        reasons.append(f"unverified: {result.unverified}")
    if any(check.limit in TIMED and check.state == "held" for check in checks):
        reasons += result.doubts or ()
    if reasons:
        return "look", _first(reasons)
    return "ship", "; ".join(check.line for check in checks)


def summarize(model: str, rows: Sequence[Row]) -> ModelReport:
    """The rows of a model under the worst of their verdicts."""
    verdict = worst(row.verdict for row in rows)
    chosen = [row for row in rows if row.verdict == verdict]
    return ModelReport(model=model, verdict=verdict, reason=_reason(chosen, rows), rows=tuple(rows))


def _reason(chosen: Sequence[Row], rows: Sequence[Row]) -> str:
    row = chosen[0]
    if row.verdict == ORDER[0]:
        results = "result" if len(rows) == 1 else "results"
        return f"every limit is held by {len(rows)} {results}; the first: {row.reason}"
    others = f"; {len(chosen) - 1} more such of {len(rows)}" if len(chosen) > 1 else ""
    return f"{row.file} on {row.device}: {row.reason}{others}"


def _first(reasons: Sequence[str]) -> str:
    more = len(reasons) - 1
    return reasons[0] + (f" (and {more} more)" if more else "")
