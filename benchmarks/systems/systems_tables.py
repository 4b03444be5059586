"""Tables of one page of the systems: Markdown that reads well as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

from edgeskin.benchmarks.peers.int8_page import grid
from edgeskin.benchmarks.systems.rows import ROWS, limit_of
from edgeskin.benchmarks.systems.systems_documents import (
    FileRow,
    JoinedFiles,
    PipelineRecord,
    SystemRecord,
)
from edgeskin.calibration.record import AccuracyControl
from edgeskin.estimate import Estimate
from edgeskin.evaluation import MetricChange
from edgeskin.formats import FORMATS
from edgeskin.subgroups import GapChange, GroupGap, Subgroups


def markdown(rows: Sequence[SystemRecord], pipelines: Sequence[PipelineRecord] = ()) -> str:
    """The tables of one page."""
    if not rows:
        return "Not measured yet."
    parts = [networks(rows), *_comparisons(rows)]
    for pair in pipelines:
        parts += [f"### Pipeline {pair.name}", *_pipeline(pair)]
        if others := [row.name for row in rows if pair.other_than(row)]:
            parts.append(f"Measured with another training of {', '.join(others)} than that below.")
    for row in rows:
        parts += [f"### {row.name}", _training(row)]
        if row.trained.test.per_class:
            parts.append(_classes(row))
        if row.files:
            parts.append(_files(row))
            parts += _groups(row.files)
    return "\n\n".join(parts)


def _pipeline(pair: PipelineRecord) -> Iterator[str]:
    """The pipeline beside whole images, and its files beside its runs."""
    counts = ", ".join(f"{count} {status}" for status, count in pair.statuses.items())
    yield (
        f"Rules `{pair.rules}` on {pair.images} test images of {pair.data}: {counts}; the last "
        f"stage saw {pair.pictures} pictures. Of the answered images, seen whole and through the "
        "pipeline:"
    )
    table = [
        (name, f"{m.reference:.4f}", f"{m.candidate:.4f}", change_words(m))
        for name, m in pair.metrics.items()
    ]
    yield grid(("metric", "whole", "pipeline", "change"), table)
    if pair.files:
        names = list(pair.files[0].metrics)
        times = TIMES if any(file.times for file in pair.files) else ()
        rows = [
            (
                file.title,
                ", ".join(f"{name} {db:.1f}" for name, db in file.stages_db.items()),
                f"{100 * file.equal_statuses:.1f} %",
                shares(file.equal_decisions),
                *(change_words(m) for m in file.metrics.values()),
                *(_stage_times(file) if times else ()),
            )
            for file in pair.files
        ]
        lost = [line for file in pair.files for line in losses(file.title, file.metrics)]
        yield f"Files beside the float pipeline. {_beyond(lost)}"
        columns = ("files", "stages, dB", "equal answers", "equal decisions", *names, *times)
        yield grid(columns, rows)
    yield from _groups(pair.files)


TIMES = ("stages, p50 ms", "join, p50 ms", "image, p50 ms")


def _stage_times(file: JoinedFiles) -> tuple[str, ...]:
    """Medians of each stage's inference, of the join, and of an image."""
    if (times := file.times) is None:
        return ("",) * len(TIMES)
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in times.stages_p50_ms.items())
    return stages, f"{times.join_p50_ms:.1f}", f"{times.whole_p50_ms:.1f}"


def _classes(row: SystemRecord) -> str:
    """Precision, sensitivity, specificity, Youden index and F1 by class.

    Empty where it has none: nothing is called so, or no test image is of the class.
    """
    columns = ("precision", "SE", "SP", "YI")
    table = []
    for head, found in row.trained.test.per_class.items():
        scores = [f1_of(*pair) for pair in zip(found.precision, found.SE, strict=True)]
        by_class = (*(getattr(found, c) for c in columns), scores)
        for i, values in enumerate(zip(*by_class, strict=True)):
            table.append((head, str(i), *map(_share, values)))
        means = (*(getattr(found, f"mean_{c}") for c in columns), sum(scores) / len(scores))
        table.append((head, "mean", *map(_share, means)))
    return grid(("head", "class", *columns, "F1"), table)


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def f1_of(precision: float, sensitivity: float) -> float:
    """2 TP / (2 TP + FP + FN) of a class: 0 where no image of it is found, `nan` of no image."""
    if sensitivity == 0.0:  # precision may be `nan` then, of a class that nothing is called
        return 0.0
    return 2.0 * precision * sensitivity / (precision + sensitivity)


