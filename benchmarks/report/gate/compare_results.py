"""Two releases side by side: what changed from OLD to NEW, by how much, and whether it matters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from edgeskin.benchmarks.report.budget import NO_LIMITS, Budget
from edgeskin.benchmarks.report.collect import collect
from edgeskin.benchmarks.report.gate.compare_documents import (
    Change,
    Comparison,
    Gates,
    Outcome,
    PairedResults,
    Reason,
)
from edgeskin.benchmarks.report.gate.figure_changes import figure_changes
from edgeskin.benchmarks.report.gate.paired_outputs import (
    PairedOutputs,
    Truths,
    paired_outputs,
    read_truths,
)
from edgeskin.benchmarks.report.gate.pairing import Side, check_packs, pair, sides
from edgeskin.benchmarks.report.gate.release_gates import BUDGET, corrected, gated, reasons
from edgeskin.benchmarks.report.limits import unheld
from edgeskin.benchmarks.report.report_rows import rows_of_results
from edgeskin.errors import InvalidPack, InvalidSpec
from edgeskin.progress import Progress, silent
from edgeskin.version import __version__


def compare(
    old: Path | str,
    new: Path | str,
    *,
    packs: Sequence[Path | str] = (),
    max_slowdown: float | None = None,
    max_drop: float | None = None,
    max_mae_rise: float | None = None,
    max_growth: float | None = None,
    max_group_gap: float | None = None,
    max_load_rise: float | None = None,
    max_memory_rise: float | None = None,
    budget: Path | str | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Comparison:
    """Hold the results of a new release against those of an old one.

    Results pair by model, format, precision, file name, device and accelerator; a pair's change
    of each figure comes with its 95 % interval, and where it can be tested with a p that is
    corrected for all tests of the comparison (Holm, 1979). A gate is missed where the change is
    beyond it and real, and "unsure" where it may be noise or the interval reaches over it:
    `release_gates` has the rule.

    Args:
        old: A result file of `bench`, or a folder of such; `new` too.
        packs: The packs that the results were measured on: accuracy is then paired image by image.
        max_slowdown: Gate in percent, on the median inference and the 90th percentile of queries.
        max_drop: Gate in points, on each metric that is a ratio.
        max_mae_rise: Gate on each other metric, in its unit.
        max_growth: Gate in percent, on the size of the file.
        max_group_gap: Gate in points, on the gap between the best and the worst group.
        max_load_rise: Gate in percent, on the time to load.
        max_memory_rise: Gate in percent, on the peak memory.
        budget: A file of limits (`edgeskin.toml`) that the new results are held against.
        strict: What is unsure is missed.

    Returns:
        `verdict` is "held", "unsure" or "missed"; with reasons in `missed` and `unsure`.

    Raises:
        InvalidResult: No results, damaged ones, those of one model on several packs, or none that
            belong together.
        InvalidPack: A pack that cannot be read, or that no result was measured on.
        InvalidSpec: A gate below 0, or a budget that cannot be read.
    """
    try:
        gates = Gates(
            max_slowdown=max_slowdown, max_drop=max_drop, max_mae_rise=max_mae_rise,
            max_growth=max_growth, max_group_gap=max_group_gap, max_load_rise=max_load_rise,
            max_memory_rise=max_memory_rise,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSpec(f"{first['loc'][0]} {first['input']}: {first['msg']}") from error
    limits = None if budget is None else Budget.load(Path(budget))
    before, after = (_sides(Path(path), limits, progress) for path in (old, new))
    check_packs(before, after)
    truths = _truths([Path(pack) for pack in packs], (*before, *after))
    pairs, unpaired = pair(before, after)
    found = []
    for done, (one, other) in enumerate(pairs, 1):
        outputs = paired_outputs(one.found, other.found)
        known = truths.get(other.row.pack)
        found.append((outputs, tuple(figure_changes(one, other, outputs, known))))
        progress("comparing", done, len(pairs))
    changes = corrected([changes for _, changes in found])
    results = tuple(
        _paired(*sides, outputs, tuple(gated(c, gates) for c in one), limits is not None)
        for sides, (outputs, _), one in zip(pairs, found, changes, strict=True)
    )
    missed, unsure = reasons(results, unpaired, gates)
    if limits is not None:
        unsure += [Reason(rule=BUDGET, line=x) for x in unheld(limits, (s.row for s in after))]
    verdict: Outcome = "missed" if missed or (strict and unsure) else "held"
    return Comparison(
        edgeskin=__version__,
        gates=gates,
        budget=None if limits is None else limits.source,
        strict=strict,
        pairs=results,
        unpaired=tuple(unpaired),
        tests=sum(c.test is not None for one in changes for c in one),
        verdict="unsure" if unsure and verdict == "held" else verdict,
        missed=tuple(missed),
        unsure=tuple(unsure),
    )


def _sides(root: Path, limits: Budget | None, progress: Progress) -> list[Side]:
    found = collect([root], progress)
    return sides(root, found, rows_of_results(found, limits or NO_LIMITS))


def _truths(packs: Sequence[Path], measured: Sequence[Side]) -> dict[str, Truths]:
    """What the packs know, by the hash that results name them by."""
    truths = {}
    for folder in packs:
        known = read_truths(folder)
        if all(side.row.pack != known.sha256 for side in measured):
            first = measured[0]
            raise InvalidPack(
                f"{folder} is pack {known.sha256[:12]}, and no result is of it: "
                f"{first.found.path} is of {first.row.pack[:12]}. Name the pack that they were "
                "measured on, as it was then"
            )
        truths[known.sha256] = known
    return truths


def _paired(
    old: Side,
    new: Side,
    outputs: PairedOutputs | None,
    changes: tuple[Change, ...],
    has_budget: bool,
) -> PairedResults:
    before, after = old.row, new.row
    heads = list(new.result.accuracy.equal_decisions)
    return PairedResults(
        model=after.model,
        file=after.file,
        old_file=before.file if before.file != after.file else None,
        target=after.target,
        precision=after.precision,
        device=after.device,
        accelerator=new.result.engine.placed,
        old_result=old.place.as_posix(),
        new_result=new.place.as_posix(),
        same_file=before.sha256 == after.sha256,
        equal_outputs=None if outputs is None else outputs.equal,
        equal_decisions={} if outputs is None else outputs.equal_decisions(heads),
        changes=changes,
        budget=after.checks if has_budget else (),
        findings=tuple(_findings(old, new)),
        remarks=tuple(_remarks(old, new, outputs)),
    )


def _findings(old: Side, new: Side) -> Iterator[str]:
    before, after = old.row, new.row
    if before.taken is not None and after.taken is not None:
        (some, of), (fewer, now) = before.taken, after.taken
        if of and now and fewer / now < some / of:
            yield (f"operators on the accelerator: {fewer} of {now}, there were {some} of {of}")
    if new.result.unverified and not old.result.unverified:
        yield f"unverified: {new.result.unverified}"
    if before.times is not None and after.times is None:
        yield f"no times, where the old result has some: {after.no_times}"
    lost = old.result.accuracy.metrics.keys() - new.result.accuracy.metrics.keys()
    if lost:
        yield f"no {', '.join(sorted(lost))}, which the old result has"


def _remarks(old: Side, new: Side, outputs: PairedOutputs | None) -> Iterator[str]:
    before, after = old.result, new.result
    if before.artifact.sha256 == after.artifact.sha256:
        yield "both are results of the very same file"
    if old.row.file != new.row.file:
        yield f"the old file is called {old.row.file}"
    if outputs is None:
        yield "the outputs (.npz) of one result are not there: they were not held side by side"
    if old.row.engine != new.row.engine:
        yield f"another runtime: {old.row.engine} before, {new.row.engine} now"
    names = [None if r.protocol is None else r.protocol.name for r in (before, after)]
    if None not in names and names[0] != names[1]:
        yield f"another protocol: {names[0]} before, {names[1]} now"
    if old.row.title != new.row.title:
        yield f"another device of the same name: {old.row.title} before, {new.row.title} now"
    for side, doubts in (("old", before.doubts), ("new", after.doubts)):
        yield from (f"{side}: {doubt}" for doubt in doubts or ())
