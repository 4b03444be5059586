"""Whether a new release may go out: gates against the changes from the old one.

A gate allows a figure to be worse by so much. Of a figure with noise there are four cases:

- held: all of the 95 % interval lies within the gate.
- missed: the change is beyond the gate, and real: its test, corrected for all tests of the
  comparison, says p <= 0.05, and a time has changed by more than the quarters of either run lie
  apart. A change that is large and may be noise misses no gate.
- unsure: the change is beyond the gate and may be noise, or it is within and its interval reaches
  over the gate. More samples, or more images, tell. A gate of accuracy is unsure too where images
  could not be paired (`--pack`), whatever the interval says within the gate; and one of speed
  where other processes took the cores that a run needs.
- of time to load and peak memory, one value a run, no test is known. Memory is missed or held as it
  is. A rise of the time to load is missed where the first load and the median of the later ones
  are both beyond the gate, held where both are within, else unsure.
- missed, whatever a test says: the figure is no number, or is exact (a size) and beyond the gate;
  or no pair has what the gate is held against, for a gate that nothing passed through is no gate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from edgeskin.benchmarks.report.gate.compare_documents import (
    LEVEL,
    Change,
    Gates,
    PairedResults,
    Reason,
    Unpaired,
)
from edgeskin.benchmarks.report.gate.figure_changes import TIMES
from edgeskin.benchmarks.report.report_documents import Check, State
from edgeskin.statistics import holm, unseen_share

APPLIES: Mapping[str, Callable[[Change], bool]] = {
    "max_slowdown": lambda c: c.figure.partition(" of ")[0] in TIMES,
    "max_drop": lambda c: _is_metric(c) and c.unit == "ratio",
    "max_mae_rise": lambda c: _is_metric(c) and c.unit != "ratio",
    "max_growth": lambda c: c.figure == "size_mb",
    "max_group_gap": lambda c: " gap by " in c.figure,
    "max_load_rise": lambda c: c.figure.partition(" of ")[0] == "load_ms",
    "max_memory_rise": lambda c: c.figure == "memory_mb",
}
"""Which figures each gate of `Gates` is held against."""
OTHERS = ("sqnr_db", "equal_decisions", "operators_taken", "load_ms", "memory_mb", "size_mb")
"""Figures that are no metrics and no times."""


def corrected(pairs: Sequence[Sequence[Change]]) -> list[tuple[Change, ...]]:
    """The changes with `corrected_p`, of all tests of all pairs together."""
    tested = [c.test.p for changes in pairs for c in changes if c.test is not None]
    values = iter(holm(tested))
    return [
        tuple(
            c if c.test is None else c.model_copy(update={"corrected_p": next(values)})
            for c in changes
        )
        for changes in pairs
    ]


def gated(change: Change, gates: Gates) -> Change:
    """The change with the outcome of its gate, if one is held against it."""
    for limit, applies in APPLIES.items():
        allowed = getattr(gates, limit)
        if allowed is not None and applies(change):
            return change.model_copy(update={"gate": _check(change, limit, allowed)})
    return change


def unapplied(pairs: Sequence[PairedResults], gates: Gates) -> Iterator[Reason]:
    """Each gate that was held against nothing."""
    held = {c.gate.limit for pair in pairs for c in pair.changes if c.gate is not None}
    for limit in APPLIES:
        if getattr(gates, limit) is not None and limit not in held:
            line = f"{limit}: {_MISSING[limit]}, so that nothing was held against it"
            yield Reason(rule=limit, line=line)


_MISSING = {
    "max_slowdown": "no pair has times on both sides",
    "max_drop": "the packs have no labels of a decision",
    "max_mae_rise": "the packs have no labels of a value",
    "max_growth": "no pair has sizes",
    "max_group_gap": "the packs have no groups, or too few images in them",
    "max_load_rise": "no pair has times on both sides",
    "max_memory_rise": "no pair has times on both sides",
}
NO_NUMBER, NO_PARTNER, FINDING, BUDGET = "no_number", "no_partner", "finding", "budget"
RULES = {
    "max_slowdown": "The median inference or the 90th percentile of a query became too slow.",
    "max_drop": "A metric that is a ratio lost too many points.",
    "max_mae_rise": "An error of a value grew too much.",
    "max_growth": "The file grew too much.",
    "max_group_gap": "The best and the worst group are too much further apart.",
    "max_load_rise": "The time to load rose too much.",
    "max_memory_rise": "The peak memory rose too much.",
    BUDGET: "The new result is over a limit of edgeskin.toml.",
    NO_NUMBER: "An output is no number.",
    NO_PARTNER: "An old result has no new one.",
    FINDING: "Something else to look at, such as operators that left the accelerator.",
}
"""Why a comparison is missed or unsure, by name."""


def reasons(
    pairs: Sequence[PairedResults], unpaired: Sequence[Unpaired], gates: Gates
) -> tuple[list[Reason], list[Reason]]:
    """What is missed, and what is not known."""
    missed, unsure = list(unapplied(pairs, gates)), list[Reason]()
    for pair in pairs:
        of = {"title": pair.title, "result": pair.new_result}
        if any(c.figure == "sqnr_db" and math.isnan(c.new) for c in pair.changes):
            missed.append(Reason(rule=NO_NUMBER, line="an output is no number", **of))
        checks = [(c.gate.limit, c.figure, c.gate) for c in pair.changes if c.gate is not None]
        checks += [(BUDGET, c.limit, c) for c in pair.budget]
        for rule, figure, check in checks:
            reason = Reason(rule=rule, figure=figure, line=check.line, **of)
            if check.state == "missed":
                missed.append(reason)
            elif check.state != "held":
                unsure.append(reason)
        unsure += [Reason(rule=FINDING, line=line, **of) for line in pair.findings]
    for left in unpaired:
        if left.side == "old":
            title = f"{left.file} on {left.device}"
            unsure.append(Reason(rule=NO_PARTNER, title=title, line=left.why))
    return missed, unsure


def _is_metric(change: Change) -> bool:
    name = change.figure.partition(" of ")[0]
    return name not in (*OTHERS, *TIMES) and " gap by " not in name


def _check(change: Change, limit: str, allowed: float) -> Check:
    state, why = _state(change, allowed)
    low, high = change.loss_interval or (None, None)
    return Check(
        limit=limit,
        allowed=allowed,
        unit=change.change_unit,
        value=change.loss,
        low=low,
        high=high,
        state=state,
        line=f"{_sentence(change)}, {allowed:g}{_unit(change.change_unit)} allowed{why}",
    )


def _state(change: Change, allowed: float) -> tuple[State, str]:
    if math.isnan(change.loss):
        return "missed", ": it is no number"
    beyond = round(change.loss, 9) > allowed  # 0.81 - 0.80 is more than 0.01
    if change.doubt is not None:
        return "unsure", f": {change.doubt}"
    if change.basis == "exact":
        return ("missed" if beyond else "held"), ""
    if change.basis == "one value":
        return _state_of_one(change, allowed)
    if beyond:
        return ("missed", "") if change.real else ("unsure", _noise(change))
    if change.basis == "unpaired":
        return "unsure", ": not paired by image, --pack does that"
    if change.basis == "samples" and change.test is None:
        return "unsure", _noise(change)
    low, high = change.loss_interval or (-math.inf, math.inf)
    if change.images is not None and change.change_unit == "points":
        high += 100.0 * unseen_share(low, high, change.images)
    if round(high, 9) <= allowed:
        return "held", ""
    samples = "samples" if change.images is None else f"{change.images} images"
    return "unsure", f": the {samples} are too few to say"


def _state_of_one(change: Change, allowed: float) -> tuple[State, str]:
    low, high = change.loss_interval or (change.loss, change.loss)
    if round(low, 9) > allowed:
        return "missed", ""
    if round(high, 9) <= allowed:
        return "held", ""
    unit = _unit(change.change_unit)
    later = low if change.loss == high else high
    return "unsure", f": it may be noise, loads after the first changed by {later:+.2f}{unit}"


def _noise(change: Change) -> str:
    if change.basis == "unpaired":
        return ": not paired by image, it may be noise; --pack pairs"
    if change.test is None:
        return ": the samples are too few to say"
    if change.corrected_p is not None and change.corrected_p <= LEVEL:
        return ": it may be noise, for parts of one run lie as far apart"
    return f": it may be noise, corrected p {change.corrected_p:.2g} is over {LEVEL:g}"


def _sentence(change: Change) -> str:
    if math.isnan(change.loss):
        return change.figure
    verb = "better" if change.loss < 0 else "worse"
    amount = f"{verb} by {abs(change.loss):.2f}{_unit(change.change_unit)}"
    moved = f"{change.figure} {amount if change.loss else 'unchanged'}"
    if change.loss_interval is None or change.basis in ("exact", "one value"):
        return moved
    low, high = change.loss_interval
    return f"{moved} [{low:+.2f}, {high:+.2f}]"


def _unit(unit: str) -> str:
    return unit if unit == "%" else f" {unit}"
