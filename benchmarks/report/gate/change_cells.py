"""Changes as the cells of a table, for the terminal and for Markdown."""

from __future__ import annotations

import math

from edgeskin.benchmarks.report.gate.compare_documents import Change

COLUMNS = ("figure", "old", "new", "change", "95 % interval", "p", "gate")


def cells(change: Change) -> tuple[str, ...]:
    """One change under `COLUMNS`; `p` is the corrected one."""
    return (
        change.figure,
        value(change.old, change.unit),
        value(change.new, change.unit),
        _signed(change.change, change.change_unit),
        _interval(change),
        _p(change),
        _gate(change),
    )


def moved(change: Change) -> bool:
    """Whether a change belongs among the changed ones: it is real, or its gate is not held."""
    if change.gate is not None and change.gate.state != "held":
        return True
    return (change.real and cells(change)[1] != cells(change)[2]) or math.isnan(change.change)


def value(number: float, unit: str) -> str:
    """A figure in its unit, as many digits as one reads."""
    if unit == "operators":
        return f"{number:.0f}"
    digits = {"ratio": 4, "MB": 2, "dB": 1, "ms": 3}.get(unit, 3)
    return f"{number:.{digits}f}" + ("" if unit == "ratio" else f" {unit}")


def _signed(number: float, unit: str) -> str:
    return f"{number:+.2f}{unit}" if unit == "%" else f"{number:+.2f} {unit}"


def _interval(change: Change) -> str:
    if change.basis == "exact" or change.interval is None:
        return change.basis
    low, high = change.interval
    note = " unpaired" if change.basis == "unpaired" else ""
    return f"[{low:+.2f}, {high:+.2f}]{note}"


def _gate(change: Change) -> str:
    if change.gate is None:
        return ""
    unit = "%" if change.gate.unit == "%" else ""
    return f"{change.gate.state}, {change.gate.allowed:g}{unit} allowed"


def _p(change: Change) -> str:
    if change.corrected_p is None:
        return ""
    return "< 0.001" if change.corrected_p < 0.001 else f"{change.corrected_p:.3f}"