def networks(rows: Sequence[SystemRecord]) -> str:
    """Every metric of each float network, with its goal."""
    table = []
    for row in rows:
        goals = ROWS[row.name].goals
        for name, found in row.trained.test.metrics.items():
            goal = f"{goals[name]:g}" if name in goals else ""
            estimate = f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"
            unit = "" if found.unit == "ratio" else found.unit
            table.append((row.name, name, estimate, unit, goal, f"{row.trained.test.images}"))
    return grid(("row", "metric", "value", "unit", "goal", "test images"), table)


def _comparisons(rows: Sequence[SystemRecord]) -> Iterator[str]:
    """Rows beside the one that they differ from in one thing."""
    compared = [(row, row.changes) for row in rows if row.changes]
    for beside, group in groupby(compared, key=lambda pair: pair[0].beside):
        found = [(row.name, changes) for row, changes in group]
        names = list(found[0][1])
        yield f"Change from `{beside}` on the same test images:"
        table = [(row, *(change_words(changes[name]) for name in names)) for row, changes in found]
        yield grid(("row", *names), table)


def _training(row: SystemRecord) -> str:
    trained = row.trained
    seconds = trained.seconds
    took = "resumed, its time not kept," if seconds is None else f"{seconds / 60:.0f} minutes"
    line = (
        f"{trained.arch} by recipe `{trained.recipe}` on {row.data}: {trained.train_images} "
        f"images, {trained.epochs} epochs, {took} on {trained.threads} "
        f"thread(s) of {row.machine}; started from {trained.started_from}"
    )
    if trained.start_seconds is not None:
        line += f", learnt in {trained.start_seconds / 60:.0f} minutes"
    line += "."
    if trained.folds:
        line += f" {len(next(iter(trained.folds.values())))}-fold cross-validation, all pooled: "
        line += "; ".join(
            f"{name} by fold {', '.join(f'{value:.3f}' for value in values)}"
            for name, values in trained.folds.items()
        )
    return line


def _files(row: SystemRecord) -> str:
    lines = []
    if row.qat:
        better = "better than" if row.qat.better else "not better than"
        lines.append(
            f"QAT ({row.qat.seconds / 60:.0f} minutes) was {better} the calibrated program: "
            f"{row.qat.line.rstrip('.')}."
        )
    if row.accuracy_control:
        lines.append(_kept(row.accuracy_control))
    lines.append(_beyond([line for f in row.files for line in losses(f.title, f.metrics)]))
    names = list(row.files[0].metrics)
    columns = ("file", "KB", "SQNR dB", "equal decisions", *names, "p50 ms", "of float")
    parts = [" ".join(lines), grid(columns, [_file(file) for file in row.files])]
    return "\n\n".join([*parts, *_in_float(row.files), *_emulated(row.files)])


def _kept(control: AccuracyControl) -> str:
    """The parts in float, what they give and what they cost."""
    kept = control.kept
    costs, weights = sum(p.multiply_adds for p in kept), sum(p.weights for p in kept)
    names = (
        ", ".join(f"`{part.part}` ({part.alone_db:.1f} dB alone in INT8)" for part in kept)
        or "nothing"
    )
    return (
        f"Kept in float in INT8 files, so that {control.images} held-out images of the "
        f"{control.split} split have {control.min_sqnr_db:g} dB: {names}; {costs:.1%} of the "
        f"multiply-adds, {weights:.1%} of the weights, {control.int8_sqnr_db:.1f} to "
        f"{control.sqnr_db:.1f} dB."
    )


def _in_float(files: Sequence[FileRow]) -> Iterator[str]:
    """What the INT8 files compute in float; a format whose files differ in it stands twice."""
    words = (
        f"{FORMATS[file.target].title} {', '.join(f'{n} {name}' for name, n in operators.items())}"
        for file in files
        if (operators := file.float_operators)
    )
    if known := list(dict.fromkeys(words)):
        yield f"In float in INT8 files: {'; '.join(known)}."


