"""A comparison as JUnit cases: one for each gate of each pair, and for whatever else is missed."""

from __future__ import annotations

from collections.abc import Iterator

from edgeskin.benchmarks.report.gate.compare_documents import Comparison
from edgeskin.benchmarks.report.gate.release_gates import BUDGET
from edgeskin.benchmarks.report.junit import Case, junit_xml


def compare_junit(comparison: Comparison) -> str:
    """The document as text: what is missed fails, what is unsure is skipped (strict: it fails)."""
    return junit_xml("edgeskin compare", list(_cases(comparison)))


def _cases(comparison: Comparison) -> Iterator[Case]:
    for reason in comparison.missed:
        yield Case(_name(reason.rule, reason.figure), reason.title, failure=reason.line)
    for reason in comparison.unsure:
        name = _name(reason.rule, reason.figure)
        if comparison.strict:
            yield Case(name, reason.title, failure=reason.line)
        else:
            yield Case(name, reason.title, skipped=reason.line)
    for pair in comparison.pairs:
        checks = [(c.gate.limit, c.figure, c.gate) for c in pair.changes if c.gate is not None]
        checks += [(BUDGET, c.limit, c) for c in pair.budget]
        for rule, figure, check in checks:
            if check.state == "held":
                yield Case(_name(rule, figure), pair.title, output=check.line)


def _name(rule: str, figure: str) -> str:
    return f"{rule}: {figure}" if figure else rule
