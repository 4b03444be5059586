"""The report for other programs: a table, a test run, and a comment of a pull request."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from edgeskin.benchmarks.report.charts import NOTHING
from edgeskin.benchmarks.report.junit import Case, junit_xml
from edgeskin.benchmarks.report.limits import CHECKS
from edgeskin.benchmarks.report.report_documents import ORDER, Report, Row
from edgeskin.benchmarks.report.result_cells import (
    AGREEMENT,
    INFERENCE,
    SIGNS,
    SIZE,
    WHOLE,
    cells,
    change_text,
    value_text,
    worst_of,
)
from edgeskin.printable import printable, unlinked

MOST_ROWS = 40
"""Of a table of Markdown: GitHub takes 65,536 characters of a comment."""
_MARKS = re.compile(r"[\\`*_\[\]#|~<>&]")
_FORMULA = ("=", "+", "-", "@")


def csv_table(report: Report) -> str:
    """A line a result, figures in full; text that a spreadsheet would compute is quoted."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    rows = [_record(row) for model in report.models for row in model.rows]
    writer.writerow(rows[0])
    for record in rows:
        writer.writerow(_safe(value) for value in record.values())
    return written.getvalue()


def _record(row: Row) -> dict[str, object]:
    times, metric, group = row.times, row.metrics.get(row.metric or ""), worst_of(row)
    change = metric.change if metric else None
    return {
        "number": row.number, "model": row.model, "file": row.file, "sha256": row.sha256,
        "target": row.target, "precision": row.precision, "device": row.device,
        "title": row.title, "engine": row.engine, "accelerator": row.accelerator,
        "pack": row.pack, "images": row.images, "size_mb": row.size_mb,
        "measured_at": row.measured_at and row.measured_at.isoformat(timespec="seconds"),
        "load_ms": times and times.load_ms, "p50_ms": times and times.p50_ms,
        "p90_ms": times and times.p90_ms, "p99_ms": times and times.p99_ms,
        "whole_p50_ms": times and times.whole_p50_ms,
        "whole_p90_ms": times and times.whole_p90_ms,
        "no_times": row.no_times, "memory_mb": row.memory_mb,
        "operators_taken": row.taken and row.taken[0], "operators": row.taken and row.taken[1],
        "metric": row.metric, "unit": metric and metric.unit,
        "float_value": metric and metric.reference, "value": metric and metric.candidate,
        "change": change and change.value, "change_low": change and change.low,
        "change_high": change and change.high,
        "worst_group_by": group and group.by, "worst_group": group and group.group,
        "worst_group_metric": group and group.metric,
        "worst_group_images": group and group.images,
        "worst_group_change": group and group.change.change.value,
        "sqnr_db": row.sqnr_db, "equal_decisions": row.equal_decisions,
        **dict.fromkeys(CHECKS), **{check.limit: check.state for check in row.checks},
        "doubts": "; ".join(row.doubts), "verdict": row.verdict, "reason": row.reason,
    }  # fmt: skip


def _safe(value: object) -> object:
    """Text as a spreadsheet should show it (OWASP, "CSV injection")."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def junit_report(report: Report) -> str:
    """A case for the verdict on each result, and one for each of its checks.

    What stops or is missed fails; what is to be looked at, unsure or not measured is skipped, with
    its sentence.
    """
    cases = [case for model in report.models for row in model.rows for case in _cases(row)]
    return junit_xml("edgeskin report", cases)


def _cases(row: Row) -> Iterator[Case]:
    group = printable(f"{row.model}.{row.file} on {row.device}")
    yield Case(
        "verdict",
        group,
        failure=row.reason if row.verdict == "stop" else None,
        skipped=row.reason if row.verdict == "look" else None,
        output=f"{row.verdict}: {row.reason}",
    )
    for check in row.checks:
        yield Case(
            check.limit,
            group,
            failure=check.line if check.state == "missed" else None,
            skipped=check.line if check.state in ("unsure", "not measured") else None,
            output=f"{check.state}: {check.line}",
        )


def markdown_summary(report: Report) -> str:
    """A verdict a model and a table of results, for a comment of a pull request."""
    rows = [row for model in report.models for row in model.rows]
    lines = [f"## {SIGNS[report.verdict]} {report.verdict}: {report.counted}", ""]
    for model in report.models:
        lines.append(
            f"- **{_text(model.model)}**: {SIGNS[model.verdict]} {model.verdict}. "
            f"{_text(model.reason)}"
        )
    lines += ["", f"| {' | '.join(_HEADER)} |", f"|{'---|' * len(_HEADER)}"]
    worst_first = sorted(rows, key=lambda row: (-ORDER.index(row.verdict), row.number))
    lines += [f"| {' | '.join(_line(row))} |" for row in worst_first[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines += ["", f"{len(rows) - MOST_ROWS} of {len(rows)} results are left out here."]
    source = _text(report.budget.source)
    lines += ["", f"Limits: {source}. Changes are against the float model, with 95 % intervals."]
    return "\n".join(lines) + "\n"


_HEADER = (
    "#", "file", "device", "verdict", "MB", "p50 / p90 / p99, ms", "whole query p50 / p90, ms",
    "metric", "change", "SQNR",
)  # fmt: skip


def _line(row: Row) -> list[str]:
    table = cells(row)
    metric = row.metrics.get(row.metric or "")
    times, doubts = table[INFERENCE].text, ", ".join(table[INFERENCE].doubts)
    return [
        str(row.number),
        f"{_text(row.file)} ({_text(row.precision)})",
        _text(row.device),
        f"{SIGNS[row.verdict]} {row.verdict}",
        table[SIZE].text,
        _text(doubts) if row.times is None else times + (f" ({_text(doubts)})" if doubts else ""),
        table[WHOLE].text,
        NOTHING if metric is None else f"{_text(row.metric or '')} {_text(value_text(metric))}",
        NOTHING if metric is None else _text(change_text(metric)),
        table[AGREEMENT].text,
    ]


def _text(text: str) -> str:
    """Text that Markdown shows as it is, and in which no name becomes a link or calls anybody."""
    return _MARKS.sub(r"\\\g<0>", unlinked(printable(text)))