def _emulated(files: Sequence[FileRow]) -> Iterator[str]:
    """How far files agree with this machine on an emulated CPU."""
    by_cpu = dict[tuple[str, int], list[str]]()
    for file in files:
        if (on := file.emulated) is not None:
            equal = (
                f"equal {what} {shares(part)}"
                for what, part in (("decisions", on.equal_decisions), ("values", on.bit_equal))
                if part
            )
            words = f"{file.title} {', '.join((f'{on.sqnr_db:.1f} dB', *equal))}"
            by_cpu.setdefault((on.cpu, on.images), []).append(words)
    for (cpu, images), lines in by_cpu.items():
        yield f"On an emulated {cpu}, {images} images: {'; '.join(lines)}."


def shares(parts: Mapping[str, float]) -> str:
    """Ratios as percentages, without their names."""
    return ", ".join(f"{100 * share:.1f} %" for share in parts.values())


def _file(file: FileRow) -> tuple[str, ...]:
    ratio = "" if file.latency_ratio is None else f"{file.latency_ratio.value:.2f}"
    return (
        file.title,
        f"{file.size_bytes / 1000:.0f}",
        f"{file.sqnr_db:.1f}",
        shares(file.equal_decisions),
        *(change_words(change) for change in file.metrics.values()),
        "" if file.p50_ms is None else f"{file.p50_ms:.2f}",
        ratio,
    )


def losses(title: str, metrics: Mapping[str, MetricChange]) -> Iterator[str]:
    """A line for each metric that a file loses more of than `rows.MOST_LOST` allows."""
    for name, change in metrics.items():
        most = limit_of(name)
        if most is not None and not change.loss <= most:  # nan is beyond it, too
            yield f"{title} loses {change_words(change)} of {name}"


def _beyond(lost: Sequence[str]) -> str:
    return f"Beyond the limits: {'; '.join(lost) or 'nothing'}."


def change_words(change: MetricChange) -> str:
    """With its paired 95 % interval, in points of a ratio, else in the metric's unit."""
    return _signed(change.change, 100 if change.unit == "ratio" else 1)


def _signed(found: Estimate, times: float) -> str:
    value, low, high = (times * x for x in (found.value, found.low, found.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _groups(files: Sequence[FileRow] | Sequence[JoinedFiles]) -> Iterator[str]:
    """The worst group of the float model, then of its smaller files, and how the gap grew."""
    if not any(file.groups for file in files):
        return
    columns = ("by", "metric", "worst group", "images", "its value", "gap")
    float_rows = [_gap(by, name, "reference", of) for by, name, of in _compared(files[0])]
    if not float_rows:
        yield "By group: too few images to say."
        return
    yield "By group, the float model:"
    yield grid(columns, float_rows)
    file_rows = [
        (file.title, *_gap(by, name, "candidate", of), *_growth(of.gaps[name]))
        for file in files
        if not file.is_fp32
        for by, name, of in _compared(file)
        if limit_of(name) is not None
    ]
    if file_rows:
        yield "By group, its smaller files:"
        yield grid(("file", *columns, "growth", "verdict"), file_rows)


def _compared(file: FileRow | JoinedFiles) -> Iterator[tuple[str, str, Subgroups]]:
    """(by, metric, groups) of what groups can be compared in."""
    for by, groups in (file.groups or {}).items():
        for name in groups.gaps:
            yield by, name, groups


def _gap(
    by: str, metric: str, which: Literal["reference", "candidate"], of: Subgroups
) -> tuple[str, ...]:
    change = of.gaps[metric]
    gap: GroupGap = getattr(change, which)
    worst = of.groups[gap.worst]
    value: float = getattr((worst.metrics or {})[metric], which)
    images = str(worst.labelled(metric))
    return by, metric, gap.worst, images, f"{value:.4f}", f"{_times(change) * gap.gap:.2f}"


def _growth(gap: GapChange) -> tuple[str, str]:
    return _signed(gap.growth, _times(gap)), gap.verdict or ""


def _times(gap: GapChange) -> int:
    """Points of a ratio, else the metric's unit."""
    return 100 if gap.unit == "ratio" else 1
